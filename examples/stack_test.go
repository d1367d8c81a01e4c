package examples_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/require"
	"github.com/squallhq/squall/internal/testbed"
)

// The front asks payments this often, and waits this long for each answer where
// nothing else is said.
const (
	attempts        = 4
	defaultPatience = 100 * time.Millisecond
)

// stack is what the examples want to find: two replicas of payments, a checkout and
// a database in containers, and a front that users call. Its labels have a suffix of
// their own, so that no test ever touches a container of somebody else's.
type stack struct {
	t        *testing.T
	docker   *docker.Client
	suffix   string
	front    string // the front's address
	replicas []docker.Container
	client   *http.Client

	naive    bool          // the front asks one replica, once
	patience time.Duration // and waits this long for each answer
}

func newStack(t *testing.T, naive bool, patience time.Duration) *stack {
	t.Helper()
	require.Root(t)
	s := &stack{
		t: t, docker: dockertest.Engine(t), suffix: "-" + strings.ToLower(rand.Text()[:8]),
		naive: naive, patience: cmp.Or(patience, defaultPatience),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	s.replicas = []docker.Container{s.service("payments", "payments-1"), s.service("payments", "payments-2")}
	others := []docker.Container{s.service("checkout", "checkout-1"), s.service("database", "database-1")}
	s.open()
	s.customers(others)
	return s
}

// service starts a container as docker compose would.
func (s *stack) service(name, container string) docker.Container {
	return dockertest.Run(s.t, s.docker, docker.Spec{Name: container + s.suffix, Labels: map[string]string{
		"app":                        name + s.suffix,
		"com.docker.compose.project": "shop" + s.suffix,
		"com.docker.compose.service": name,
	}})
}

// here makes a document mean this stack instead of the reader's own.
func (s *stack) here(document string) string {
	return strings.NewReplacer(
		"127.0.0.1:8080", s.front,
		"app: payments", "app: payments"+s.suffix,
		"app: database", "app: database"+s.suffix,
		"project: shop", "project: shop"+s.suffix,
	).Replace(document)
}

// open starts the front. Its health does not depend on what is behind it; a checkout
// asks one replica after the other until one answers.
func (s *stack) open() {
	s.t.Helper()
	mux := http.NewServeMux()
	var turn atomic.Int64
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "orders 1") })
	mux.HandleFunc("/checkout", func(w http.ResponseWriter, r *http.Request) {
		if err := s.checkout(r.Context(), &turn); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.front = listener.Addr().String()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			s.t.Error(err)
		}
		serving.Wait()
		s.client.CloseIdleConnections()
	})
}

// checkout asks the replicas in turn.
func (s *stack) checkout(ctx context.Context, turn *atomic.Int64) (err error) {
	if s.naive {
		return s.pay(ctx, turn.Add(1), attempts*s.patience)
	}
	for range attempts {
		if err = s.pay(ctx, turn.Add(1), s.patience); err == nil {
			return nil
		}
	}
	return err
}

// pay asks the replica whose turn it is. It asks Docker for the address each time:
// that of a container which was started anew can be another one, and its old one
// somebody else's.
func (s *stack) pay(ctx context.Context, turn int64, wait time.Duration) error {
	c, err := s.docker.Inspect(ctx, s.replicas[turn%int64(len(s.replicas))].ID)
	if err != nil {
		return err
	}
	if len(c.Addresses) == 0 {
		return fmt.Errorf("%s has no address: it is %s", c.Name, c.State)
	}
	return s.ask(ctx, c.Addresses[0], wait)
}

func (s *stack) ask(ctx context.Context, address netip.Addr, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(address.String(), "8080"), nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}

// customers keep ordering, and call the services behind payments too: a network
// fault proves itself by the packets that it touches.
func (s *stack) customers(others []docker.Container) {
	ctx, stop := context.WithCancel(context.Background())
	var ordering sync.WaitGroup
	every := func(visit func()) {
		ordering.Go(func() {
			for ctx.Err() == nil {
				visit()
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	var turn atomic.Int64
	every(func() { _ = s.checkout(ctx, &turn) }) // whether it works is for the experiment to find out
	for _, c := range others {
		for _, address := range c.Addresses {
			every(func() { _ = s.ask(ctx, address, s.patience) })
		}
	}
	s.t.Cleanup(func() { stop(); ordering.Wait() })
}

// prometheus starts a Prometheus that watches the front, and returns its address
// once it has seen it.
func (s *stack) prometheus() string {
	s.t.Helper()
	program := require.Prometheus(s.t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	dir := s.t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs:\n- job_name: shop\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  static_configs:\n  - targets: [%q]\n", s.front)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	command := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = log.Close()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get("http://" + address + "/api/v1/query?query=up")
		if err == nil {
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if strings.Contains(string(body), `"job":"shop"`) {
				return address
			}
		}
		if time.Now().After(deadline) {
			output, _ := os.ReadFile(log.Name())
			s.t.Fatalf("Prometheus did not see the front within a minute: %v\n%s", err, output)
		}
	}
}

// storage makes an interface of this host with traffic on it, and returns its name.
func (s *stack) storage() string {
	s.t.Helper()
	network, err := testbed.New(fmt.Sprintf("sqexample-%d", os.Getpid()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := network.Close(); err != nil {
			s.t.Error(err)
		}
	})
	host, err := network.AddHost("storage")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var calling sync.WaitGroup
	calling.Go(func() {
		for ctx.Err() == nil {
			_ = s.ask(ctx, host.Addr, s.patience) // refused, which takes packets too
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	s.t.Cleanup(func() { stop(); calling.Wait() })
	interfaces, err := net.Interfaces()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr() == network.Gateway {
				return i.Name
			}
		}
	}
	s.t.Fatalf("no interface has the address %s", network.Gateway)
	return ""
}
