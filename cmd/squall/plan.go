package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/printable"
)

// planLimit bounds the making of a plan: it asks Docker and looks at namespaces.
const planLimit = 30 * time.Second

func newPlan() *cobra.Command {
	var name string
	command := &cobra.Command{
		Use:   "plan FILE",
		Short: "Say exactly what a run would do; change nothing",
		Long: `plan resolves the targets, plans every fault on each, asks every guard once with
live data, and prints all of it: what is matched and why, the exact operations, the
backend and the reason for it, how each is undone, and the longest time until an
abort. It changes nothing. It exits with 3 where a run would be refused.`,
		Example:           "  squall plan experiment.yaml",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := newHost()
			if err != nil {
				return err
			}
			experiment, err := loadOne(cmd, args[0], name, engine.Vocabulary(host.Registry))
			if err != nil {
				return err
			}
			plan, err := buildPlan(cmd.Context(), host, experiment)
			if err != nil {
				return err
			}
			writePlan(cmd.OutOrStdout(), plan)
			results, notes := engine.PreviewGuards(cmd.Context(), host, plan)
			writePreview(cmd.OutOrStdout(), results, notes)
			if len(plan.Refusals) > 0 {
				writeRefusals(cmd.OutOrStdout(), plan)
				return &exit{code: exitRefused}
			}
			return nil
		},
	}
	experimentFlag(command, &name)
	return command
}

func experimentFlag(command *cobra.Command, name *string) {
	command.Flags().StringVar(name, "experiment", "", "the experiment's metadata.name, where the file holds several")
}

// buildPlan plans within planLimit. What keeps a plan from being made keeps the run
// from starting.
func buildPlan(ctx context.Context, host engine.Host, experiment loaded) (*engine.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, planLimit)
	defer cancel()
	plan, err := engine.BuildPlan(ctx, host, experiment.Experiment, experiment.program)
	return plan, refused(err)
}

func safe(text string) string { return printable.Text(text, 400) }

func writePlan(w io.Writer, plan *engine.Plan) {
	spec := &plan.Experiment.Spec
	fmt.Fprintf(w, "Experiment %s\n", plan.Experiment.Metadata.Name)
	if spec.Hypothesis != "" {
		fmt.Fprintf(w, "  %s\n", safe(spec.Hypothesis))
	}
	fmt.Fprintf(w, "  takes at most %s: baseline %s, faults %s, recovery at most %s\n",
		spec.Duration(), spec.Baseline, spec.FaultsDuration(), spec.Recovery)

	fmt.Fprintf(w, "\nTargets\n")
	for _, selection := range plan.Selections {
		fmt.Fprintf(w, "  %s: %d of %d\n", selection.Name, len(selection.Picked), len(selection.Matched))
		for _, t := range selection.Picked {
			fmt.Fprintf(w, "    + %s %s: %s\n", t.Kind, safe(t.Name), safe(t.Why))
		}
		for _, excluded := range selection.Excluded {
			fmt.Fprintf(w, "    - %s %s: %s\n", excluded.Target.Kind, safe(excluded.Target.Name), safe(excluded.Reason))
		}
	}

	fmt.Fprintf(w, "\nFaults\n")
	for _, step := range plan.Steps {
		fmt.Fprintf(w, "  %s on %s, from %s to %s after the baseline\n", step.Fault.Name, safe(step.Target.Name), step.Start, step.End)
		for _, name := range step.Shared {
			fmt.Fprintf(w, "    covers %s too, which shares it\n", safe(name))
		}
		for _, action := range step.Actions {
			fmt.Fprintf(w, "    do:      %s\n", safe(action))
		}
		fmt.Fprintf(w, "    undo:    %s\n", safe(step.Undo))
		fmt.Fprintf(w, "    backend: %s (%s)\n", step.Backend, safe(step.Reason))
		fmt.Fprintf(w, "    ends by: %s\n", tierText(string(step.Tier)))
		for _, note := range step.Notes {
			fmt.Fprintf(w, "    note:    %s\n", safe(note))
		}
	}
	for _, note := range plan.Notes {
		fmt.Fprintf(w, "  note: %s\n", safe(note))
	}

	fmt.Fprintf(w, "\nAbort\n")
	if worst := plan.WorstAbort(); worst > 0 {
		fmt.Fprintf(w, "  the rollback begins at most %s after a breach, as sampling intervals and rules allow\n", worst)
	} else {
		fmt.Fprintf(w, "  no abort rule watches: the faults stay in for their whole time\n")
	}
}

func tierText(tier string) string {
	switch tier {
	case "kernel":
		return "the kernel, the moment squall's process is gone"
	case "deadman":
		return "the deadman process, when squall is gone or late"
	}
	return "squall recover only, should squall be killed"
}

func writePreview(w io.Writer, results []engine.GuardResult, notes []string) {
	if len(results)+len(notes) == 0 {
		return
	}
	fmt.Fprintf(w, "\nGuards, asked once just now\n")
	for _, result := range results {
		fmt.Fprintf(w, "  %-5s %s: %s", result.Kind, safe(result.Expr), result.Result)
		if result.Value != "" {
			fmt.Fprintf(w, " (%s)", safe(result.Value))
		}
		fmt.Fprintln(w)
	}
	for _, note := range notes {
		fmt.Fprintf(w, "  note: %s\n", safe(note))
	}
}

func writeRefusals(w io.Writer, plan *engine.Plan) {
	fmt.Fprintf(w, "\nA run would be refused\n")
	for _, refusal := range plan.Refusals {
		fmt.Fprintf(w, "  %s\n", printable.Text(refusal.Error(), 2000))
		for _, way := range hint.Of(refusal) {
			fmt.Fprintf(w, "    hint: %s\n", strings.TrimSpace(printable.Text(way, 1000)))
		}
	}
}
