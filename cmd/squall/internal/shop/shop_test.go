package shop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/require"
)

// TestMain makes this test binary a program that can be a service of the shop.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		service, err := ParseService(os.Args[2:], os.Stdin)
		if err == nil {
			err = service.Serve(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(dockertest.Main(m))
}

func openShop(t *testing.T) *Shop {
	t.Helper()
	require.Root(t)
	s, err := OpenInNamespaces(t.Context(), os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTheShopServesAndLeavesNothing(t *testing.T) {
	s := openShop(t)
	client := newClient()
	defer client.CloseIdleConnections()
	if err := get(t.Context(), client, s.URL(), time.Second); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	left, _ := filepath.Glob("/run/netns/" + Prefix + "*")
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if processes := services(t); len(processes) > 0 {
		t.Errorf("left: %q", processes)
	}
	if err := get(t.Context(), client, s.URL(), 200*time.Millisecond); err == nil {
		t.Error("the shop still serves")
	}
}

// services lists the processes that are services of this test's shop.
func services(t *testing.T) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(line), os.Args[0]+"\x00"+Command+"\x00") {
			found = append(found, f)
		}
	}
	return found
}

func TestAShopThatCannotOpenLeavesNothing(t *testing.T) {
	require.Root(t)
	_, err := OpenInNamespaces(t.Context(), "/bin/false")
	if err == nil || !strings.Contains(err.Error(), "cannot start payments") {
		t.Errorf("err = %v", err)
	}
	if left, _ := filepath.Glob("/run/netns/" + Prefix + "*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestAServiceEndsWithItsLifeline(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(Service{Role: Payments, Listen: "127.0.0.1:0", Lifetime: time.Minute}.arguments(), "--lifeline")...)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
}

func TestServicesThatCannotBe(t *testing.T) {
	for _, s := range []Service{
		{Role: "cashier", Lifetime: time.Minute}, {Role: Front, Lifetime: time.Minute},
		{Role: Payments, Next: "http://127.0.0.1:1", Lifetime: time.Minute},
		{Role: Payments, Listen: "256.0.0.1:0", Lifetime: time.Minute},
	} {
		if err := s.Serve(t.Context()); err == nil {
			t.Errorf("%+v served", s)
		}
	}
	if _, err := ParseService([]string{"--lifetime", "never"}, nil); err == nil {
		t.Error("a lifetime of never was read")
	}
}

// TestCheckoutTriesTwice shows what makes one lost packet harmless and a cut harmful.
func TestCheckoutTriesTwice(t *testing.T) {
	var charges, fail atomic.Int64
	payments := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if charges.Add(1) <= fail.Load() {
			<-r.Context().Done() // no answer in time
		}
	}))
	defer payments.Close()
	checkout := httptest.NewServer(Service{Role: Checkout, Next: payments.URL}.handler())
	defer checkout.Close()
	for _, c := range []struct {
		fail   int64
		status int
	}{{0, 200}, {1, 200}, {2, 503}} {
		charges.Store(0)
		fail.Store(c.fail)
		response, err := http.Get(checkout.URL + "/checkout")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%d charges fail: status %d, want %d", c.fail, response.StatusCode, c.status)
		}
	}
}

func TestOneShopAtATime(t *testing.T) {
	release, err := one(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !Busy() {
		t.Error("a shop is open, and nobody can tell")
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := one(done); err == nil {
		t.Error("two shops at a time")
	}
	second := make(chan error, 1)
	go func() {
		release, err := one(t.Context())
		if err == nil {
			err = release(t.Context())
		}
		second <- err
	}()
	if err := release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second shop never opened: %v", err)
	}
}
