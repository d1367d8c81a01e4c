// Package quantity holds the measures that documents are written in: durations,
// percentages and bit rates. Each has one parser, used everywhere, so that
// 0.5ms is 500 µs wherever a person writes it.
package quantity

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// MaxDuration is the longest duration a document can ask for. It bounds what a
// typing error can do.
const MaxDuration = 30 * 24 * time.Hour

// Duration is a length of time, never negative, in Go's notation: "500ms",
// "1m30s", "0.5ms".
type Duration time.Duration

// ParseDuration reads a Duration.
func ParseDuration(text string) (Duration, error) {
	if strings.TrimSpace(text) != text || text == "" {
		return 0, fmt.Errorf("%q is not a duration: write a number and a unit, like 500ms, 2s or 1m30s", text)
	}
	if n, err := number(text); err == nil && n != 0 {
		return 0, fmt.Errorf("%q has no unit: write %sms, %ss or %sm", text, text, text, text)
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration: write a number and a unit, like 500ms, 2s or 1m30s", text)
	case d < 0:
		return 0, fmt.Errorf("%q is negative: a duration is zero or more", text)
	case d > MaxDuration:
		return 0, fmt.Errorf("%q is longer than %gh, the most that squall takes", text, MaxDuration.Hours())
	}
	return Duration(d), nil
}

// number reads a decimal number without an exponent: of all that strconv takes
// (hexadecimal, infinities, underscores), it is all that people mean.
func number(text string) (float64, error) {
	if strings.Trim(text, "+-.0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// D returns d as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalText reads a Duration; see ParseDuration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// MarshalText writes a Duration as ParseDuration reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Percent is a share of a whole, between 0 and 100, written with its sign:
// "0.5%". The sign is required, because 0.5 alone could as well mean a half.
type Percent float64

// ParsePercent reads a Percent.
func ParsePercent(text string) (Percent, error) {
	digits, signed := strings.CutSuffix(text, "%")
	p, err := number(digits)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a percentage: write a number and a percent sign, like 0.5%%", text)
	case !signed && p > 0 && p < 1:
		return 0, fmt.Errorf("%q has no percent sign: write %s%%, or %s%%", text, text, strconv.FormatFloat(p*100, 'g', 6, 64))
	case !signed:
		return 0, fmt.Errorf("%q has no percent sign: write %s%%", text, text)
	case p < 0 || p > 100:
		return 0, fmt.Errorf("%q is outside 0%% to 100%%", text)
	}
	return Percent(p + 0), nil // -0 becomes 0
}

// Fraction returns p as a number between 0 and 1.
func (p Percent) Fraction() float64 { return float64(p) / 100 }

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// UnmarshalText reads a Percent; see ParsePercent.
func (p *Percent) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePercent(string(text))
	return err
}

// MarshalText writes a Percent as ParsePercent reads it.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Share is a Percent in a field whose own name says percent, where the sign may
// be left out: "percent: 50".
type Share float64

// UnmarshalText reads a Share: ParsePercent's notation, the sign optional.
func (s *Share) UnmarshalText(text []byte) error {
	p, err := ParsePercent(strings.TrimSuffix(string(text), "%") + "%")
	*s = Share(p)
	return err
}

// MarshalText writes a Share without its sign.
func (s Share) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(s), 'f', -1, 64)), nil
}

// Rate is a bit rate in bits per second, written with tc's units: "512kbit",
// "10mbit", "1gbit".
type Rate uint64

const maxRate = 1e12 // bits per second

var rateUnits = []struct {
	suffix string
	bits   float64
}{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"bit", 1}}

// ParseRate reads a Rate.
func ParseRate(text string) (Rate, error) {
	lower := strings.ToLower(text)
	for _, unit := range rateUnits {
		digits, found := strings.CutSuffix(lower, unit.suffix)
		if !found {
			continue
		}
		n, err := number(digits)
		switch bits := math.Round(n * unit.bits); {
		case err != nil:
			return 0, notARate(text)
		case bits < 1 || bits > maxRate:
			return 0, fmt.Errorf("%q is outside 1bit to 1000gbit", text)
		default:
			return Rate(bits), nil
		}
	}
	return 0, notARate(text)
}

func notARate(text string) error {
	return fmt.Errorf("%q is not a bit rate: write a number and a unit, like 512kbit, 10mbit or 1gbit", text)
}

func (r Rate) String() string {
	for _, unit := range []int{2, 1, 0} {
		u := rateUnits[unit]
		if v := float64(r) / u.bits; v >= 1 {
			return strconv.FormatFloat(v, 'f', -1, 64) + u.suffix
		}
	}
	return strconv.FormatUint(uint64(r), 10) + "bit"
}

// UnmarshalText reads a Rate; see ParseRate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// MarshalText writes a Rate as ParseRate reads it.
func (r Rate) MarshalText() ([]byte, error) {
	if r == 0 {
		return nil, errors.New("cannot write a bit rate of zero")
	}
	return []byte(r.String()), nil
}
