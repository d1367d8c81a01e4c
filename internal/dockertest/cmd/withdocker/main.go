// Command withdocker runs a command with DOCKER_HOST set to a Docker engine: the
// one that answers already, or one of its own that ends with the command.
//
//	go run ./internal/dockertest/cmd/withdocker go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withdocker COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withdocker:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(argv []string) (code int, err error) {
	// The command gets the same signal from the terminal, and its end is waited for.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client := docker.New()
	info, err := client.Info(ctx)
	switch {
	case err == nil:
		fmt.Fprintf(os.Stderr, "withdocker: using Docker %s at %s\n", info.Version, info.Host)
	case errors.Is(err, docker.ErrUnreachable) && os.Getenv("DOCKER_HOST") == "":
		daemon, problem := start(ctx)
		if problem != nil {
			return 1, problem
		}
		defer func() {
			limited, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			err = errors.Join(err, daemon.Stop(limited))
		}()
	default:
		return 1, err
	}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	err = command.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func start(ctx context.Context) (*dockertest.Daemon, error) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	daemon, err := dockertest.Start(limited)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "withdocker: started a Docker engine at %s\n", daemon.Host())
	return daemon, os.Setenv("DOCKER_HOST", daemon.Host())
}
