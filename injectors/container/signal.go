package container

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/squallhq/squall/internal/strict"
)

// Signal is a signal of Linux: containers run there, wherever squall does.
type Signal int

// names are the signals of Linux by their numbers, the same on amd64 and arm64; see
// signal(7).
var names = []string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
	16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
	23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
	30: "SIGPWR", 31: "SIGSYS",
}

// The signals that this package treats in a way of their own.
const (
	sigKill Signal = 9
	sigCont Signal = 18
	sigStop Signal = 19
)

// rtMin and rtMax bound the real-time signals that programs may use. The C library
// keeps 32 and 33 for itself.
const (
	rtMin = 34
	rtMax = 64
)

// UnmarshalText reads a signal's name, with or without SIG in front, or its number.
func (s *Signal) UnmarshalText(text []byte) error {
	if n, err := strconv.Atoi(string(text)); err == nil {
		if n < 1 || n > rtMax {
			return fmt.Errorf("%d is not a signal: their numbers are 1 to %d", n, rtMax)
		}
		*s = Signal(n)
		return nil
	}
	name := strings.ToUpper(string(text))
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if i := slices.Index(names, name); i > 0 {
		*s = Signal(i)
		return nil
	}
	if number, err := strconv.Atoi(strings.TrimPrefix(name, "SIGRTMIN+")); err == nil && number >= 0 && number <= rtMax-rtMin {
		*s = Signal(rtMin + number)
		return nil
	}
	if meant := strict.Suggest(name, names); meant != "" {
		return fmt.Errorf("%q is not a signal: did you mean %s?", text, meant)
	}
	return fmt.Errorf("%q is not a signal: write a name like SIGKILL, or a number", text)
}

// MarshalText writes the signal's name.
func (s Signal) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the signal's name, or its number where it has none.
func (s Signal) String() string {
	switch {
	case s > 0 && int(s) < len(names):
		return names[s]
	case s >= rtMin && s <= rtMax:
		return fmt.Sprintf("SIGRTMIN+%d", int(s)-rtMin)
	}
	return strconv.Itoa(int(s))
}

// Noun returns "signal".
func (Signal) Noun() string { return "signal" }

// JSONSchema describes a Signal's notation.
func (Signal) JSONSchema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": `^([sS][iI][gG])?[a-zA-Z]+[0-9]*(\+[0-9]+)?$`},
		map[string]any{"type": "string", "pattern": `^[0-9]+$`},
		map[string]any{"type": "integer", "minimum": 1, "maximum": rtMax},
	}}
}

// ends reports whether people send the signal to end a program. The others ask it
// for something (to read its configuration, to write a dump), and a program that
// does not expect them may end all the same.
func (s Signal) ends() bool {
	switch s.String() {
	case "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
		"SIGURG", "SIGWINCH", "SIGIO", "SIGPWR", "SIGPROF", "SIGVTALRM":
		return false
	}
	return s < rtMin
}
