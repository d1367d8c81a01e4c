package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/cmd/squall/internal/demo"
	"github.com/squallhq/squall/cmd/squall/internal/live"
	"github.com/squallhq/squall/cmd/squall/internal/shop"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/safety/journal"
)

func newDemo() *cobra.Command {
	var (
		containers bool
		page       string
	)
	command := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a small shop, two experiments on it, a report",
		Long: `demo opens a small shop of its own (three services, each in a network namespace), breaks
it twice from files that it shows, and closes it again. The first experiment holds; in
the second a guard ends a fault. It takes under a minute, needs Linux and root, pulls
nothing, and leaves nothing but the report.`,
		Example: "  squall demo\n  squall demo --docker",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := demoPossible(); err != nil {
				return err
			}
			host, err := newHost()
			if err != nil {
				return err
			}
			defer removeIfNew(host.StateDir)()
			if _, err := journal.StateDir(); err != nil {
				return refused(err)
			}
			self, err := os.Executable()
			if err != nil {
				return refused(fmt.Errorf("cannot find squall's own program: %w", err))
			}
			options := demo.Options{
				Out: cmd.OutOrStdout(), Program: self, Report: page,
				Run: func(ctx context.Context, file string) (*engine.Result, error) {
					experiment, err := loadOne(cmd, file, "", engine.Vocabulary(host.Registry))
					if err != nil {
						return nil, err
					}
					plan, err := buildPlan(ctx, host, experiment)
					if err != nil {
						return nil, err
					}
					return live.RunPlain(ctx, cmd.OutOrStdout(), host, plan), nil
				},
			}
			if containers {
				options.Docker = docker.New()
			}
			if err := recoverFirst(cmd, host); err != nil {
				return err
			}
			err = demo.Run(cmd.Context(), options)
			if err != nil && cmd.Context().Err() != nil {
				return &exit{exitStopped, err}
			}
			if err != nil {
				return &exit{1, err}
			}
			return nil
		},
	}
	command.Flags().BoolVar(&containers, "docker", false, "make the services Docker containers, from squall's own program")
	command.Flags().StringVar(&page, "report", "squall-report.html", "the file that the report is written to")
	return command
}

func demoPossible() error {
	switch {
	case runtime.GOOS != "linux":
		return refused(errors.New("cannot open the demo's shop: it needs Linux"))
	case os.Geteuid() != 0:
		return refused(hint.Wrap(errors.New("cannot open the demo's shop: it needs root, to make network namespaces"), "sudo squall demo"))
	}
	return nil
}

// removeIfNew returns a function that removes the folder where it was not there
// before, and is empty again.
func removeIfNew(dir string) func() {
	if _, err := os.Lstat(dir); err == nil {
		return func() {}
	}
	return func() { _ = os.Remove(dir) } // a folder that is in use is not empty, and stays
}

// newDemoService is what the demo's shop is made of.
func newDemoService() *cobra.Command {
	return &cobra.Command{
		Use:                shop.Command,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			service, err := shop.ParseService(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return service.Serve(cmd.Context())
		},
	}
}
