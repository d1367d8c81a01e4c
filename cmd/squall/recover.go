package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/printable"
	"github.com/squallhq/squall/safety/deadman"
	"github.com/squallhq/squall/safety/journal"
)

// recoverLimit bounds the whole of a recover by hand.
const recoverLimit = 2 * time.Minute

func newRecover() *cobra.Command {
	var list bool
	command := &cobra.Command{
		Use:   "recover",
		Short: "Put back what killed runs left behind",
		Long: `recover reverts every fault whose squall and deadman are both gone: after a power
cut, a reboot, or a kill of both. Runs that are alive are left alone. It can be run at
any time, any number of times; every run does it first. Run it at boot.

It exits with 0 when nothing is left, and with 5 when something could not be put back.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := newStatefulHost()
			if err != nil {
				return err
			}
			if list {
				return listJournals(cmd.OutOrStdout(), host.StateDir)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), recoverLimit)
			defer cancel()
			all, err := engine.RecoverAll(ctx, host.Registry, host.StateDir)
			if err != nil {
				return refused(err)
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was left behind")
				return nil
			}
			return writeRecovered(cmd.OutOrStdout(), cmd.ErrOrStderr(), all)
		},
	}
	command.Flags().BoolVar(&list, "list", false, "only list what would be put back, and the runs that are alive")
	return command
}

// recoverFirst cleans up after killed runs before a new one starts, and keeps it from
// starting where that fails.
func recoverFirst(cmd *cobra.Command, host engine.Host) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), recoverLimit)
	defer cancel()
	all, err := engine.RecoverAll(ctx, host.Registry, host.StateDir)
	if err != nil {
		return refused(err)
	}
	return writeRecovered(cmd.ErrOrStderr(), cmd.ErrOrStderr(), all)
}

func writeRecovered(stdout, stderr io.Writer, all []engine.Recovered) error {
	left := false
	for _, recovered := range all {
		fmt.Fprintf(stdout, "%s:\n", whoseJournal(recovered.Path, recovered.Head))
		for _, step := range recovered.Reverted {
			fmt.Fprintf(stdout, "  put back: %s\n", safe(step))
		}
		for _, note := range recovered.Notes {
			fmt.Fprintf(stdout, "  note: %s\n", safe(note))
		}
		if recovered.Err != nil {
			left = true
			fmt.Fprintf(stderr, "ROLLBACK INCOMPLETE: %s: %s\n", recovered.Path, printable.Text(recovered.Err.Error(), 4000))
			for _, way := range hint.Of(recovered.Err) {
				fmt.Fprintf(stderr, "  hint: %s\n", safe(way))
			}
		} else if len(recovered.Reverted) == 0 {
			fmt.Fprintln(stdout, "  nothing of it was in any more")
		}
	}
	if left {
		fmt.Fprintln(stderr, "Run `squall recover` again once the cause is gone; the journals stay until then.")
		return &exit{code: exitIncomplete}
	}
	return nil
}

// whoseJournal names a journal by its run, and by its file where its head is damaged.
func whoseJournal(path string, head journal.Head) string {
	if head.Run == "" {
		return safe(path)
	}
	return fmt.Sprintf("run %s of %s", safe(head.Run), safe(head.Experiment))
}

func listJournals(w io.Writer, dir string) error {
	paths, err := journal.List(dir)
	if err != nil {
		return refused(err)
	}
	for _, path := range paths {
		state, err := journal.Read(path)
		if err != nil {
			fmt.Fprintf(w, "%s: cannot be read: %s\n", path, safe(err.Error()))
			continue
		}
		held, err := journal.Held(path)
		whose := "left behind"
		if held {
			whose = "alive"
		}
		if err != nil {
			whose = safe(err.Error())
		}
		fmt.Fprintf(w, "%s: %s, %s in\n", whoseJournal(path, state.Head), whose, counted(len(state.Pending), "fault"))
	}
	if len(paths) == 0 {
		fmt.Fprintln(w, "nothing was left behind")
	}
	return nil
}

// deadmanCommand is the name under which squall starts itself as a deadman.
const deadmanCommand = "deadman"

// newDeadman is the process that reverts a run's journal when the run is gone or
// late. squall starts it; a person has no use for it.
func newDeadman() *cobra.Command {
	return &cobra.Command{
		Use:    deadmanCommand,
		Short:  "Wait for a run's end and revert its journal (started by squall itself)",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			registry, _ := newRegistry()
			if len(args) != 1 {
				return fmt.Errorf("cannot guard: a deadman takes one journal")
			}
			_, err := deadman.Serve(cmd.Context(), deadman.ServeOptions{
				Journal: args[0],
				Revert: func(ctx context.Context, path string) error {
					return engine.Recover(ctx, registry, path).Err
				},
			})
			return err
		},
	}
}

func newReport() *cobra.Command {
	return &cobra.Command{
		Use:   "report RESULT.json REPORT...",
		Short: "Turn a saved result into a report: .html, .md or .xml (JUnit)",
		Example: "  squall run experiment.yaml --report result.json\n" +
			"  squall report result.json result.html result.md",
		Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			const most = 64 << 20
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("cannot read the result: %w", err)
			}
			defer f.Close() //nolint:errcheck // only read
			data, err := io.ReadAll(io.LimitReader(f, most))
			if err != nil {
				return fmt.Errorf("cannot read the result %s: %w", args[0], err)
			}
			result := &engine.Result{}
			if err := json.Unmarshal(data, result); err != nil {
				return hint.Wrap(fmt.Errorf("cannot read the result %s: %w", args[0], err),
					"save one with `squall run FILE --report result.json`")
			}
			if result.Run == "" || result.Verdict == "" {
				return hint.Wrap(fmt.Errorf("cannot read the result %s: it is not the result of a run", args[0]),
					"save one with `squall run FILE --report result.json`")
			}
			for _, file := range args[1:] {
				write, err := reportWriter(file)
				if err != nil {
					return err
				}
				if err := writeFile(file, result, write); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
