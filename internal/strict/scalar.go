package strict

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// scalar decodes a scalar: a text, a truth value, a number, or a type that reads
// itself from a text.
func (d *decoder) scalar(v Value, dst reflect.Value, f field) bool {
	if v.node == nil || v.node.Kind != yaml.ScalarNode || v.isNull() {
		d.add(v.Problemf("%s must be %s, not %s", v.name(), noun(dst.Type()), v.what()).WithHint("%s", scalarHint(v, dst.Type(), f)))
		return false
	}
	text, tag := v.node.Value, v.node.ShortTag()
	if !isScalar(dst.Type()) && !fits(tag, dst.Kind()) {
		p := v.Problemf("%s must be %s, not %s", v.name(), noun(dst.Type()), v.what())
		d.add(p.WithHint("%s", scalarHint(v, dst.Type(), f)))
		return false
	}
	if err := setScalar(dst, text); err != nil {
		// A parser's error may end with its own way out.
		message, remedy, found := strings.Cut(err.Error(), ": write ")
		p := v.Problemf("%s: %s", v.name(), message)
		if found {
			d.add(p.WithHint("write %s", remedy))
		} else {
			d.add(p.WithHint("%s", scalarHint(v, dst.Type(), f)))
		}
		return false
	}
	if f.enum != nil && !slices.Contains(f.enum, text) {
		p := v.Problemf("%s cannot be %s", v.name(), quote(text))
		if near := Suggest(text, f.enum); near != "" {
			p = p.WithHint("did you mean %s?", quote(near))
		} else {
			p = p.WithHint("write %s", list(f.enum, "or"))
		}
		d.add(p)
		return false
	}
	return true
}

// fits reports whether a YAML scalar of that tag may fill a field of that kind.
func fits(tag string, kind reflect.Kind) bool {
	switch kind {
	case reflect.Bool:
		return tag == "!!bool"
	case reflect.Float32, reflect.Float64:
		return tag == "!!float" || tag == "!!int"
	case reflect.String:
		return tag == "!!str"
	}
	return tag == "!!int"
}

// setScalar reads text into a scalar. Its errors are for people.
func setScalar(dst reflect.Value, text string) error {
	if isScalar(dst.Type()) {
		return dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
	switch kind := dst.Kind(); kind {
	case reflect.String:
		dst.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return fmt.Errorf("%s is neither true nor false", quote(text))
		}
		dst.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if err := decimal(text); err != nil {
			return err
		}
		n, err := strconv.ParseInt(text, 10, dst.Type().Bits())
		if err != nil {
			return intError(text, err, dst.Type())
		}
		dst.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if err := decimal(text); err != nil {
			return err
		}
		n, err := strconv.ParseUint(text, 10, dst.Type().Bits())
		if err != nil {
			return intError(text, err, dst.Type())
		}
		dst.SetUint(n)
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(text, dst.Type().Bits())
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return fmt.Errorf("%s is not a number within reach", quote(text))
		}
		dst.SetFloat(x)
	default:
		panic(fmt.Sprintf("strict: cannot decode into %s", dst.Type()))
	}
	return nil
}

// decimal refuses the notations that YAML's versions read differently: 010 is 8
// to some and 10 to others.
func decimal(text string) error {
	digits := strings.TrimLeft(text, "+-")
	if len(digits) > 1 && digits[0] == '0' || strings.Contains(digits, "_") {
		return fmt.Errorf("%s is not a plain decimal number", quote(text))
	}
	return nil
}

func intError(text string, err error, t reflect.Type) error {
	if errors.Is(err, strconv.ErrRange) || strings.HasPrefix(text, "-") {
		low, high := bounds(t)
		return fmt.Errorf("%s is outside %s to %s", quote(text), low, high)
	}
	return fmt.Errorf("%s is not a whole number", quote(text))
}

// bounds returns the least and the greatest value of an integer type.
func bounds(t reflect.Type) (low, high string) {
	bits := t.Bits()
	if t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64 {
		return "0", strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
	}
	most := int64(math.MaxInt64) >> (64 - bits)
	return strconv.FormatInt(-most-1, 10), strconv.FormatInt(most, 10)
}

// setDefault reads a default tag, which is written as in a document.
func setDefault(dst reflect.Value, text string) error {
	if dst.Kind() != reflect.Slice && dst.Kind() != reflect.Map || isScalar(dst.Type()) {
		return setScalar(dst, text)
	}
	values, problems := Parse("", []byte(text))
	if err := problems.Err(); err != nil {
		return err
	}
	for _, v := range values {
		d := decoder{}
		d.value(v, dst, field{})
		if err := d.problems.Err(); err != nil {
			return err
		}
	}
	return nil
}

// noun names a scalar type in a message.
func noun(t reflect.Type) string {
	if described, ok := reflect.Zero(t).Interface().(Described); ok {
		return "a " + described.Noun()
	}
	switch {
	case isScalar(t), t.Kind() == reflect.String, t == textType:
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// scalarHint says what to write in a scalar's place.
func scalarHint(v Value, t reflect.Type, f field) string {
	text, found := v.Scalar()
	switch {
	case found && t.Kind() == reflect.String && !isScalar(t):
		return fmt.Sprintf("quote it: %q", clip(text))
	case f.example != "":
		return fmt.Sprintf("write %s, for example `%s: %s`", noun(t), f.key, f.example)
	case len(f.enum) > 0:
		return "write " + list(f.enum, "or")
	case f.initial != "":
		return fmt.Sprintf("write %s; the default is `%s: %s`", noun(t), f.key, f.initial)
	case t.Kind() == reflect.Bool && slices.Contains([]string{"yes", "on", "y"}, strings.ToLower(text)):
		return "write true"
	case t.Kind() == reflect.Bool && slices.Contains([]string{"no", "off", "n"}, strings.ToLower(text)):
		return "write false"
	case found && v.node.ShortTag() == "!!str" && v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && !isScalar(t):
		return "leave the quotes out"
	}
	return "write " + noun(t)
}
