package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/term"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/all"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/safety/deadman"
	"github.com/squallhq/squall/safety/journal"
	"github.com/squallhq/squall/safety/sli"
)

// newRegistry returns the injectors. It costs nothing: the Docker client connects
// when it is first used.
func newRegistry() (*injectors.Registry, *docker.Client) {
	client := docker.New()
	return all.Registry(client, shaperArguments()...), client
}

// newHost puts together what the engine needs of this machine. It makes nothing.
func newHost() (engine.Host, error) {
	registry, client := newRegistry()
	state, err := journal.StatePath()
	if err != nil {
		return engine.Host{}, refused(err)
	}
	return engine.Host{
		Registry: registry,
		Resolver: target.New(client),
		Samplers: sli.Env{Containers: containers{client}},
		StateDir: state,
		Deadman:  startDeadman,
	}, nil
}

// newStatefulHost is newHost with its state directory made, for whatever injects or
// recovers.
func newStatefulHost() (engine.Host, error) {
	host, err := newHost()
	if err != nil {
		return host, err
	}
	_, err = journal.StateDir()
	return host, refused(err)
}

// startDeadman starts this very program again as the deadman of a journal.
func startDeadman(ctx context.Context, path string, deadline time.Duration) (engine.Deadman, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find squall's own program: %w", err)
	}
	program := self
	if runtime.GOOS == "linux" {
		// The program that runs, even if its file was replaced by another version.
		program = "/proc/self/exe"
	}
	return deadman.Start(ctx, deadman.Options{
		Program:  program,
		Argv:     []string{self, deadmanCommand},
		Journal:  path,
		Deadline: deadline,
	})
}

// containers lets SLIs ask Docker.
type containers struct{ client *docker.Client }

func (c containers) ContainerStatus(ctx context.Context, name string) (sli.ContainerStatus, error) {
	found, err := c.client.Inspect(ctx, name)
	if err != nil {
		return sli.ContainerStatus{}, err
	}
	return sli.ContainerStatus{State: string(found.State), Health: string(found.Health), Restarts: found.RestartCount}, nil
}

func (c containers) ContainerUsage(ctx context.Context, name string) (sli.ContainerUsage, error) {
	usage, err := c.client.Usage(ctx, name)
	return sli.ContainerUsage(usage), err
}

func terminal(fd int) bool { return term.IsTerminal(fd) }
