// Package docker is squall's one door to the Docker Engine: a few calls, each with
// a time limit, answers in small structs of its own, and errors that say what to
// do. Nothing else imports Docker's client.
//
// Consumers state the calls that they need as interfaces of their own; a [Client]
// satisfies them. It works against engines from API 1.24 on, local or remote.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/squallhq/squall/internal/hint"
)

// What a call can fail with, for errors.Is. An error that is none of these is the
// engine's own, in its own words.
var (
	// ErrNotFound says that there is no such container.
	ErrNotFound = errors.New("no such container")
	// ErrConflict says that the container's state does not allow the call: it is not
	// running, or is paused already.
	ErrConflict = errors.New("the container's state does not allow it")
	// ErrUnreachable says that no engine answered.
	ErrUnreachable = errors.New("the Docker daemon does not answer")
	// ErrPermission says that this user may not talk to the engine.
	ErrPermission = errors.New("no permission to talk to the Docker daemon")
)

// The time limits of calls. A call's own waiting (the grace period of a stop) is
// added to them.
const (
	readLimit   = 10 * time.Second
	changeLimit = 30 * time.Second
)

// Client talks to one Docker Engine, the one that the environment names
// (DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, DOCKER_API_VERSION) or else
// the local one. It may be used by several goroutines at once.
type Client struct {
	connect func() (*client.Client, error)
}

// New returns a client. It costs nothing and needs no engine: the environment is
// read and the connection made at the first call.
func New() *Client { return connectTo(client.FromEnv) }

// At returns a client of the engine at an address such as
// "unix:///var/run/docker.sock", whatever the environment says. It costs nothing
// either.
func At(host string) *Client { return connectTo(client.WithHost(host)) }

func connectTo(engine client.Opt) *Client {
	return &Client{connect: sync.OnceValues(func() (*client.Client, error) {
		return client.NewClientWithOpts(engine, client.WithAPIVersionNegotiation())
	})}
}

// Close releases idle connections. The client is not used afterwards.
func (c *Client) Close() error {
	api, err := c.connect()
	if err != nil {
		return nil // it never connected
	}
	return api.Close()
}

// Engine is what Info says about the engine.
type Engine struct {
	Host       string // where it was reached: "unix:///var/run/docker.sock"
	Version    string
	APIVersion string // the one negotiated
	OS, Arch   string
	// Now is the engine's clock. Its events carry this clock's times.
	Now time.Time
}

// Info describes the engine.
func (c *Client) Info(ctx context.Context) (Engine, error) {
	return call(ctx, c, readLimit, "ask the Docker engine about itself", func(ctx context.Context, api *client.Client) (Engine, error) {
		info, err := api.Info(ctx)
		if err != nil {
			return Engine{}, err
		}
		now, err := time.Parse(time.RFC3339Nano, info.SystemTime)
		if err != nil {
			return Engine{}, fmt.Errorf("its clock reads %q", info.SystemTime)
		}
		return Engine{
			Host: api.DaemonHost(), Version: info.ServerVersion, APIVersion: api.ClientVersion(),
			OS: info.OperatingSystem, Arch: info.Architecture, Now: now,
		}, nil
	})
}

// call runs one request under a time limit and names its errors; doing completes
// the sentence "cannot …".
func call[T any](ctx context.Context, c *Client, limit time.Duration, doing string, request func(context.Context, *client.Client) (T, error)) (T, error) {
	var zero T
	api, err := c.connect()
	if err != nil {
		err = fmt.Errorf("cannot %s: cannot use the Docker settings of the environment: %w", doing, err)
		return zero, hint.Wrap(err, "check DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION; DOCKER_HOST takes unix:// and tcp:// addresses")
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := request(limited, api)
	if err == nil {
		return answer, nil
	}
	if limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer from %s within %s: %w", api.DaemonHost(), limit, err)
	}
	return zero, named(doing, api.DaemonHost(), err)
}

// named wraps a client's error in the matching one of this package's own.
func named(doing, host string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("cannot %s: %w at %s", doing, ErrPermission, host)
		return hint.Wrap(err, "run squall as root, or as a member of the group docker")
	case client.IsErrConnectionFailed(err):
		err = fmt.Errorf("cannot %s: %w at %s", doing, ErrUnreachable, host)
		return hint.Wrap(err, "start it (systemctl start docker), or set DOCKER_HOST to where it listens (docker context inspect shows it)")
	case cerrdefs.IsNotFound(err):
		return fmt.Errorf("cannot %s: %w (%w)", doing, ErrNotFound, err)
	case cerrdefs.IsConflict(err):
		return fmt.Errorf("cannot %s: %w (%w)", doing, ErrConflict, err)
	}
	return fmt.Errorf("cannot %s: %w", doing, err)
}

// names is what Docker allows as a container's name, and covers its ids. Anything
// else must not become part of a request's path.
var names = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$`)

// on runs a request that concerns one container, by id or name.
func on[T any](ctx context.Context, c *Client, limit time.Duration, verb, container string, request func(context.Context, *client.Client) (T, error)) (T, error) {
	doing := fmt.Sprintf("%s container %q", verb, short(container))
	if !names.MatchString(container) {
		var zero T
		return zero, fmt.Errorf("cannot %s: %w: Docker allows no such name", doing, ErrNotFound)
	}
	return call(ctx, c, limit, doing, request)
}

var fullID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// short cuts a full id to the twelve digits that Docker shows, and leaves names.
func short(container string) string {
	if fullID.MatchString(container) {
		return container[:12]
	}
	return container
}
