// Package demo is `squall demo`: a small shop of squall's own, two experiments on it,
// and a report.
package demo

import (
	"bytes"
	"cmp"
	"context"
	_ "embed" // the experiments
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/squallhq/squall/cmd/squall/internal/shop"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/experiments/report"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/printable"
)

//go:embed lossy-payments.yaml
var lossyPayments string

//go:embed payments-cut-off.yaml
var paymentsCutOff string

// Options are what the demo needs of its surroundings.
type Options struct {
	// Out is where it tells what happens.
	Out io.Writer
	// Program is squall's own program, which the shop's services are.
	Program string
	// Docker, where not nil, makes the services containers instead of processes in
	// network namespaces.
	Docker *docker.Client
	// Report is the file that the HTML report of the second experiment is written to.
	Report string
	// Run runs the experiment in a file. It tells what happens on Out, or on a terminal
	// beside it, and returns once everything has been put back.
	Run func(ctx context.Context, file string) (*engine.Result, error)
}

// act is one experiment of the demo.
type act struct {
	name, document, story string
	want                  engine.Verdict
	moral                 func(*engine.Result) string
}

var acts = []act{
	{
		name: "lossy-payments", document: lossyPayments, want: engine.Held,
		story: "First a fault that the shop should survive: payments loses 10 % of its packets.",
		moral: func(r *engine.Result) string {
			fault := r.SLIs["shop"].Fault
			if fault == nil || fault.OKRatio == nil {
				return ""
			}
			return fmt.Sprintf("Packets really were lost, and %.4g %% of the orders succeeded all the same: checkout tried again.", *fault.OKRatio*100)
		},
	},
	{
		name: "payments-cut-off", document: paymentsCutOff, want: engine.Breached,
		story: "Now one that it can't survive: payments is cut off. A guard has to see it and end it.",
		moral: func(r *engine.Result) string {
			if r.Reaction == nil || len(r.Faults) == 0 {
				return ""
			}
			text := fmt.Sprintf("Reaction: %.0f ms from the sample that broke the rule until the fault was verified gone.", r.Reaction.Total*1000)
			if f := r.Faults[0]; f.Applied != nil && f.Reverted != nil {
				text += fmt.Sprintf(" Without the guard it would have stayed 20 s; it stayed %.1f s.", f.Reverted.Sub(*f.Applied).Seconds())
			}
			return text
		},
	},
}

// Run opens the shop, runs the experiments, writes the report and takes everything
// down, whatever happens in between. An error is one of squall's own or its
// surroundings', a verdict other than the one foreseen, or why ctx was cancelled.
func Run(ctx context.Context, o Options) (err error) {
	if shop.Busy() {
		o.say("Another demo runs on this machine; this one waits for it to end.")
	}
	began := time.Now()
	o.say("A small shop opens: front calls checkout, checkout calls payments.")
	s, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing := s.Close()
		err = errors.Join(err, closing)
		if closing == nil {
			o.say("")
			o.say("The shop is closed: %s. That was %.0f s.", o.gone(), time.Since(began).Seconds())
		}
	}()
	o.say("It serves at %s; 20 customers a second order, and squall measures what they see.", s.URL())

	dir, err := os.MkdirTemp("", shop.Prefix+"-")
	if err != nil {
		return fmt.Errorf("cannot make a folder for the demo's experiments: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for i, a := range acts {
		result, err := o.play(ctx, a, i, dir, s)
		if err != nil {
			return err
		}
		if result.Rollback == engine.Incomplete {
			return fmt.Errorf("the rollback of %s is incomplete: %s", a.name, printable.Text(strings.Join(result.Left, "; "), 1000))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if result.Verdict != a.want {
			return fmt.Errorf("%s should be %s, and is %s: %s", a.name, a.want, result.Verdict, printable.Text(result.Reason, 1000))
		}
		if i == len(acts)-1 {
			if err := o.writeReport(result); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o Options) open(ctx context.Context) (*shop.Shop, error) {
	if o.Docker != nil {
		return shop.OpenInContainers(ctx, o.Docker, o.Program)
	}
	return shop.OpenInNamespaces(ctx, o.Program)
}

// gone says what was taken down.
func (o Options) gone() string {
	if o.Docker != nil {
		return "its containers, network, image and files are gone"
	}
	return "its processes, namespaces and files are gone"
}

// play runs one experiment and says what it came to.
func (o Options) play(ctx context.Context, a act, number int, dir string, s *shop.Shop) (*engine.Result, error) {
	file := filepath.Join(dir, a.name+".yaml")
	document := o.document(a.document, s.URL())
	if err := os.WriteFile(file, []byte(document), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the experiment: %w", err)
	}
	o.say("\n%d of %d. %s", number+1, len(acts), a.story)
	o.say("   squall run %s\n", file)
	for line := range strings.Lines(document) {
		o.say("   | %s", strings.TrimSuffix(line, "\n"))
	}
	o.say("")
	result, err := o.Run(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", a.name, err)
	}
	o.say("\n   Verdict: %s. %s", result.Verdict, printable.Text(result.Reason, 1000))
	for _, f := range result.Faults {
		if f.Applied != nil {
			o.say("   %s on %s, by %s: touched %d %s.", printable.Text(f.Name, 80), printable.Text(f.Target, 80), printable.Text(f.Backend, 80),
				f.Evidence.Touched, cmp.Or(printable.Text(f.Evidence.Unit, 40), "things"))
		}
	}
	if result.Verdict == a.want {
		if moral := a.moral(result); moral != "" {
			o.say("   %s", moral)
		}
	}
	return result, nil
}

// document fits an experiment to the shop that is open.
func (o Options) document(text, url string) string {
	target := "netns:"
	if o.Docker != nil {
		target = "docker:"
	}
	return strings.NewReplacer("netns:", target, "http://FRONT", url).Replace(text)
}

// writeReport writes the report beside its place and moves it there: the file is
// whole or not there, and a link in its place is replaced, not followed.
func (o Options) writeReport(r *engine.Result) error {
	var page bytes.Buffer
	if err := report.HTML(&page, r); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(o.Report), ".squall-report-")
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	_, err = file.Write(page.Bytes())
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), o.Report)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write the report %s: %w", o.Report, err), os.Remove(file.Name()))
	}
	where, err := filepath.Abs(o.Report)
	if err != nil {
		where = o.Report
	}
	o.say("\nThe report of that run is in %s: open it in a browser.", where)
	return nil
}

func (o Options) say(format string, args ...any) { fmt.Fprintf(o.Out, format+"\n", args...) }
