package docker

import (
	"context"
	"math"
	"time"

	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Kill sends a signal, such as "SIGKILL", to a container's first process. It is
// ErrConflict where the container doesn't run.
func (c *Client) Kill(ctx context.Context, container, signal string) error {
	return c.change(ctx, changeLimit, "send "+signal+" to", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerKill(ctx, container, signal)
	})
}

// Stop sends a container its stop signal and, after the grace period, SIGKILL. It
// returns once the container has ended. The engine counts whole seconds: a part of
// one is rounded up.
func (c *Client) Stop(ctx context.Context, container string, grace time.Duration) error {
	seconds := wholeSeconds(grace)
	return c.change(ctx, changeLimit+grace, "stop", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerStop(ctx, container, api.StopOptions{Timeout: &seconds})
	})
}

// Start starts a container. Where it runs already nothing happens.
func (c *Client) Start(ctx context.Context, container string) error {
	return c.change(ctx, changeLimit, "start", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerStart(ctx, container, api.StartOptions{})
	})
}

// Restart stops a container as Stop does, and starts it.
func (c *Client) Restart(ctx context.Context, container string, grace time.Duration) error {
	seconds := wholeSeconds(grace)
	return c.change(ctx, changeLimit+grace, "restart", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerRestart(ctx, container, api.StopOptions{Timeout: &seconds})
	})
}

// Pause freezes a container's processes.
func (c *Client) Pause(ctx context.Context, container string) error {
	return c.change(ctx, changeLimit, "pause", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerPause(ctx, container)
	})
}

// Unpause thaws a container's processes.
func (c *Client) Unpause(ctx context.Context, container string) error {
	return c.change(ctx, changeLimit, "unpause", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerUnpause(ctx, container)
	})
}

// Remove kills a container where it runs, and removes it. Its volumes stay.
func (c *Client) Remove(ctx context.Context, container string) error {
	return c.change(ctx, changeLimit, "remove", container, func(ctx context.Context, engine *client.Client) error {
		return engine.ContainerRemove(ctx, container, api.RemoveOptions{Force: true})
	})
}

func (c *Client) change(ctx context.Context, limit time.Duration, verb, container string, request func(context.Context, *client.Client) error) error {
	_, err := on(ctx, c, limit, verb, container, func(ctx context.Context, engine *client.Client) (struct{}, error) {
		return struct{}{}, request(ctx, engine)
	})
	return err
}

func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
