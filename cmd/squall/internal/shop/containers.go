package shop

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/hint"
)

// label marks what a shop makes in Docker.
const label = "squall.demo"

// OpenInContainers opens a shop whose services are containers, made from the given
// static program, squall itself: no image is pulled.
func OpenInContainers(ctx context.Context, engine *docker.Client, program string) (*Shop, error) {
	s := &Shop{}
	if err := s.openInContainers(ctx, engine, program); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Shop) openInContainers(ctx context.Context, engine *docker.Client, program string) error {
	content, err := static(program)
	if err != nil {
		return err
	}
	release, err := one(ctx)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, release)
	// There is one demo at a time: what carries the demo's label was left by one that
	// was killed.
	if err := cleanContainers(ctx, engine); err != nil {
		return err
	}
	s.undo = append(s.undo, func(ctx context.Context) error {
		return errors.Join(cleanContainers(ctx, engine), removeImage(ctx, engine))
	})
	if err := engine.ImportProgram(ctx, Prefix, content); err != nil {
		return err
	}
	labels := map[string]string{label: "true"}
	if err := engine.CreateNetwork(ctx, Prefix, labels); err != nil {
		return err
	}
	return s.open(ctx, func(ctx context.Context, service Service) (netip.Addr, error) {
		id, err := engine.Create(ctx, docker.Spec{
			Name: Prefix + "-" + service.Role, Image: Prefix, Args: service.arguments(), Labels: labels, Network: Prefix,
		})
		if err != nil {
			return netip.Addr{}, err
		}
		if err := engine.Start(ctx, id); err != nil {
			return netip.Addr{}, err
		}
		container, err := engine.Inspect(ctx, id)
		if err != nil {
			return netip.Addr{}, err
		}
		i := slices.IndexFunc(container.Addresses, netip.Addr.Is4)
		if i < 0 {
			return netip.Addr{}, fmt.Errorf("its container has no address: it is %s, exit code %d", container.State, container.ExitCode)
		}
		addr := container.Addresses[i]
		return addr, healthy(ctx, addr, func() error {
			if c, err := engine.Inspect(ctx, id); err == nil && c.State == docker.Exited {
				return fmt.Errorf("its container ended with exit code %d", c.ExitCode)
			}
			return nil
		})
	})
}

// static reads a program, and refuses one that needs libraries, which an image made
// from nothing else can't offer.
func static(program string) ([]byte, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("cannot read squall's own program: %w", err)
	}
	file, err := elf.Open(program)
	if err != nil {
		return nil, fmt.Errorf("cannot make a container of %s: %w", program, err)
	}
	defer func() { _ = file.Close() }() // it was only read
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, hint.Wrap(fmt.Errorf("cannot make a container of %s: it needs a dynamic linker", program),
				"build squall with CGO_ENABLED=0, as `make build` does")
		}
	}
	return content, nil
}

// cleanContainers removes the containers and networks that carry the label.
func cleanContainers(ctx context.Context, engine *docker.Client) error {
	list, err := engine.List(ctx)
	problems := []error{err}
	for _, c := range list {
		if c.Labels[label] == "true" {
			problems = append(problems, gone(engine.Remove(ctx, c.ID)))
		}
	}
	networks, err := engine.Networks(ctx, label, "true")
	problems = append(problems, err)
	for _, id := range networks {
		problems = append(problems, gone(engine.RemoveNetwork(ctx, id)))
	}
	return errors.Join(problems...)
}

// removeImage removes the image where it is there: its name is the demo's own.
func removeImage(ctx context.Context, engine *docker.Client) error {
	there, err := engine.HasImage(ctx, Prefix)
	if err != nil || !there {
		return err
	}
	return gone(engine.RemoveImage(ctx, Prefix))
}

// gone forgives that something is not there any more.
func gone(err error) error {
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}
