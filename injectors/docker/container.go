package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
)

// State is what a container is doing, in Docker's words.
type State string

// The states of a container.
const (
	Created    State = "created"    // made, never started
	Running    State = "running"    // its process runs
	Paused     State = "paused"     // its processes are frozen
	Restarting State = "restarting" // it ended, and Docker will start it again
	Removing   State = "removing"   // it is being removed
	Exited     State = "exited"     // its process ended
	Dead       State = "dead"       // its removal failed
)

// Health is the answer of a container's health check, in Docker's words.
type Health string

// The answers of a health check.
const (
	NoHealthCheck Health = ""          // it has none
	Starting      Health = "starting"  // not yet known
	Healthy       Health = "healthy"   // the last check passed
	Unhealthy     Health = "unhealthy" // several checks in a row failed
)

// Summary is one container of a list. Its strings come from whoever made the
// container, and may hold anything.
type Summary struct {
	ID       string
	Name     string // without Docker's leading slash
	Image    string // as it was named when the container was made
	Labels   map[string]string
	State    State
	Networks []string // the names of the networks it is attached to, sorted
}

// Container is all that squall asks about one container.
type Container struct {
	Summary
	PID          int       // of its first process, as the engine's host counts; 0 where it doesn't run
	StartedAt    time.Time // of its present or last life; zero where it never started
	ExitCode     int       // of its last life
	OOMKilled    bool      // the kernel ended its last life for want of memory
	Health       Health
	RestartCount int // how often Docker itself has started it again
	// RestartPolicy is "no", "always", "unless-stopped" or "on-failure".
	RestartPolicy string
	AutoRemove    bool // made with --rm: it is removed once it ends
	// NetworkMode is "bridge", "host", "none", a network's name, or "container:ID".
	NetworkMode string
	// SandboxKey is the path of its network namespace on the engine's host.
	SandboxKey string
	Addresses  []netip.Addr     // its own, on all its networks
	Ports      []netip.AddrPort // what the host publishes for it
}

// Life names the container's present or last life: it changes with every start.
func (c Container) Life() string { return c.StartedAt.UTC().Format(time.RFC3339Nano) }

// List returns every container of the engine, running or not, sorted by name.
func (c *Client) List(ctx context.Context) ([]Summary, error) {
	return call(ctx, c, readLimit, "list the containers", func(ctx context.Context, engine *client.Client) ([]Summary, error) {
		list, err := engine.ContainerList(ctx, api.ListOptions{All: true})
		if err != nil {
			return nil, err
		}
		summaries := make([]Summary, 0, len(list))
		for _, entry := range list {
			summary := Summary{
				ID: entry.ID, Name: nameOf(entry.Names), Image: entry.Image,
				Labels: entry.Labels, State: State(entry.State),
			}
			if entry.NetworkSettings != nil {
				summary.Networks = slices.Sorted(maps.Keys(entry.NetworkSettings.Networks))
			}
			summaries = append(summaries, summary)
		}
		slices.SortFunc(summaries, func(a, b Summary) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		})
		return summaries, nil
	})
}

// nameOf picks the container's own name from a list that also holds its names as a
// link of others ("/other/alias").
func nameOf(names []string) string {
	for _, name := range names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}

// Inspect describes one container by its id, the beginning of its id, or its name. A
// full id is never taken for a name, which Docker does once no container has that id.
func (c *Client) Inspect(ctx context.Context, container string) (Container, error) {
	return on(ctx, c, readLimit, "inspect", container, func(ctx context.Context, engine *client.Client) (Container, error) {
		answer, err := engine.ContainerInspect(ctx, container)
		if err != nil {
			return Container{}, err
		}
		c := convert(answer)
		if fullID.MatchString(container) && c.ID != container {
			return Container{}, fmt.Errorf("%w: container %q has that id as its name", ErrNotFound, short(c.ID))
		}
		return c, nil
	})
}

// convert reads Docker's answer, in which most parts are pointers that an odd
// engine may leave out.
func convert(answer api.InspectResponse) Container {
	var c Container
	if base := answer.ContainerJSONBase; base != nil {
		c.ID, c.Name, c.RestartCount = base.ID, strings.TrimPrefix(base.Name, "/"), base.RestartCount
		if state := base.State; state != nil {
			c.State, c.PID, c.ExitCode, c.OOMKilled = State(state.Status), state.Pid, state.ExitCode, state.OOMKilled
			if at, err := time.Parse(time.RFC3339Nano, state.StartedAt); err == nil && at.Year() > 1 {
				c.StartedAt = at
			}
			if state.Health != nil && state.Health.Status != api.NoHealthcheck {
				c.Health = Health(state.Health.Status)
			}
		}
		if host := base.HostConfig; host != nil {
			c.RestartPolicy, c.AutoRemove = cmp.Or(string(host.RestartPolicy.Name), "no"), host.AutoRemove
			c.NetworkMode = string(host.NetworkMode)
		}
	}
	if answer.Config != nil {
		c.Image, c.Labels = answer.Config.Image, answer.Config.Labels
	}
	if settings := answer.NetworkSettings; settings != nil {
		c.SandboxKey = settings.SandboxKey
		c.Networks = slices.Sorted(maps.Keys(settings.Networks))
		for _, name := range c.Networks {
			if endpoint := settings.Networks[name]; endpoint != nil {
				c.Addresses = append(c.Addresses, addresses(endpoint.IPAddress, endpoint.GlobalIPv6Address)...)
			}
		}
		c.Ports = published(settings.Ports)
	}
	return c
}

func addresses(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			list = append(list, address)
		}
	}
	return list
}

func published(ports nat.PortMap) (list []netip.AddrPort) {
	for _, bindings := range ports {
		for _, binding := range bindings {
			host := cmp.Or(binding.HostIP, "0.0.0.0")
			if at, err := netip.ParseAddrPort(net.JoinHostPort(host, binding.HostPort)); err == nil {
				list = append(list, at)
			}
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.Compact(list)
}
