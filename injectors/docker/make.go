package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
)

// Spec describes a container to make, as the demo and the tests need them.
type Spec struct {
	Name, Image string
	Args        []string // in addition to the image's entry point
	Env         []string
	Labels      map[string]string
	// Network is the name of a network, "host", "none" or "container:ID"; empty for
	// the engine's default.
	Network       string
	Publish       []Publication
	RestartPolicy string // as in Container; empty for none
	AutoRemove    bool
	StopSignal    string // empty for SIGTERM
	HealthCheck   *HealthCheck
}

// Publication makes a port of a container reachable on the host.
type Publication struct {
	Address  string // of the host
	HostPort uint16 // 0 for any that is free
	Port     uint16 // of the container
	Protocol string // "tcp" or "udp"
}

// HealthCheck is a command that Docker runs in a container.
type HealthCheck struct {
	Args              []string
	Interval, Timeout time.Duration
	Retries           int
}

// ImportProgram makes an image that holds one file, a static program, as its entry
// point. No registry is asked.
func (c *Client) ImportProgram(ctx context.Context, reference string, program []byte) error {
	archive, err := programArchive(program)
	if err != nil {
		return fmt.Errorf("cannot pack the image %q: %w", reference, err)
	}
	_, err = call(ctx, c, importLimit, fmt.Sprintf("import the image %q", reference), func(ctx context.Context, engine *client.Client) (none struct{}, err error) {
		answer, err := engine.ImageImport(ctx, image.ImportSource{Source: archive, SourceName: "-"}, reference,
			image.ImportOptions{Changes: []string{`ENTRYPOINT ["` + programPath + `"]`}})
		if err != nil {
			return none, err
		}
		defer func() { err = errors.Join(err, answer.Close()) }()
		return none, progress(answer)
	})
	return err
}

const (
	programPath = "/program"
	importLimit = 2 * time.Minute
)

func programArchive(program []byte) (io.Reader, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	header := &tar.Header{Name: programPath[1:], Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	return &archive, w.Close()
}

// progress reads the engine's progress messages to their end. An import that
// failed half-way says so in one of them only.
func progress(answer io.Reader) error {
	decoder := json.NewDecoder(io.LimitReader(answer, maxStats))
	for {
		var message struct {
			Error string `json:"error"`
		}
		switch err := decoder.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("cannot read the engine's answer: %w", err)
		case message.Error != "":
			return errors.New(message.Error)
		}
	}
}

// HasImage reports whether the engine has an image of that name.
func (c *Client) HasImage(ctx context.Context, reference string) (bool, error) {
	_, err := call(ctx, c, readLimit, fmt.Sprintf("inspect the image %q", reference), func(ctx context.Context, engine *client.Client) (image.InspectResponse, error) {
		return engine.ImageInspect(ctx, reference)
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// RemoveImage removes an image by its name.
func (c *Client) RemoveImage(ctx context.Context, reference string) error {
	_, err := call(ctx, c, changeLimit, fmt.Sprintf("remove the image %q", reference), func(ctx context.Context, engine *client.Client) ([]image.DeleteResponse, error) {
		return engine.ImageRemove(ctx, reference, image.RemoveOptions{Force: true})
	})
	return err
}

// Create makes a container and returns its id. It does not start it.
func (c *Client) Create(ctx context.Context, spec Spec) (id string, err error) {
	config := &api.Config{Image: spec.Image, Cmd: spec.Args, Env: spec.Env, Labels: spec.Labels, StopSignal: spec.StopSignal}
	if check := spec.HealthCheck; check != nil {
		config.Healthcheck = &api.HealthConfig{
			Test: append([]string{"CMD"}, check.Args...), Interval: check.Interval, Timeout: check.Timeout, Retries: check.Retries,
		}
	}
	host := &api.HostConfig{
		NetworkMode:   api.NetworkMode(spec.Network),
		RestartPolicy: api.RestartPolicy{Name: api.RestartPolicyMode(spec.RestartPolicy)},
		AutoRemove:    spec.AutoRemove, PortBindings: nat.PortMap{},
	}
	config.ExposedPorts = nat.PortSet{}
	for _, p := range spec.Publish {
		port := nat.Port(fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		config.ExposedPorts[port] = struct{}{}
		host.PortBindings[port] = append(host.PortBindings[port], nat.PortBinding{HostIP: p.Address, HostPort: strconv.Itoa(int(p.HostPort))})
	}
	return on(ctx, c, changeLimit, "make", spec.Name, func(ctx context.Context, engine *client.Client) (string, error) {
		made, err := engine.ContainerCreate(ctx, config, host, nil, nil, spec.Name)
		return made.ID, err
	})
}

// CreateNetwork makes a network that joins containers of this engine.
func (c *Client) CreateNetwork(ctx context.Context, name string, labels map[string]string) error {
	_, err := call(ctx, c, changeLimit, fmt.Sprintf("make the network %q", name), func(ctx context.Context, engine *client.Client) (network.CreateResponse, error) {
		return engine.NetworkCreate(ctx, name, network.CreateOptions{Driver: "bridge", Labels: labels})
	})
	return err
}

// RemoveNetwork removes a network.
func (c *Client) RemoveNetwork(ctx context.Context, name string) error {
	_, err := call(ctx, c, changeLimit, fmt.Sprintf("remove the network %q", name), func(ctx context.Context, engine *client.Client) (struct{}, error) {
		return struct{}{}, engine.NetworkRemove(ctx, name)
	})
	return err
}
