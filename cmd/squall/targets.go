package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
)

func newTargets() *cobra.Command {
	var selector, name string
	command := &cobra.Command{
		Use:   "targets [FILE]",
		Short: "Say what selectors match, and why",
		Long: `targets resolves the selectors of a document, or one given with --select, and prints
what they match with the reason for each, and what is left out and why. It changes
nothing.`,
		Example: "  squall targets experiment.yaml\n" +
			"  squall targets --select 'docker: {labels: {app: web}}'\n" +
			"  squall targets --select 'netns: {name: /shop-.*/}'",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			registry, client := newRegistry()
			vocabulary := engine.Vocabulary(registry)
			ctx, cancel := context.WithTimeout(cmd.Context(), planLimit)
			defer cancel()
			resolver := target.New(client)
			if selector != "" {
				wanted, err := parseSelector(selector, vocabulary)
				if err != nil {
					return err
				}
				return writeMatches(ctx, cmd.OutOrStdout(), resolver, "--select", wanted)
			}
			if len(args) == 0 {
				return hint.Wrap(fmt.Errorf("cannot tell what to resolve"), "name a FILE, or give a selector with --select")
			}
			experiment, err := loadOne(cmd, args[0], name, vocabulary)
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(experiment.Spec.Targets)) {
				if err := writeMatches(ctx, cmd.OutOrStdout(), resolver, name, experiment.Spec.Targets[name]); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().StringVar(&selector, "select", "", "a selector as it stands under targets.NAME in a document")
	experimentFlag(command, &name)
	return command
}

// parseSelector reads a target as a document would hold it.
func parseSelector(text string, vocabulary strict.Vocabulary) (wanted experiments.Target, err error) {
	values, problems := strict.Parse("--select", []byte(text))
	if len(problems) == 0 && len(values) == 1 {
		problems = values[0].Decode(&wanted, vocabulary)
	}
	return wanted, problems.Err()
}

func writeMatches(ctx context.Context, w io.Writer, resolver *target.Resolver, name string, wanted experiments.Target) error {
	matches, err := resolver.Resolve(ctx, wanted.Selector.Spec)
	if err != nil {
		return refused(fmt.Errorf("cannot resolve target %q: %w", name, err))
	}
	picked := target.Pick(matches.Targets, wanted.Pick.Count, float64(wanted.Pick.Percent), wanted.Pick.Seed)
	fmt.Fprintf(w, "%s: %d of %d\n", name, len(picked), len(matches.Targets))
	for _, t := range matches.Targets {
		mark := "+"
		if !slices.ContainsFunc(picked, func(p injectors.Target) bool { return p.ID == t.ID }) {
			mark = "·"
		}
		addresses := make([]string, 0, len(t.Addresses))
		for _, address := range t.Addresses {
			addresses = append(addresses, address.String())
		}
		fmt.Fprintf(w, "  %s %s %s: %s %s\n", mark, t.Kind, safe(t.Name), safe(t.Why), strings.Join(addresses, " "))
	}
	for _, excluded := range matches.Excluded {
		fmt.Fprintf(w, "  - %s %s: %s\n", excluded.Target.Kind, safe(excluded.Target.Name), safe(excluded.Reason))
	}
	return nil
}
