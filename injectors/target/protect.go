package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
)

// protection holds what protected containers live in: network namespaces by their
// identity, and by the id of the container that such a namespace belongs to, each with
// the name of a protected container. Whatever befalls the one or the other befalls
// that container too.
type protection map[string]string

// protected looks for the protected containers of a list. The host's own namespace is
// left out: no fault on the network touches it unless its interface is named.
func (r *Resolver) protected(ctx context.Context, list []docker.Summary) (protection, error) {
	found := protection{}
	for _, summary := range list {
		if !isProtected(summary.Labels) || summary.State != docker.Running && summary.State != docker.Paused {
			continue
		}
		container, err := r.containers.Inspect(ctx, summary.ID)
		if errors.Is(err, docker.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[owner(container)] = container.Name
		t, err := r.container(ctx, container)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended since the list was made
		}
		if err != nil {
			return nil, err
		}
		if t.NetNSID != "" && !t.HostNet {
			found[t.NetNSID] = container.Name
		}
	}
	return found, nil
}

// owner returns the id of the container whose network namespace a container lives in:
// its own, or the one that it has joined.
func owner(c docker.Container) string {
	if joined, shared := strings.CutPrefix(c.NetworkMode, "container:"); shared {
		return joined
	}
	return c.ID
}

// locally looks for the protected containers of this host, for selectors that need no
// Docker engine. Where none answers, there are none.
func (r *Resolver) locally(ctx context.Context) (protection, error) {
	if r.containers == nil {
		return nil, nil
	}
	list, err := r.containers.List(ctx)
	if errors.Is(err, docker.ErrUnreachable) || errors.Is(err, docker.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell which containers are protected: %w", err)
	}
	return r.protected(ctx, list)
}

// shares says why what lives in these namespaces can't be touched, or "".
func (p protection) shares(namespaces ...string) string {
	for _, namespace := range namespaces {
		if name, found := p[namespace]; found {
			return fmt.Sprintf("it shares its network namespace with container %q, which is labelled %s", name, ProtectLabel)
		}
	}
	return ""
}

// withoutProtected moves the targets that share something with a protected container
// to the exclusions.
func (r *Resolver) withoutProtected(ctx context.Context, m Matches) (Matches, error) {
	if !slices.ContainsFunc(m.Targets, func(t injectors.Target) bool { return t.NetNSID != "" && !t.HostNet }) {
		return m, nil
	}
	protected, err := r.locally(ctx)
	if err != nil {
		return m, err
	}
	targets := m.Targets
	m.Targets = nil
	for _, t := range targets {
		if reason := protected.shares(t.NetNSID); reason != "" {
			m.Excluded = append(m.Excluded, Exclusion{t, reason})
		} else {
			m.Targets = append(m.Targets, t)
		}
	}
	return m, nil
}
