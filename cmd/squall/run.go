package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/cmd/squall/internal/live"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/experiments/report"
)

// runOptions are the flags of run.
type runOptions struct {
	experiment string
	output     string
	junit      string
	reports    []string
	plain      bool
}

func newRun() *cobra.Command {
	var options runOptions
	command := &cobra.Command{
		Use:   "run FILE",
		Short: "Run an experiment, and put everything back",
		Long: `run plans the experiment, measures the steady state, injects the faults, watches the
guards, reverts every fault, waits for the steady state, and gives a verdict.

Ctrl-C stops the run and rolls back. If squall is killed, its deadman process rolls
back. Progress goes to standard error: a live view on a terminal, lines elsewhere.

Exit codes: 0 held, 1 breached, 2 invalid document or usage, 3 refused,
4 inconclusive, 5 rollback incomplete, 130 stopped.`,
		Example: "  squall run experiment.yaml\n" +
			"  squall run experiment.yaml --report result.html --junit result.xml\n" +
			"  squall run experiment.yaml --output json | jq .verdict",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := options.check(); err != nil {
				return err
			}
			host, err := newStatefulHost()
			if err != nil {
				return err
			}
			experiment, err := loadOne(cmd, args[0], options.experiment, engine.Vocabulary(host.Registry))
			if err != nil {
				return err
			}
			if err := recoverFirst(cmd, host); err != nil {
				return err
			}
			plan, err := buildPlan(cmd.Context(), host, experiment)
			if err != nil && cmd.Context().Err() != nil {
				return &exit{exitStopped, fmt.Errorf("stopped before anything was touched: %w", context.Cause(cmd.Context()))}
			}
			if err != nil {
				// Who reads results gets one: missing means are a refusal as any other.
				plan = &engine.Plan{Experiment: experiment.Experiment, Program: experiment.program, Refusals: []error{err}}
			}
			result := execute(cmd.Context(), cmd.ErrOrStderr(), host, plan, options.plain)
			return options.finish(cmd, result)
		},
	}
	experimentFlag(command, &options.experiment)
	flags := command.Flags()
	flags.StringVar(&options.output, "output", "text", "what standard output gets at the end: text, or json for one JSON object")
	flags.StringVar(&options.junit, "junit", "", "also write the result to this file as JUnit XML")
	flags.StringArrayVar(&options.reports, "report", nil, "also write a report; the file's ending chooses .html, .md, .json or .xml (JUnit); may be given again")
	flags.BoolVar(&options.plain, "plain", false, "progress as plain lines, also on a terminal")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func (o *runOptions) check() error {
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("cannot write output as %q: it is text or json", o.output)
	}
	for _, file := range o.reports {
		if _, err := reportWriter(file); err != nil {
			return err
		}
	}
	for _, file := range append(o.reports, o.junit) {
		if err := writable(file); err != nil {
			return err
		}
	}
	return nil
}

// writable reports, before anything else is done, that a report could not be written
// after it. It leaves no file that was not there.
func writable(file string) error {
	if file == "" {
		return nil
	}
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil // to open a pipe would wait for its reader, or end what it reads
	}
	_, err = os.Lstat(file) // a link that leads nowhere must not be taken for a file of ours
	isNew := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o666)
	if err == nil {
		err = f.Close()
		if isNew {
			err = errors.Join(err, os.Remove(file))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// execute runs a plan with progress on stderr: a live view on a terminal, lines
// elsewhere.
func execute(ctx context.Context, stderr io.Writer, host engine.Host, plan *engine.Plan, plain bool) *engine.Result {
	if len(plan.Refusals) > 0 {
		return engine.Refuse(plan)
	}
	if isTerminal(stderr) && !plain {
		return live.Run(ctx, stderr, host, plan)
	}
	return live.RunPlain(ctx, stderr, host, plan)
}

// finish writes the result and the reports, and turns the verdict into the exit
// code. A report that can't be written does not hide the verdict.
func (o *runOptions) finish(cmd *cobra.Command, result *engine.Result) error {
	reports := o.reports
	failed := false
	for _, file := range reports {
		write, err := reportWriter(file)
		if err == nil {
			err = writeFile(file, result, write)
		}
		failed = complain(cmd, err) || failed
	}
	if o.junit != "" {
		failed = complain(cmd, writeFile(o.junit, result, report.JUnit)) || failed
	}
	write := report.Text
	if o.output == "json" {
		write = report.JSON
	}
	failed = complain(cmd, write(cmd.OutOrStdout(), result)) || failed
	if result.Rollback == engine.Incomplete {
		report.Alarm(cmd.ErrOrStderr(), result)
	}
	code := result.ExitCode()
	if code == 0 && failed {
		code = exitUsage
	}
	if code == 0 {
		return nil
	}
	return &exit{code: code}
}

func complain(cmd *cobra.Command, err error) bool {
	complainAbout(cmd.ErrOrStderr(), err)
	return err != nil
}

// reportWriter chooses a report's form by its file's ending.
func reportWriter(file string) (func(io.Writer, *engine.Result) error, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".html":
		return report.HTML, nil
	case ".md":
		return report.Markdown, nil
	case ".json":
		return report.JSON, nil
	case ".xml":
		return report.JUnit, nil
	}
	return nil, fmt.Errorf("cannot tell what kind of report %q is: end it with .html, .md, .json or .xml", file)
}

func writeFile(file string, result *engine.Result, write func(io.Writer, *engine.Result) error) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if err := write(f, result); err != nil {
		f.Close() //nolint:errcheck // the first error is the one that counts
		return fmt.Errorf("cannot write the report %s: %w", file, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cannot write the report %s: %w", file, err)
	}
	return nil
}
