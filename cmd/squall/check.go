package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/strict"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Say whether documents are right, and where they are not",
		Long: `check reads documents, type-checks their guards and reports every problem with its
place and a remedy. It needs neither root nor Docker, and looks at nothing but the
files. "-" reads standard input.`,
		Example:           "  squall check experiment.yaml\n  squall check examples/*.yaml",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, files []string) error {
			registry, _ := newRegistry()
			vocabulary := engine.Vocabulary(registry)
			wrong := 0
			for _, file := range files {
				experiments, schedules, err := load(cmd, file, vocabulary)
				if problems := (strict.Problems)(nil); errors.As(err, &problems) {
					wrong++
					fmt.Fprintln(cmd.ErrOrStderr(), problems.Error())
					continue
				}
				if err != nil {
					wrong++
					complainAbout(cmd.ErrOrStderr(), err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: ok (%s)\n", safe(file), contents(len(experiments), len(schedules)))
			}
			if wrong > 0 {
				return &exit{code: exitUsage}
			}
			return nil
		},
	}
}

func contents(experiments, schedules int) string {
	text := counted(experiments, "experiment")
	if schedules > 0 {
		text += ", " + counted(schedules, "schedule")
	}
	return text
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
