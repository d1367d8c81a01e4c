package container_test

import (
	"strings"
	"testing"

	"github.com/squallhq/squall/injectors/container"
	"github.com/squallhq/squall/internal/strict"
)

func decode(t *testing.T, text string) (container.Spec, strict.Problems) {
	t.Helper()
	documents, problems := strict.Parse("test.yaml", []byte(text))
	if len(problems) > 0 || len(documents) != 1 {
		t.Fatalf("%q: %v", text, problems)
	}
	var spec container.Spec
	return spec, documents[0].Decode(&spec, nil)
}

func TestSpec(t *testing.T) {
	for text, want := range map[string]string{
		"kill: SIGKILL":               "",
		"kill: hup":                   "",
		"kill: 9":                     "",
		"kill: SIGRTMIN+3":            "",
		"stop: 5s":                    "",
		"stop: {timeout: 0s}":         "",
		"stop: {}":                    "",
		"restart: 1s":                 "",
		"pause: true":                 "",
		"remove: true":                "",
		"kill: SIGKIL":                "1:7: `kill`: \"SIGKIL\" is not a signal: did you mean SIGKILL?",
		"kill: 65":                    "1:7: `kill`: 65 is not a signal",
		"kill: 0":                     "1:7: `kill`: 0 is not a signal",
		"kill: ''":                    "1:7:",
		"pause: false":                "1:8: `pause` can only be true",
		"stop: 1h":                    "1:7: 1h0m0s is longer than the most",
		"{}":                          "1:1: the fault does not say what happens",
		"{pause: true, remove: true}": "1:15: a container fault does one thing",
	} {
		_, problems := decode(t, text)
		got := problems.Error()
		if want == "" && got != "" || want != "" && !strings.Contains(got, "test.yaml:"+want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	if spec, _ := decode(t, "stop: {}"); spec.Stop == nil || spec.Stop.Timeout.String() != "10s" {
		t.Errorf("a stop has the default %+v", spec.Stop)
	}
}

// A signal's name is read back as the same signal.
func TestSignalNames(t *testing.T) {
	for number := container.Signal(1); number <= 64; number++ {
		var again container.Signal
		if err := again.UnmarshalText([]byte(number.String())); err != nil || again != number {
			t.Errorf("%d is called %s, which is %d: %v", number, number, again, err)
		}
	}
}

func FuzzSignal(f *testing.F) {
	for _, text := range []string{"SIGKILL", "9", "rtmin+3", "sigrtmin+", "SIG", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s container.Signal
		if s.UnmarshalText([]byte(text)) == nil && (s < 1 || s > 64) {
			t.Errorf("%q is signal %d", text, s)
		}
	})
}
