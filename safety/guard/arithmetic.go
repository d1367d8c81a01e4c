package guard

import (
	"errors"
	"math"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// signature is the types of two operands and of the result.
type signature struct{ left, right, result *cel.Type }

// What can be multiplied and divided: CEL's own numbers, and a duration with a
// number or, divided, with a duration.
var (
	multiplications = []signature{
		{cel.DoubleType, cel.DoubleType, cel.DoubleType},
		{cel.IntType, cel.IntType, cel.IntType},
		{cel.UintType, cel.UintType, cel.UintType},
		{cel.DoubleType, cel.DurationType, cel.DurationType},
		{cel.DurationType, cel.DoubleType, cel.DurationType},
		{cel.IntType, cel.DurationType, cel.DurationType},
		{cel.DurationType, cel.IntType, cel.DurationType},
	}
	divisions = []signature{
		{cel.DoubleType, cel.DoubleType, cel.DoubleType},
		{cel.IntType, cel.IntType, cel.IntType},
		{cel.UintType, cel.UintType, cel.UintType},
		{cel.DurationType, cel.DoubleType, cel.DurationType},
		{cel.DurationType, cel.IntType, cel.DurationType},
		{cel.DurationType, cel.DurationType, cel.DoubleType},
	}
)

func arithmetic(name string, binding func(left, right ref.Val) ref.Val, signatures []signature) []cel.FunctionOpt {
	var options []cel.FunctionOpt
	for _, s := range signatures {
		id := name + "_" + s.left.TypeName() + "_" + s.right.TypeName()
		options = append(options, cel.Overload(id, []*cel.Type{s.left, s.right}, s.result))
	}
	return append(options, cel.SingletonBinaryBinding(binding))
}

var (
	errDivision = errors.New("division by zero")
	errRange    = errors.New("the result of a multiplication or division is out of range")
)

func multiply(left, right ref.Val) ref.Val {
	if d, ok := right.(types.Duration); ok {
		left, right = d, left
	}
	if d, ok := left.(types.Duration); ok {
		factor, ok := number(right)
		if !ok {
			return types.MaybeNoSuchOverloadErr(right)
		}
		return durationOf(float64(d.Duration) * factor)
	}
	if a, ok := left.(types.Double); ok {
		if b, ok := right.(types.Double); ok {
			return finite(float64(a) * float64(b))
		}
	}
	if multiplier, ok := left.(traits.Multiplier); ok {
		return multiplier.Multiply(right)
	}
	return types.MaybeNoSuchOverloadErr(left)
}

// divide refuses to divide by zero: a quotient of nothing is missing data, not an
// infinity that compares with everything, and not a NaN that compares with nothing.
func divide(left, right ref.Val) ref.Val {
	if zero, ok := right.(traits.Zeroer); ok && zero.IsZeroValue() {
		return types.WrapErr(errDivision)
	}
	switch left := left.(type) {
	case types.Duration:
		if d, ok := right.(types.Duration); ok {
			return finite(float64(left.Duration) / float64(d.Duration))
		}
		divisor, ok := number(right)
		if !ok {
			return types.MaybeNoSuchOverloadErr(right)
		}
		return durationOf(float64(left.Duration) / divisor)
	case types.Double:
		if divisor, ok := right.(types.Double); ok {
			return finite(float64(left) / float64(divisor))
		}
	}
	if divider, ok := left.(traits.Divider); ok {
		return divider.Divide(right)
	}
	return types.MaybeNoSuchOverloadErr(left)
}

func number(v ref.Val) (float64, bool) {
	switch v := v.(type) {
	case types.Double:
		return float64(v), true
	case types.Int:
		return float64(v), true
	}
	return 0, false
}

func durationOf(nanoseconds float64) ref.Val {
	if math.IsNaN(nanoseconds) || math.Abs(nanoseconds) >= math.MaxInt64 {
		return types.WrapErr(errRange)
	}
	return types.Duration{Duration: time.Duration(nanoseconds)}
}

func finite(value float64) ref.Val {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return types.WrapErr(errRange)
	}
	return types.Double(value)
}
