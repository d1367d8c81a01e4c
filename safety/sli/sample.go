package sli

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/squallhq/squall/internal/strict"
)

// Unit says what an SLI's values are.
type Unit string

// The units of SLIs.
const (
	Latency Unit = "latency" // seconds; guards see a duration
	Number  Unit = "number"  // anything else; guards see a double
)

// Sample is the result of one attempt to measure.
type Sample struct {
	// At is when the attempt ended and its result was known.
	At time.Time
	// Took is how long the attempt took.
	Took time.Duration
	// Value is what was measured, in the SLI's unit, where HasValue says so. It is
	// never NaN and never infinite.
	Value    float64
	HasValue bool
	// OK says whether the service did what was expected of it.
	OK bool
	// Err says why there is no value, or why the sample isn't OK. It holds no
	// control character and at most 200 characters, although it can quote the
	// service's own words.
	Err string
}

// Sampler takes samples. A Sampler that is also an io.Closer is closed when its
// polling ends.
type Sampler interface {
	// Sample makes one attempt. It returns soon after ctx is done, and fills Value,
	// HasValue, OK and Err; Poll fills the rest.
	Sample(ctx context.Context) Sample
}

// Spec is an SLI's definition, decoded from a document. Pointers to the types of
// Choices implement it.
type Spec interface {
	// Unit is the unit of the SLI's values.
	Unit() Unit
	// Timeout is the longest that one attempt may take, 0 where the document leaves
	// that to squall.
	Timeout() time.Duration
	// Open prepares the sampler. It reads certificates and looks commands up, and
	// measures nothing.
	Open(env Env) (Sampler, error)
}

// Env is what samplers need of their surroundings.
type Env struct {
	// Containers answers for docker SLIs; nil where there is no container engine.
	Containers Containers
}

// Choices are the kinds of SLI that a document can name.
func Choices() []strict.Choice {
	return []strict.Choice{
		choice[HTTP]("http", "Sends an HTTP request. Its value is the latency until the answer's body was read."),
		choice[TCP]("tcp", "Opens a TCP connection. Its value is the latency until it stands."),
		choice[Prometheus]("prometheus", "Asks Prometheus an instant query that yields one number."),
		choice[Docker]("docker", "Looks at a container. It is ok while the container runs and is not unhealthy."),
		choice[Command]("command", "Runs a program. It is ok where the program exits with 0; a number that it prints is the value."),
	}
}

func choice[T any](key, doc string) strict.Choice {
	return strict.Choice{Key: key, Type: reflect.TypeFor[T](), Doc: doc}
}

// failed is a sample without a value.
func failed(format string, args ...any) Sample {
	return Sample{Err: fmt.Sprintf(format, args...)}
}

// tidy enforces what Sample promises about its fields.
func (s Sample) tidy() Sample {
	if s.HasValue && (math.IsNaN(s.Value) || math.IsInf(s.Value, 0)) {
		s.Err = fmt.Sprintf("the value is %v", s.Value)
		s.HasValue, s.OK = false, false
	}
	if !s.HasValue {
		s.Value = 0
	}
	s.Err = printable(s.Err)
	return s
}

const maxErr = 200 // characters of a Sample's Err

// printable makes foreign text safe to show: one line, no control characters (and
// so no terminal escapes), a bounded length.
func printable(text string) string {
	if len(text) > 4*maxErr {
		text = text[:4*maxErr]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxErr {
		text = string(runes[:maxErr-1]) + "…"
	}
	return strings.TrimSpace(text)
}
