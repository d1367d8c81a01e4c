package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
	"github.com/squallhq/squall/schedules"
)

func newServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve DIR",
		Short: "Run the schedules of a folder, in the foreground",
		Long: `serve loads every .yaml and .yml file of a folder, fires each schedule's experiment when
it is due, as a process of its own with its own deadman, and says what it does and
what comes next. A broken file is reported and disturbs nothing else. Changes of the
folder are noticed.

On SIGINT or SIGTERM it fires nothing more, stops the runs that go on, waits until
everything is put back, and ends. Results go to standard output, one JSON object a line.`,
		Example: "  squall serve /etc/squall",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := newStatefulHost()
			if err != nil {
				return err
			}
			if err := recoverFirst(cmd, host); err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find squall's own program: %w", err)
			}
			server := &schedules.Server{
				Dir:  args[0],
				Load: loadFor(cmd),
				Runner: &schedules.ProcessRunner{
					Program: self,
					Stdout:  os.Stdout,
					Stderr:  os.Stderr,
				},
				Observe: func(event schedules.Event) { writeServeEvent(cmd, event) },
			}
			return refused(server.Run(cmd.Context()))
		},
	}
}

// loadFor returns a loader for schedules: sound documents together with every
// problem, those of guards included.
func loadFor(cmd *cobra.Command) func(string) (*experiments.Documents, error) {
	registry, _ := newRegistry()
	vocabulary := engine.Vocabulary(registry)
	return func(path string) (*experiments.Documents, error) {
		compiled, found, err := load(cmd, path, vocabulary)
		documents := &experiments.Documents{Schedules: found}
		for _, experiment := range compiled {
			documents.Experiments = append(documents.Experiments, experiment.Experiment)
		}
		return documents, err
	}
}

func writeServeEvent(cmd *cobra.Command, event schedules.Event) {
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "%s  %-8s  %s\n", event.At.Format("15:04:05"), event.Kind, event.Text)
	if problems := (strict.Problems)(nil); errors.As(event.Err, &problems) {
		fmt.Fprintln(w, problems.Error())
	} else if event.Err != nil && event.Kind == schedules.EventBroken {
		fmt.Fprintf(w, "  %s\n", safe(event.Err.Error()))
	}
	for _, way := range hint.Of(event.Err) {
		fmt.Fprintf(w, "  hint: %s\n", safe(way))
	}
}

func newSchedule() *cobra.Command {
	command := &cobra.Command{
		Use:   "schedule",
		Short: "Look at schedules",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.AddCommand(newScheduleNext())
	return command
}

func newScheduleNext() *cobra.Command {
	var count int
	command := &cobra.Command{
		Use:               "next FILE...",
		Short:             "Print when schedules come next",
		Example:           "  squall schedule next nightly.yaml\n  squall schedule next -n 10 /etc/squall/*.yaml",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, files []string) error {
			const most = 1000
			if count < 1 || count > most {
				return fmt.Errorf("cannot print %d times: -n takes 1 to %d", count, most)
			}
			registry, _ := newRegistry()
			seen := 0
			for _, file := range files {
				_, found, err := load(cmd, file, engine.Vocabulary(registry))
				if err != nil {
					return err
				}
				for _, document := range found {
					seen++
					plan, problems := schedules.Compile(document)
					if err := problems.Err(); err != nil {
						return err
					}
					writeUpcoming(cmd, plan, count)
				}
			}
			if seen == 0 {
				return hint.Wrap(errors.New("cannot find a schedule in these files"), "a schedule is a document of `kind: Schedule`")
			}
			return nil
		},
	}
	command.Flags().IntVarP(&count, "count", "n", 5, "how many times to print")
	return command
}

func writeUpcoming(cmd *cobra.Command, plan *schedules.Plan, count int) {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s (experiment %s)\n", plan.Name, plan.Experiment)
	now := time.Now()
	times := plan.Upcoming(now, count)
	for _, next := range times {
		fmt.Fprintf(w, "  %s  in %s\n", next.Format("Mon 2006-01-02 15:04:05 MST"), next.Sub(now).Round(time.Second))
	}
	if len(times) == 0 {
		fmt.Fprintln(w, "  never again")
	}
}
