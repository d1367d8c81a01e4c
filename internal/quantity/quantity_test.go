package quantity_test

import (
	"encoding"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/quantity"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0":          0,
		"0s":         0,
		"0.5ms":      500 * time.Microsecond,
		".5ms":       500 * time.Microsecond,
		"500us":      500 * time.Microsecond,
		"500µs":      500 * time.Microsecond,
		"1m30s":      90 * time.Second,
		"+2s":        2 * time.Second,
		"1.5h":       90 * time.Minute,
		"720h":       quantity.MaxDuration,
		"1h0m0.001s": time.Hour + time.Millisecond,
	} {
		if got, err := quantity.ParseDuration(text); err != nil || got.D() != want {
			t.Errorf("ParseDuration(%q) is %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                   "not a duration",
		"50":                 `"50" has no unit: write 50ms, 50s or 50m`,
		"0.5":                `"0.5" has no unit: write 0.5ms, 0.5s or 0.5m`,
		"-1":                 "has no unit",
		"-1s":                "negative",
		"720h1ns":            "longer than 720h",
		"9999999999999h":     "not a duration",
		" 1s":                "not a duration",
		"1s ":                "not a duration",
		"1 s":                "not a duration",
		"1d":                 "not a duration",
		"1,5s":               "not a duration",
		"inf":                "not a duration",
		"nan":                "not a duration",
		"0x10":               "not a duration",
		"1_0s":               "not a duration",
		"1e3s":               "not a duration",
		"ten seconds":        "not a duration",
		"1s\x1b[2J":          "not a duration",
		"\u0661s":            "not a duration",
		"1s\n":               "not a duration",
		"922337203685477580": "has no unit",
	} {
		if got, err := quantity.ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDuration(%q) is %s, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestParsePercent(t *testing.T) {
	for text, want := range map[string]quantity.Percent{
		"0%": 0, "0.5%": 0.5, "100%": 100, "12.25%": 12.25, "+1%": 1, "-0%": 0,
	} {
		got, err := quantity.ParsePercent(text)
		if err != nil || got != want || math.Signbit(float64(got)) {
			t.Errorf("ParsePercent(%q) is %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":        "not a percentage",
		"%":       "not a percentage",
		"0.5":     `"0.5" has no percent sign: write 0.5%, or 50%`,
		"5":       `"5" has no percent sign: write 5%`,
		"100.1%":  "outside 0% to 100%",
		"-1%":     "outside 0% to 100%",
		"5 %":     "not a percentage",
		"5%%":     "not a percentage",
		"nan%":    "not a percentage",
		"inf%":    "not a percentage",
		"0x1p-2%": "not a percentage",
		"1e1%":    "not a percentage",
		"1_0%":    "not a percentage",
	} {
		if got, err := quantity.ParsePercent(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePercent(%q) is %s, %v; want an error with %q", text, got, err, want)
		}
	}
	if got := quantity.Percent(0.5).Fraction(); got != 0.005 {
		t.Errorf("0.5%% as a fraction is %v", got)
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string]quantity.Share{"50": 50, "50%": 50, "0.5": 0.5, "100": 100} {
		var got quantity.Share
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("the share %q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "101", "-1", "50%%", "half", "nan"} {
		var got quantity.Share
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("the share %q is %v, want an error", text, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]quantity.Rate{
		"1bit":     1,
		"512kbit":  512_000,
		"2.3kbit":  2300,
		"0.5mbit":  500_000,
		"10mbit":   10_000_000,
		"10gbit":   10_000_000_000,
		"10GBIT":   10_000_000_000,
		"1000gbit": 1_000_000_000_000,
	} {
		if got, err := quantity.ParseRate(text); err != nil || got != want {
			t.Errorf("ParseRate(%q) is %d, %v; want %d", text, uint64(got), err, uint64(want))
		}
	}
	for text, want := range map[string]string{
		"":          "not a bit rate",
		"10":        "not a bit rate: write a number and a unit",
		"10mb":      "not a bit rate",
		"10mbps":    "not a bit rate", // tc's bytes per second
		"mbit":      "not a bit rate",
		"1 mbit":    "not a bit rate",
		"nanbit":    "not a bit rate",
		"infbit":    "not a bit rate",
		"0mbit":     "outside",
		"0.1bit":    "outside",
		"-1mbit":    "outside",
		"1001gbit":  "outside",
		"1e3mbit":   "not a bit rate",
		"1gbitgbit": "not a bit rate",
	} {
		if got, err := quantity.ParseRate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRate(%q) is %s, %v; want an error with %q", text, got, err, want)
		}
	}
	for rate, want := range map[quantity.Rate]string{1: "1bit", 999: "999bit", 1500: "1.5kbit", 10e6: "10mbit", 1e12: "1000gbit", 1234567: "1.234567mbit"} {
		if got := rate.String(); got != want {
			t.Errorf("%d is written %q, want %q", uint64(rate), got, want)
		}
	}
}

// A quantity survives JSON, which undo records are written in.
func TestJSON(t *testing.T) {
	type record struct {
		Duration quantity.Duration
		Percent  quantity.Percent
		Share    quantity.Share
		Rate     quantity.Rate
	}
	want := record{quantity.Duration(1500 * time.Microsecond), 0.1, 33.3, 10e6}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != `{"Duration":"1.5ms","Percent":"0.1%","Share":"33.3","Rate":"10mbit"}` {
		t.Errorf("the record is %s", text)
	}
	var got record
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("read back it is %+v, %v; want %+v", got, err, want)
	}
	if text, err := quantity.Rate(0).MarshalText(); err == nil {
		t.Errorf("a bit rate of zero is written %q, which cannot be read", text)
	}
}

type value interface {
	encoding.TextMarshaler
	comparable
	JSONSchema() map[string]any
}

// fuzz checks that what a parser takes is written and read back unchanged, and
// that the JSON Schema allows it.
func fuzz[T value](f *testing.F, parse func(string) (T, error), seeds ...string) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	var zero T
	schema := zero.JSONSchema()
	if options, ok := schema["anyOf"].([]any); ok {
		schema = options[0].(map[string]any)
	}
	pattern := regexp.MustCompile(schema["pattern"].(string))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("the error can steer a terminal: %q", err)
			}
			return
		}
		if strings.TrimSpace(text) != text {
			t.Errorf("%q is read with its spaces", text)
		}
		if !pattern.MatchString(text) && !strings.HasPrefix(text, "-0") && !strings.HasPrefix(text, "-.0") {
			t.Errorf("%q is read, but its JSON Schema refuses it", text)
		}
		written, err := got.MarshalText()
		if err != nil {
			t.Fatalf("%q is read, but cannot be written: %v", text, err)
		}
		again, err := parse(string(written))
		if err != nil || again != got {
			t.Errorf("%q is written %q, which is read as %v, %v; want %v", text, written, again, err, got)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	fuzz(f, quantity.ParseDuration, "0", "0.5ms", "1m30s", "50", "-1s", "1e9h", "720h")
}

func FuzzParsePercent(f *testing.F) {
	fuzz(f, quantity.ParsePercent, "0%", ".00001%", "0.5%", "100%", "0.5", "-1%", "nan%")
}

func FuzzParseRate(f *testing.F) {
	fuzz(f, quantity.ParseRate, "1bit", "512kbit", "2.3kbit", "10gbit", "10", "1e3bit")
}
