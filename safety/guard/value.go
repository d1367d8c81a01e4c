package guard

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/safety/sli"
)

// opaque is a CEL value that expressions can only hand to functions. It knows the
// evaluation that it belongs to, because CEL's functions get nothing but values.
type opaque struct {
	kind     *types.Type
	run      *evaluation
	name     string // of the SLI or the fault
	baseline bool   // the SLI over its baseline
}

var errOpaque = errors.New("an SLI is no value of its own: call one of its methods")

// ConvertToNative is part of CEL's interface; there is nothing to convert to.
func (o *opaque) ConvertToNative(reflect.Type) (any, error) { return nil, errOpaque }

// ConvertToType is part of CEL's interface; there is nothing to convert to.
func (o *opaque) ConvertToType(target ref.Type) ref.Val {
	if target == types.TypeType {
		return o.kind
	}
	return types.WrapErr(errOpaque)
}

// Equal is identity.
func (o *opaque) Equal(other ref.Val) ref.Val {
	same, ok := other.(*opaque)
	return types.Bool(ok && same.kind == o.kind && same.name == o.name && same.baseline == o.baseline)
}

// Type is the CEL type.
func (o *opaque) Type() ref.Type { return o.kind }

// Value is the Go value.
func (o *opaque) Value() any { return o }

// question is what a method asks of a Series.
type question struct {
	share float64 // a quantile or an objective
	over  sli.Range
	now   time.Time
}

// ask puts a question to a Series. Times are in seconds.
type ask func(*sli.Series, question) (float64, error)

func askLast(s *sli.Series, q question) (float64, error)    { return s.Last(q.over, q.now) }
func askMean(s *sli.Series, q question) (float64, error)    { return s.Mean(q.over, q.now) }
func askMin(s *sli.Series, q question) (float64, error)     { return s.Min(q.over, q.now) }
func askMax(s *sli.Series, q question) (float64, error)     { return s.Max(q.over, q.now) }
func askRate(s *sli.Series, q question) (float64, error)    { return s.Rate(q.over, q.now) }
func askCount(s *sli.Series, q question) (float64, error)   { return s.Count(q.over, q.now) }
func askOKRatio(s *sli.Series, q question) (float64, error) { return s.OKRatio(q.over, q.now) }

func askQuantile(share float64) ask {
	return func(s *sli.Series, q question) (float64, error) { return s.Quantile(share, q.over, q.now) }
}

func askQuantileOf(s *sli.Series, q question) (float64, error) {
	if !(q.share >= 0 && q.share <= 1) {
		return 0, fmt.Errorf("the quantile %v is not between 0 and 1", q.share)
	}
	return s.Quantile(q.share, q.over, q.now)
}

func askBurn(s *sli.Series, q question) (float64, error) {
	if !(q.share > 0 && q.share < 1) {
		return 0, fmt.Errorf("the objective %v is not between 0 and 1", q.share)
	}
	return s.Burn(q.share, q.over, q.now)
}

func askAge(s *sli.Series, q question) (float64, error) {
	age, err := s.Age(q.now)
	return age.Seconds(), err
}

// call is the method's CEL binding: the receiver, the share where the method has
// one, the window where it is given.
func (m *method) call(args ...ref.Val) ref.Val {
	receiver, ok := args[0].(*opaque)
	if !ok || receiver.run == nil {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	asked := measurement{method: m, of: receiver}
	asked.over.Baseline = receiver.baseline
	rest := args[1:]
	if m.share != "" {
		share, ok := rest[0].(types.Double)
		if !ok {
			return types.MaybeNoSuchOverloadErr(rest[0])
		}
		asked.share, rest = float64(share), rest[1:]
	}
	if len(rest) > 0 {
		length, err := windowLength(rest[0])
		if err != nil {
			return types.WrapErr(err)
		}
		asked.over.Length = length
	}
	return receiver.run.measure(asked)
}

// windowLength reads a window's length, a text or a duration.
func windowLength(v ref.Val) (time.Duration, error) {
	switch v := v.(type) {
	case types.String:
		length, err := quantity.ParseDuration(string(v))
		return length.D(), positive(length.D(), err)
	case types.Duration:
		return v.Duration, positive(v.Duration, nil)
	}
	return 0, errors.New("a window is a text or a duration")
}

func positive(length time.Duration, err error) error {
	if err == nil && length <= 0 {
		return errors.New("a window must be longer than nothing; leave it out for all of the phase")
	}
	return err
}

func callBaseline(receiver ref.Val) ref.Val {
	o, ok := receiver.(*opaque)
	if !ok {
		return types.MaybeNoSuchOverloadErr(receiver)
	}
	of := *o
	of.baseline = true
	return &of
}

func callFault(run, name ref.Val) ref.Val {
	o, isRun := run.(*opaque)
	text, isText := name.(types.String)
	if !isRun || !isText {
		return types.MaybeNoSuchOverloadErr(name)
	}
	return &opaque{kind: faultType, run: o.run, name: string(text)}
}

func callActive(fault ref.Val) ref.Val {
	o, ok := fault.(*opaque)
	if !ok || o.run == nil {
		return types.MaybeNoSuchOverloadErr(fault)
	}
	return types.Bool(o.run.world.FaultActive(o.name))
}

// measurement is a method that was called, with its answer.
type measurement struct {
	method *method
	of     *opaque
	share  float64
	over   sli.Range
	value  ref.Val // the answer, nil where there was none
	err    error
}

// result turns a Series' answer into the method's CEL type.
func (m *measurement) result(value float64, unit sli.Unit) ref.Val {
	kind := m.method.result
	if kind == valueType && unit == sli.Latency || kind.IsExactType(types.DurationType) {
		return durationOf(math.Round(value * float64(time.Second)))
	}
	return types.Double(value)
}

// String is the call as it would be written: "checkout.p99(5s)".
func (m *measurement) String() string {
	text := m.of.name
	if m.of.baseline {
		text += ".baseline()"
	}
	text += "." + m.method.name + "("
	if m.method.share != "" {
		text += strconv.FormatFloat(m.share, 'g', -1, 64)
	}
	if m.over.Length > 0 {
		if m.method.share != "" {
			text += ", "
		}
		text += m.over.Length.String()
	}
	return text + ")"
}

// shown is a value for people, rounded to what they read.
func shown(value ref.Val) string {
	switch value := value.(type) {
	case types.Duration:
		d := value.Duration
		for unit := 10 * time.Millisecond; unit >= 10; unit /= 1000 {
			if d.Abs() >= 100*unit { // at least three digits stay
				return d.Round(unit).String()
			}
		}
		return d.String()
	case types.Double:
		return strconv.FormatFloat(float64(value), 'g', 6, 64)
	}
	return fmt.Sprint(value.Value())
}
