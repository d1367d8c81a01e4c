// Package hint attaches ways out to errors. An error says what went wrong; a
// hint is a line of its own that says what to do about it.
package hint

import (
	"errors"
	"fmt"
)

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Wrap returns err with one hint line attached. It returns nil where err is nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// Of returns the hints of err and of everything it wraps, outermost first.
func Of(err error) []string {
	var hints []string
	walk(err, &hints)
	return hints
}

func walk(err error, hints *[]string) {
	if err == nil {
		return
	}
	//nolint:errorlint // walk takes the chain apart link by link, which errors.As can't.
	switch e := err.(type) {
	case *hinted:
		*hints = append(*hints, e.hint)
		walk(e.error, hints)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, hints)
		}
	default:
		walk(errors.Unwrap(err), hints)
	}
}
