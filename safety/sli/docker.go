package sli

import (
	"context"
	"errors"
	"time"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// Containers answers questions about containers. It is what docker SLIs need of a
// container engine.
type Containers interface {
	// ContainerStatus looks at one container, by its name or id.
	ContainerStatus(ctx context.Context, nameOrID string) (ContainerStatus, error)
	// ContainerUsage reads what a running container has used.
	ContainerUsage(ctx context.Context, nameOrID string) (ContainerUsage, error)
}

// ContainerStatus is the state of a container.
type ContainerStatus struct {
	State    string // Docker's word: created, running, paused, restarting, removing, exited, dead
	Health   string // healthy, unhealthy, starting; empty without a health check
	Restarts int    // by the engine's restart policy
}

// ContainerUsage is what a container has used.
type ContainerUsage struct {
	CPU    time.Duration // of all its processes, since it started
	Memory uint64        // bytes in use now, without the page cache
}

// Docker is an SLI that looks at a container.
type Docker struct {
	Container string            `yaml:"container" required:"true" doc:"The container's name or id." example:"shop-payments-1"`
	Metric    string            `yaml:"metric" enum:"state|health|restarts|cpu|memory" default:"state" doc:"What the value is. state: 1 while it runs, else 0. health: 1 while its health check passes, else 0. restarts: how often its restart policy has started it anew. cpu: the processors that it keeps busy, 1.5 being one and a half. memory: bytes in use."`
	Limit     quantity.Duration `yaml:"timeout" doc:"The longest that one attempt may take, at most the sampling interval. The interval, but at most 5s, where this is left out." example:"500ms"`
}

// Unit is Number.
func (d *Docker) Unit() Unit { return Number }

// Timeout is the longest that one attempt may take, 0 where left out.
func (d *Docker) Timeout() time.Duration { return d.Limit.D() }

// Check reports what is wrong with the definition.
func (d *Docker) Check(at strict.Value) strict.Problems {
	problems := checkTimeout(d.Limit, at)
	if d.Container == "" {
		problems = append(problems, at.Field("container").Problemf("container is empty"))
	}
	return problems
}

// Open returns the sampler. It needs a container engine.
func (d *Docker) Open(env Env) (Sampler, error) {
	if env.Containers == nil {
		return nil, errors.New("cannot look at containers: there is no container engine")
	}
	return &dockerSampler{containers: env.Containers, name: d.Container, metric: d.Metric}, nil
}

type dockerSampler struct {
	containers Containers
	name       string
	metric     string
	used       time.Duration // of the processor, when it was read last
	read       time.Time
}

func (s *dockerSampler) Sample(ctx context.Context) Sample {
	status, err := s.containers.ContainerStatus(ctx, s.name)
	if err != nil {
		return failed("cannot look at the container: %v", err)
	}
	sample := Sample{OK: status.State == "running" && status.Health != "unhealthy"}
	if !sample.OK {
		sample.Err = "the container is " + status.State
		if status.State == "running" {
			sample.Err = "the container is unhealthy"
		}
	}
	switch s.metric {
	case "state":
		sample.set(truth(status.State == "running"))
	case "restarts":
		sample.set(float64(status.Restarts))
	case "health":
		if status.Health == "" {
			sample.Err = "the container has no health check"
			return sample
		}
		sample.set(truth(status.State == "running" && status.Health == "healthy"))
	default:
		s.usage(ctx, status, &sample)
	}
	return sample
}

// usage fills in what a running container uses. A container that does not run has
// no usage: missing data, not zero.
func (s *dockerSampler) usage(ctx context.Context, status ContainerStatus, sample *Sample) {
	if status.State != "running" {
		s.read = time.Time{}
		return
	}
	usage, err := s.containers.ContainerUsage(ctx, s.name)
	now := time.Now()
	switch {
	case err != nil:
		sample.OK, sample.Err = false, "cannot read what the container uses: "+err.Error()
	case s.metric == "memory":
		sample.set(float64(usage.Memory))
	default:
		// The processor's use is a difference: the first sample has none, nor has one
		// after a restart, which sets the count back.
		if !s.read.IsZero() && usage.CPU >= s.used && now.After(s.read) {
			sample.set(float64(usage.CPU-s.used) / float64(now.Sub(s.read)))
		}
		s.used, s.read = usage.CPU, now
	}
}

func (s *Sample) set(value float64) { s.Value, s.HasValue = value, true }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
