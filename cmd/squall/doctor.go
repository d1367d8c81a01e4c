package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/network"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/safety/journal"
)

// doctorLimit bounds each look of doctor.
const doctorLimit = 10 * time.Second

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this host can do, what each missing thing costs, and how to get it",
		Long: `doctor looks at this host: the kernel's means for network faults, Docker, and the state
directory. For each missing thing it says what squall can't do without it, and how to
get it. It changes nothing, and exits with 0 whatever it finds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), doctorLimit)
			defer cancel()
			fmt.Fprintln(cmd.OutOrStdout(), version())
			capabilities := network.Probe(ctx, shaperArguments()...)
			capabilities = append(capabilities, probeDocker(ctx), probeState())
			for _, c := range capabilities {
				mark := "ok     "
				if !c.OK {
					mark = "missing"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %-16s %s\n", mark, c.Name, safe(c.Detail))
				if c.Cost != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "%26s without it: %s\n", "", safe(c.Cost))
				}
				if c.Remedy != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "%26s to get it:  %s\n", "", safe(c.Remedy))
				}
			}
			return nil
		},
	}
}

func probeDocker(ctx context.Context) network.Capability {
	client := docker.New()
	defer client.Close() //nolint:errcheck // nothing to do about idle connections
	c := network.Capability{Name: "docker"}
	info, err := client.Info(ctx)
	if err != nil {
		c.Detail = err.Error()
		c.Cost = "no container targets, no container faults, no docker SLIs"
		if ways := hint.Of(err); len(ways) > 0 {
			c.Remedy = ways[0]
		}
		return c
	}
	c.OK, c.Detail = true, fmt.Sprintf("engine %s at %s", info.Version, info.Host)
	return c
}

func probeState() network.Capability {
	c := network.Capability{Name: "state directory"}
	dir, err := journal.StatePath()
	if err == nil {
		if _, missing := os.Lstat(dir); errors.Is(missing, fs.ErrNotExist) {
			c.OK, c.Detail = true, dir+", which the first run makes"
			return c
		}
		dir, err = journal.StateDir()
	}
	if err != nil {
		c.Detail = err.Error()
		c.Cost = "no run: what can't be journaled is not injected"
		c.Remedy = "point $SQUALL_STATE at a directory that only you can write"
		if ways := hint.Of(err); len(ways) > 0 {
			c.Remedy = ways[0]
		}
		return c
	}
	c.OK, c.Detail = true, dir
	return c
}
