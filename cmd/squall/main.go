// Command squall runs chaos experiments: it injects faults into containers,
// network namespaces and hosts, watches the service's SLIs, and puts everything
// back.
//
// This folder is the only place with os.Exit, signals and standard streams. There is
// a file per subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/printable"
	"github.com/squallhq/squall/internal/strict"
)

func main() { os.Exit(run()) }

// The exit codes that are not a verdict's; see engine.Result.ExitCode for those.
const (
	exitUsage      = 2
	exitRefused    = 3
	exitIncomplete = 5
	exitStopped    = 130
)

// exit is an error that carries an exit code. Where err is nil everything that is to
// be said has been said.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// refused marks an error as one that kept squall from starting: exit code 3.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitRefused, err}
}

func run() int {
	ctx, stop := stoppable(os.Stderr)
	defer stop()
	root := newRoot()
	root.SetContext(ctx)
	return complainAbout(os.Stderr, root.Execute())
}

// complainAbout prints an error with its hints and returns the exit code.
func complainAbout(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code := exitUsage
	if e := (*exit)(nil); errors.As(err, &e) {
		if code = e.code; e.err == nil {
			return code
		}
		err = e.err
	}
	if problems := (strict.Problems)(nil); errors.As(err, &problems) {
		fmt.Fprintln(stderr, problems.Error())
		return code
	}
	for i, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
		if i == 0 {
			line = "squall: " + line
		}
		fmt.Fprintln(stderr, printable.Text(line, 4000))
	}
	for _, way := range hint.Of(err) {
		fmt.Fprintf(stderr, "  hint: %s\n", printable.Text(way, 1000))
	}
	return code
}

// stopped is why a context was cancelled by a signal.
type stopped struct{ signal os.Signal }

func (s stopped) Error() string {
	switch s.signal {
	case os.Interrupt:
		return "interrupted"
	case syscall.SIGTERM:
		return "terminated"
	case syscall.SIGHUP:
		return "the terminal went away"
	}
	return s.signal.String()
}

// stoppable returns a context that the first signal cancels. Further ones are
// answered with a word: the rollback can't be interrupted, only killed, and then the
// deadman does it.
func stoppable(stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A reader of progress who leaves (`squall run … 2>&1 | head`) must not kill a run
	// that has a fault in: the write fails instead. Being ignored it would be so for
	// the commands of SLIs too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if ctx.Err() != nil {
					fmt.Fprintln(stderr, "squall: already stopping, everything is being put back")
				}
				cancel(stopped{s})
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "squall",
		Short: "Breaks things on purpose, watches what users would notice, and puts everything back",
		Long: `squall runs chaos experiments from a file: it injects faults into containers,
network namespaces and this host's interfaces, watches your SLIs, aborts when a
guard says so, and puts everything back, even when squall itself is killed.

Start here:
  squall demo                 see it work on a small shop of its own
  squall doctor               what this host can do
  squall check FILE           is the document right? (needs no root, no Docker)
  squall plan FILE            what would a run do? (changes nothing)
  squall run FILE             do it

Exit codes of run: 0 held, 1 breached, 2 invalid document or usage, 3 refused,
4 inconclusive, 5 rollback incomplete, 130 stopped.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		newCheck(), newPlan(), newRun(), newRecover(), newServe(), newSchedule(),
		newTargets(), newDoctor(), newReport(), newSchema(), newDemo(), newDemoService(), newVersion(), newDeadman(), newShaper(),
	)
	explainArgs(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hint.Wrap(err, "`%s --help` lists the flags", cmd.CommandPath())
	})
	return root
}

// explainArgs has a wrong number of arguments answered with how it is done.
func explainArgs(command *cobra.Command) {
	if check := command.Args; check != nil {
		command.Args = func(cmd *cobra.Command, args []string) error {
			return hint.Wrap(check(cmd, args), "usage: %s", cmd.UseLine())
		}
	}
	for _, child := range command.Commands() {
		explainArgs(child)
	}
}
