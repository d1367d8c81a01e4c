package network

import (
	"strings"
	"testing"

	"github.com/squallhq/squall/internal/strict"
)

// decode reads a specification as the loader does.
func decode(t *testing.T, text string) (Spec, strict.Problems) {
	t.Helper()
	values, problems := strict.Parse("fault.yaml", []byte(text))
	if len(problems) > 0 || len(values) != 1 {
		t.Fatalf("%q: %v", text, problems)
	}
	var spec Spec
	return spec, values[0].Decode(&spec, nil)
}

func TestCheckAcceptsWhatMakesSense(t *testing.T) {
	for _, text := range []string{
		"{delay: 200ms}",
		"{delay: 0.5ms, jitter: 0.1ms, distribution: normal, correlation: 25%}",
		"{loss: 0.5%, lossCorrelation: 25%}",
		"{gilbertElliott: {toBad: 1%, toGood: 20%}}",
		"{gilbertElliott: {toBad: 0%, toGood: 0%, goodLoss: 1%}}",
		"{fourState: {p13: 1%, p31: 30%, p14: 2%}}",
		"{delay: 10ms, reorder: {percent: 25, gap: 5, correlation: 50%}}",
		"{rate: 10mbit, limit: 100}",
		"{duplicate: 1%, corrupt: 1%, loss: 1%}",
		"{partition: drop}",
		"{partition: drop, direction: ingress, backend: bpf, interface: eth0}",
		"{loss: 100%, direction: both}",
	} {
		if _, problems := decode(t, text); len(problems) > 0 {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestCheckRefusesNonsenseWithARemedy(t *testing.T) {
	for text, want := range map[string]struct{ column, message string }{
		"{}":                                                      {"1:1", "does nothing"},
		"{delay: 0ms}":                                            {"1:1", "does nothing"},
		"{loss: 0%}":                                              {"1:1", "does nothing"},
		"{delay: 5}":                                              {"1:9", "no unit"},
		"{dealy: 5ms, loss: 1%}":                                  {"1:2", "dealy"},
		"{loss: 1%, jitter: 5ms}":                                 {"1:20", "jitter without a delay"},
		"{delay: 5ms, jitter: 6ms}":                               {"1:22", "more than the delay"},
		"{delay: 5s, jitter: 2.2s}":                               {"1:21", "more than the kernel takes"},
		"{delay: 5ms, correlation: 1%}":                           {"1:27", "correlation of delays without jitter"},
		"{delay: 5ms, distribution: x}":                           {"1:28", "distribution"},
		"{loss: 1%, reorder: {percent: 5}}":                       {"1:21", "reorder without a delay"},
		"{delay: 5ms, reorder: {percent: 0}}":                     {"1:33", "share above zero"},
		"{delay: 5ms, reorder: {percent: 5, gap: 0}}":             {"1:41", "gap of zero"},
		"{delay: 5ms, reorder: {gap: 5}}":                         {"1:23", "percent"},
		"{delay: 5ms, distribution: normal}":                      {"1:28", "distribution without jitter"},
		"{loss: 1%, gilbertElliott: {toBad: 1%, toGood: 1%}}":     {"1:28", "two models of loss"},
		"{delay: 5ms, lossCorrelation: 1%}":                       {"1:31", "lossCorrelation without loss"},
		"{gilbertElliott: {toBad: 0%, toGood: 1%}}":               {"1:26", "never loses"},
		"{gilbertElliott: {toBad: 1%, toGood: 1%, badLoss: 0%}}":  {"1:51", "never loses"},
		"{gilbertElliott: {toBad: 1%, toGood: 0%}}":               {"1:38", "never ends"},
		"{fourState: {p13: 60%, p31: 30%, p14: 50%}}":             {"1:39", "add up to 110%"},
		"{fourState: {p13: 0%, p31: 30%}}":                        {"1:19", "never loses"},
		"{fourState: {p13: 1%, p31: 0%}}":                         {"1:28", "never ends"},
		"{fourState: {p13: 1%, p31: 1%, p32: 1%, p23: 0%}}":       {"1:46", "never stop"},
		"{partition: drop, delay: 5ms, loss: 1%}":                 {"1:13", "together with delay, loss"},
		"{partition: reject}":                                     {"1:13", "partition"},
		"{rate: 4bit}":                                            {"1:8", "less than one byte"},
		"{rate: 1mbit, limit: 99999999}":                          {"1:22", "more than 10000000"},
		"{loss: 1%, limit: 100}":                                  {"1:19", "nothing holds them back"},
		"{loss: 1%, interface: lo}":                               {"1:23", "loopback"},
		"{loss: 1%, interface: a/b}":                              {"1:23", "can't be the name"},
		"{loss: 1%, interface: \"eth0\\e[31m with a long name\"}": {"1:23", "can't be the name"},
		"{delay: 5ms, backend: bpf}":                              {"1:23", "bpf backend has no delay"},
		"{loss: 1%, lossCorrelation: 1%, backend: bpf}":           {"1:42", "has no lossCorrelation"},
		"{loss: 1%, direction: both, backend: netem}":             {"1:23", "egress only"},
		"{loss: 1%, direction: sideways}":                         {"1:23", "sideways"},
		"{loss: 101%}":                                            {"1:8", "outside"},
		"{loss: 0.5}":                                             {"1:8", "percent sign"},
	} {
		_, problems := decode(t, text)
		if len(problems) != 1 {
			t.Errorf("%s: %d problems: %v", text, len(problems), problems)
			continue
		}
		got := problems[0].Error()
		if !strings.HasPrefix(got, "fault.yaml:"+want.column+":") || !strings.Contains(problems[0].Message, want.message) || problems[0].Hint == "" && !strings.Contains(got, "write") {
			t.Errorf("%s: want %q at %s and a remedy, got:\n%s", text, want.message, want.column, got)
		}
	}
}
