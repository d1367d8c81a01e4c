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

// Stats is what a container uses.
type Stats struct {
	CPU    float64 // cores in use, on average since the last reading: 0.5 is half of one core
	Memory uint64  // bytes, without the page cache that the kernel can drop at once
}

// sample is one reading of a container's CPU clock.
type sample struct {
	at   time.Time
	used time.Duration
}

const (
	// firstInterval is how long Stats waits for a second reading of a container that
	// it has not read before.
	firstInterval = 100 * time.Millisecond
	maxSamples    = 256
	maxStats      = 1 << 20 // bytes of one answer
)

// Stats reads what a container uses at this moment. CPU is the average since the
// last call for the same container, and over 100 ms at the first.
func (c *Client) Stats(ctx context.Context, container string) (Stats, error) {
	return on(ctx, c, readLimit, "read the statistics of", container, func(ctx context.Context, engine *client.Client) (Stats, error) {
		now, memory, id, err := read(ctx, engine, container)
		if err != nil {
			return Stats{}, err
		}
		before, known := c.swap(id, now)
		if !known || !now.at.After(before.at) || now.used < before.used { // or it was started anew
			select {
			case <-ctx.Done():
				return Stats{}, ctx.Err()
			case <-time.After(firstInterval):
			}
			before = now
			if now, memory, id, err = read(ctx, engine, container); err != nil {
				return Stats{}, err
			}
			c.swap(id, now)
		}
		elapsed := now.at.Sub(before.at)
		if elapsed <= 0 || now.used < before.used {
			return Stats{}, errors.New("its clocks ran backwards")
		}
		return Stats{CPU: float64(now.used-before.used) / float64(elapsed), Memory: memory}, nil
	})
}

// swap puts a container's newest reading in the place of the last.
func (c *Client) swap(id string, now sample) (before sample, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known = c.samples[id]
	if len(c.samples) >= maxSamples {
		clear(c.samples) // the price is one more reading for each container still in use
	}
	c.samples[id] = now
	return before, known
}

func read(ctx context.Context, engine *client.Client, container string) (now sample, memory uint64, id string, err error) {
	answer, err := engine.ContainerStatsOneShot(ctx, container)
	if err != nil {
		return sample{}, 0, "", err
	}
	defer answer.Body.Close()
	var stats api.StatsResponse
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxStats)).Decode(&stats); err != nil {
		return sample{}, 0, "", fmt.Errorf("cannot read the engine's answer: %w", err)
	}
	if stats.Read.IsZero() || stats.MemoryStats.Usage == 0 {
		return sample{}, 0, "", errors.New("it isn't running")
	}
	memory = stats.MemoryStats.Usage
	for _, cache := range []string{"total_inactive_file", "inactive_file"} { // cgroup v1, v2
		if bytes, found := stats.MemoryStats.Stats[cache]; found && bytes < memory {
			memory -= bytes
			break
		}
	}
	return sample{at: stats.Read, used: time.Duration(stats.CPUStats.CPUUsage.TotalUsage)}, memory, stats.ID, nil
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
