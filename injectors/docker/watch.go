package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// maxStats bounds one answer, in bytes.
const maxStats = 1 << 20

// Usage is what a container has used.
type Usage struct {
	CPU    time.Duration // of all its processes, since it started
	Memory uint64        // bytes in use now, without the page cache that the kernel can drop at once
}

// Usage reads what a running container has used.
func (c *Client) Usage(ctx context.Context, container string) (Usage, error) {
	return on(ctx, c, readLimit, "read the statistics of", container, func(ctx context.Context, engine *client.Client) (usage Usage, err error) {
		answer, err := engine.ContainerStatsOneShot(ctx, container)
		if err != nil {
			return Usage{}, err
		}
		defer func() { err = errors.Join(err, answer.Body.Close()) }()
		var stats api.StatsResponse
		if err := json.NewDecoder(io.LimitReader(answer.Body, maxStats)).Decode(&stats); err != nil {
			return Usage{}, fmt.Errorf("cannot read the engine's answer: %w", err)
		}
		if stats.Read.IsZero() || stats.MemoryStats.Usage == 0 {
			return Usage{}, errors.New("it isn't running")
		}
		usage = Usage{CPU: time.Duration(stats.CPUStats.CPUUsage.TotalUsage), Memory: stats.MemoryStats.Usage}
		for _, cache := range []string{"total_inactive_file", "inactive_file"} { // cgroup v1, v2
			if bytes, found := stats.MemoryStats.Stats[cache]; found && bytes < usage.Memory {
				usage.Memory -= bytes
				break
			}
		}
		return usage, nil
	})
}

// Signal is one that the engine delivered to a container.
type Signal struct {
	Number int
	At     time.Time // by the engine's clock
}

// Signals returns the signals that the engine delivered to a container in the
// given span of its own clock, oldest first. The engine remembers its last 256
// events only: a signal that is not in the list may have been sent all the same.
func (c *Client) Signals(ctx context.Context, id string, since, until time.Time) ([]Signal, error) {
	return on(ctx, c, readLimit, "read the events of", id, func(ctx context.Context, engine *client.Client) ([]Signal, error) {
		messages, errs := engine.Events(ctx, events.ListOptions{
			Since: stamp(since), Until: stamp(until),
			Filters: filters.NewArgs(
				filters.Arg("type", string(events.ContainerEventType)),
				filters.Arg("container", id), filters.Arg("event", string(events.ActionKill))),
		})
		var list []Signal
		for {
			select {
			case message := <-messages:
				number, err := strconv.Atoi(message.Actor.Attributes["signal"])
				if err == nil && message.Actor.ID == id {
					list = append(list, Signal{Number: number, At: time.Unix(0, message.TimeNano)})
				}
			case err := <-errs:
				if errors.Is(err, io.EOF) {
					return list, nil
				}
				return nil, err
			}
		}
	})
}

func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// Frozen says whether a container's first process is stopped by a signal, as
// SIGSTOP leaves it. The engine asks ps on its own host.
func (c *Client) Frozen(ctx context.Context, container string, pid int) (bool, error) {
	return on(ctx, c, readLimit, "list the processes of", container, func(ctx context.Context, engine *client.Client) (bool, error) {
		table, err := engine.ContainerTop(ctx, container, []string{"-o", "pid,stat"})
		if err != nil {
			return false, err
		}
		for _, row := range table.Processes {
			if len(row) == 2 && row[0] == strconv.Itoa(pid) {
				return len(row[1]) > 0 && row[1][0] == 'T', nil
			}
		}
		return false, fmt.Errorf("ps does not show its first process, %d", pid)
	})
}
