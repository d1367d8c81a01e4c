package shop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"syscall"

	"github.com/squallhq/squall/internal/testbed"
)

// OpenInNamespaces opens a shop whose services are processes of the given program,
// squall itself, each in a network namespace of its own. It needs Linux and root.
func OpenInNamespaces(ctx context.Context, program string) (*Shop, error) {
	s := &Shop{}
	err := s.openInNamespaces(ctx, program)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Shop) openInNamespaces(ctx context.Context, program string) error {
	release, err := one(ctx)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, release)
	// There is one demo at a time: what carries the demo's tag was left by one that
	// was killed.
	if err := testbed.Clean(Prefix); err != nil {
		return err
	}
	network, err := testbed.New(Prefix)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func(context.Context) error { return network.Close() })
	return s.open(ctx, func(ctx context.Context, service Service) (netip.Addr, error) {
		host, err := network.AddHost(service.Role)
		if err != nil {
			return netip.Addr{}, err
		}
		return host.Addr, s.startProcess(ctx, host, program, service)
	})
}

// startProcess starts a service as a process inside the host. The process ends when
// this one does, however that ends: its standard input is a pipe that only this one
// holds.
func (s *Shop) startProcess(ctx context.Context, host *testbed.Host, program string, service Service) error {
	cmd := exec.Command(program, append(service.arguments(), "--lifeline")...)
	// Ctrl-C is sent to everything in the terminal's process group: the service has to
	// outlive it until the rollback is done.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said := &tail{}
	cmd.Stderr = said
	// The pipe's other end stays open for as long as cmd is reachable, from undo.
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := host.Start(cmd); err != nil {
		return errors.Join(err, lifeline.Close())
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		ended <- fmt.Errorf("it ended: %w: %s", errors.Join(err, errors.New("the process is gone")), said)
		close(ended)
	}()
	s.undo = append(s.undo, func(ctx context.Context) error {
		// Killing a process that has ended is no failure, and Wait has reported it.
		_ = cmd.Process.Kill()
		for {
			select {
			case _, open := <-ended:
				if !open {
					return nil
				}
			case <-ctx.Done():
				return fmt.Errorf("cannot end %s, process %d: it does not die", service.Role, cmd.Process.Pid)
			}
		}
	})
	return healthy(ctx, host.Addr, func() error {
		select {
		case err := <-ended:
			return err
		default:
			return nil
		}
	})
}
