package shop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squallhq/squall/internal/hint"
)

// Prefix begins the name of all that a shop makes: its targets are called
// Prefix-payments, Prefix-checkout and Prefix-front.
const Prefix = "squall-demo"

const (
	// lifetime bounds how long a service outlives the demo that forgot it.
	lifetime = 10 * time.Minute
	// startLimit bounds how long a shop takes to be ready.
	startLimit = 20 * time.Second
	// waitLimit bounds how long it waits for another one to close.
	waitLimit = 2 * time.Minute
	// closeLimit bounds how long it takes to go.
	closeLimit = 30 * time.Second
	// loadLimit and loadEvery bound the load.
	loadLimit = 5 * time.Minute
	loadEvery = 50 * time.Millisecond
)

// Shop is a shop that is open.
type Shop struct {
	// Addresses are the services' own, by role.
	Addresses map[string]netip.Addr

	// undo takes the shop down, the newest part first.
	undo []func(context.Context) error
	stop context.CancelFunc
	load sync.WaitGroup
}

// URL is where the shop's front answers.
func (s *Shop) URL() string { return serviceURL(s.Addresses[Front]) }

func serviceURL(a netip.Addr) string { return "http://" + net.JoinHostPort(a.String(), port) }

// runner starts a service and returns its address.
type runner func(ctx context.Context, service Service) (netip.Addr, error)

// open starts the three services, waits until the shop serves, and sends it a small
// load. Where it fails everything is taken down again.
func (s *Shop) open(ctx context.Context, start runner) error {
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	s.Addresses = map[string]netip.Addr{}
	next := ""
	for _, role := range roles {
		addr, err := start(limited, Service{Role: role, Listen: ":" + port, Next: next, Lifetime: lifetime})
		if err != nil {
			return fmt.Errorf("cannot start %s: %w", role, err)
		}
		s.Addresses[role], next = addr, serviceURL(addr)
	}
	if err := ready(limited, s.URL()); err != nil {
		return err
	}
	loading, stop := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
	s.stop = stop
	s.load.Go(func() { order(loading, s.URL()) })
	return nil
}

// ready waits until an order goes through, from front to payments.
func ready(ctx context.Context, url string) error {
	client := newClient()
	defer client.CloseIdleConnections()
	for {
		err := get(ctx, client, url, time.Second)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("cannot open the shop: it does not serve: %w", err)
		}
	}
}

// order sends the shop 20 orders a second until ctx is done. Whether they succeed is
// for others to find out.
func order(ctx context.Context, url string) {
	client := newClient()
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(loadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = get(ctx, client, url, time.Second)
		}
	}
}

// Close takes the shop down: its load, its services, and all that was made for them.
// It goes on where something fails, and can be called any number of times.
func (s *Shop) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.load.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	var problems []error
	for _, undo := range slices.Backward(s.undo) {
		problems = append(problems, undo(ctx))
	}
	s.undo = nil
	return errors.Join(problems...)
}

// one makes sure that there is one shop at a time: it waits until another one is
// closed. What it holds ends with the process, however that ends.
func one(ctx context.Context) (release func(context.Context) error, err error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		// An abstract socket has a name and no file.
		listener, err := net.Listen("unix", "@"+Prefix)
		if err == nil {
			return func(context.Context) error { return listener.Close() }, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, hint.Wrap(fmt.Errorf("cannot open the shop: %w", err), "there is one demo at a time on a machine: let the other one end first")
		}
	}
}

// Busy says whether another shop is open on this machine: opening one would wait.
func Busy() bool {
	c, err := net.Dial("unix", "@"+Prefix)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// tail keeps the end of what a service says, for the error that it may cause.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// healthy waits until a service itself answers.
func healthy(ctx context.Context, addr netip.Addr, ended func() error) error {
	client := newClient()
	defer client.CloseIdleConnections()
	for {
		err := get(ctx, client, serviceURL(addr)+"/healthz", time.Second)
		if err == nil {
			return nil
		}
		if end := ended(); end != nil {
			return end
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
}
