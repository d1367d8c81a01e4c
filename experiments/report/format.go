package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/squallhq/squall/safety/sli"
)

// seconds writes a length of time with three significant digits at most.
func seconds(s float64) string {
	switch a := math.Abs(s); {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return "?"
	case a == 0:
		return "0 s"
	case a < 0.9995e-3:
		return significant(s*1e6) + " µs"
	case a < 0.9995:
		return significant(s*1e3) + " ms"
	case a < 120:
		return significant(s) + " s"
	case a < 7200:
		return fmt.Sprintf("%d min %02d s", int(s)/60, int(math.Abs(s))%60)
	}
	return fmt.Sprintf("%d h %02d min", int(s)/3600, int(math.Abs(s))/60%60)
}

// significant writes a number below a thousand with three significant digits.
func significant(v float64) string {
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', min(max(decimals, 0), 2), 64)
	if rounded, err := strconv.ParseFloat(text, 64); err == nil && rounded == math.Trunc(rounded) {
		return strconv.FormatFloat(rounded, 'f', 0, 64)
	}
	return text
}

// number writes a value without a unit of its own.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// value writes an SLI's value in its unit.
func value(unit sli.Unit, v *float64) string {
	switch {
	case v == nil:
		return "–"
	case unit == sli.Latency:
		return seconds(*v)
	}
	return number(*v)
}

func percent(v *float64) string {
	if v == nil {
		return "–"
	}
	// 99.96 % is not 100 %: what is not whole is never rounded to whole.
	p := *v * 100
	if p > 99.9 && p < 100 {
		p = math.Floor(p*100) / 100
		return strconv.FormatFloat(p, 'f', 2, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}
