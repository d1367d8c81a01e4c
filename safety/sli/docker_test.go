package sli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// engine is a container engine with one container.
type engine struct {
	status ContainerStatus
	usage  ContainerUsage
	err    error
}

func (e *engine) ContainerStatus(_ context.Context, name string) (ContainerStatus, error) {
	if name != "shop" {
		return ContainerStatus{}, errors.New("no such container")
	}
	return e.status, e.err
}

func (e *engine) ContainerUsage(context.Context, string) (ContainerUsage, error) {
	return e.usage, e.err
}

func TestDocker(t *testing.T) {
	running := ContainerStatus{State: "running", Restarts: 3}
	healthy, unhealthy := running, running
	healthy.Health, unhealthy.Health = "healthy", "unhealthy"
	exited := ContainerStatus{State: "exited", Restarts: 3}
	tests := []struct {
		metric string
		status ContainerStatus
		want   Sample
	}{
		{"state", running, Sample{Value: 1, HasValue: true, OK: true}},
		{"state", unhealthy, Sample{Value: 1, HasValue: true, Err: "the container is unhealthy"}},
		{"state", exited, Sample{Value: 0, HasValue: true, Err: "the container is exited"}},
		{"health", healthy, Sample{Value: 1, HasValue: true, OK: true}},
		{"health", unhealthy, Sample{Value: 0, HasValue: true, Err: "the container is unhealthy"}},
		{"health", running, Sample{OK: true, Err: "the container has no health check"}},
		{"restarts", exited, Sample{Value: 3, HasValue: true, Err: "the container is exited"}},
		{"memory", running, Sample{Value: 4096, HasValue: true, OK: true}},
		{"memory", exited, Sample{Err: "the container is exited"}},
	}
	for _, test := range tests {
		sampler, err := (&Docker{Container: "shop", Metric: test.metric}).Open(Env{Containers: &engine{status: test.status, usage: ContainerUsage{Memory: 4096}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := sampler.Sample(t.Context()); got != test.want {
			t.Errorf("%s of %+v: %+v, want %+v", test.metric, test.status, got, test.want)
		}
	}
	sampler, _ := (&Docker{Container: "other", Metric: "state"}).Open(Env{Containers: &engine{}})
	if got := sampler.Sample(t.Context()); got.OK || got.HasValue || !strings.Contains(got.Err, "no such container") {
		t.Errorf("%+v", got)
	}
	if _, err := (&Docker{Container: "shop"}).Open(Env{}); err == nil {
		t.Error("opened without a container engine")
	}
}

// The processor's use is a difference between two samples.
func TestDockerCPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{status: ContainerStatus{State: "running"}}
		sampler, err := (&Docker{Container: "shop", Metric: "cpu"}).Open(Env{Containers: e})
		if err != nil {
			t.Fatal(err)
		}
		step := func(after, used time.Duration, value float64, has bool) {
			t.Helper()
			time.Sleep(after)
			e.usage.CPU = used
			if got := sampler.Sample(t.Context()); got.Value != value || got.HasValue != has || !got.OK {
				t.Errorf("%+v, want %v, %v", got, value, has)
			}
		}
		step(0, 10*time.Second, 0, false)                 // there is nothing to compare with
		step(2*time.Second, 13*time.Second, 1.5, true)    // 3 s in 2 s
		step(time.Second, 500*time.Millisecond, 0, false) // the container began anew
		step(time.Second, 750*time.Millisecond, 0.25, true)
	})
}
