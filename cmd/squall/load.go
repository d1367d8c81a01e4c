package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
	"github.com/squallhq/squall/schedules"
)

// loaded is an experiment with its guards compiled.
type loaded struct {
	*experiments.Experiment
	program *engine.Program
}

// load reads a file, or standard input for "-", and checks everything that can be
// checked without touching the host. All problems come at once.
func load(cmd *cobra.Command, file string, vocabulary strict.Vocabulary) ([]loaded, []*experiments.Schedule, error) {
	documents, err := read(cmd, file, vocabulary)
	var problems strict.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, nil, err
	}
	if documents == nil {
		return nil, nil, err
	}
	var all []loaded
	for _, experiment := range documents.Experiments {
		program, found := engine.Compile(experiment)
		problems = append(problems, found...)
		all = append(all, loaded{experiment, program})
	}
	for _, experiment := range documents.Unsound {
		_, found := engine.Compile(experiment)
		problems = append(problems, found...)
	}
	for _, schedule := range documents.Schedules {
		_, found := schedules.Compile(schedule)
		problems = append(problems, found...)
	}
	return all, documents.Schedules, problems.Sorted().Err()
}

func read(cmd *cobra.Command, file string, vocabulary strict.Vocabulary) (*experiments.Documents, error) {
	if file != "-" {
		return experiments.LoadFile(file, vocabulary)
	}
	data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), strict.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read standard input: %w", err)
	}
	documents, problems := experiments.Load("standard input", data, vocabulary)
	return documents, problems.Err()
}

// loadOne reads a file and returns the one experiment that is meant: the named one,
// or the only one.
func loadOne(cmd *cobra.Command, file, name string, vocabulary strict.Vocabulary) (loaded, error) {
	all, _, err := load(cmd, file, vocabulary)
	if err != nil {
		return loaded{}, err
	}
	var names []string
	for _, candidate := range all {
		if candidate.Metadata.Name == name || name == "" && len(all) == 1 {
			return candidate, nil
		}
		names = append(names, candidate.Metadata.Name)
	}
	switch {
	case len(all) == 0:
		return loaded{}, fmt.Errorf("%s holds no experiment", file)
	case name == "":
		return loaded{}, hint.Wrap(fmt.Errorf("%s holds %d experiments", file, len(all)),
			"choose one with --experiment: %s", strings.Join(names, ", "))
	}
	return loaded{}, hint.Wrap(fmt.Errorf("%s holds no experiment called %q", file, name),
		"it holds: %s", strings.Join(names, ", "))
}

// yamlFiles completes the names of documents.
func yamlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// isTerminal reports whether a stream is a terminal that a person looks at.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && terminal(int(file.Fd()))
}
