package guard

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/safety/sli"
)

// BenchmarkEval is one evaluation of one of 50 guards, each with its own p99 over a
// full window of 10,000 samples, while samples keep coming: between two evaluations
// of the same guard its SLI gets a sample. %-of-a-core is the processor time of 50
// guards at 10 Hz, counted by the kernel, so that a busy machine does not blur it.
func BenchmarkEval(b *testing.B) {
	const guards, full = 50, 10_000
	every := 100 * time.Millisecond
	names := map[string]sli.Unit{}
	w := &world{series: map[string]*sli.Series{}}
	for i := range guards {
		name := fmt.Sprintf("sli%d", i)
		names[name] = sli.Latency
		w.series[name] = sli.NewSeries(spec{unit: sli.Latency}, every)
	}
	compiler := NewCompiler(Env{SLIs: names})
	now := time.Now()
	var rules []*Rule
	for i := range guards {
		rule, problems := compiler.Compile(text(b, fmt.Sprintf(`sli%d.p99("%s") > duration("800ms") && sli%d.okRatio() < 2.0`, i, full*every, i)))
		if err := problems.Err(); err != nil {
			b.Fatal(err)
		}
		rules = append(rules, rule)
	}
	value := 0.0
	add := func(i int) {
		value += 0.7548776662 // the samples are spread evenly, in no order
		value -= float64(int(value))
		w.series[fmt.Sprintf("sli%d", i)].Add(sli.Sample{At: now, Value: 0.8 + value, HasValue: true, OK: true})
	}
	for range full + 100 {
		now = now.Add(every)
		for i := range guards {
			add(i)
		}
	}
	for _, rule := range rules {
		if got := rule.Eval(w, now); !got.True {
			b.Fatalf("%+v", got)
		}
	}
	b.ReportAllocs()
	before := processorTime(b)
	for i := 0; b.Loop(); i++ {
		if i%guards == 0 {
			now = now.Add(every)
		}
		add(i % guards)
		rules[i%guards].Eval(w, now)
	}
	perEval := (processorTime(b) - before).Seconds() / float64(b.N)
	b.ReportMetric(perEval*1e9, "cpu-ns/op")
	b.ReportMetric(perEval*guards*10*100, "%-of-a-core")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var rules = []string{
	`checkout.okRatio("10s") > 0.99`,
	`checkout.p99("5s") > duration("800ms")`,
	`errors.last() > 0.05`,
	`checkout.p99("30s") < 2.0 * checkout.baseline().p99()`,
	`checkout.burn(0.999, "1m") > 14.4 && fault("slow").active()`,
}

// BenchmarkLoad compiles the rules of 12 documents, 60 rules, as a check of the
// examples does. BenchmarkBase is what comes once a process before it.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		for range 12 {
			c := NewCompiler(known)
			for _, rule := range rules {
				if _, problems := c.Compile(text(b, rule)); len(problems) > 0 {
					b.Fatal(problems)
				}
			}
		}
	}
}

func BenchmarkBase(b *testing.B) {
	for b.Loop() {
		var built *cel.Env
		var err error
		if built, err = newBase(); err != nil || built == nil {
			b.Fatal(err)
		}
	}
}
