// Package shop is the small shop that `squall demo` breaks: three services in one
// binary, front, checkout and payments, that call each other over HTTP. They run in
// network namespaces or in containers of their own.
//
// Checkout gives payments a short time to answer and then tries once more: a lost
// packet now and then goes unnoticed, a payments that is cut off does not.
package shop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// The roles that a Service can play, in the order in which they call each other.
const (
	Front    = "front"
	Checkout = "checkout"
	Payments = "payments"
)

// roles are in the order in which they must be started: a service is told the
// address of the one that it calls.
var roles = []string{Payments, Checkout, Front}

const (
	// port is where every service listens; each has an address to itself.
	port = "8080"
	// attempt is how long checkout waits for payments, once and then again. Together
	// both stay below what front waits for checkout, and that below the interval at
	// which the demo probes front.
	attempt = 70 * time.Millisecond
	// patience is how long front waits for checkout.
	patience = 170 * time.Millisecond
	// work is how long payments thinks about a charge.
	work = 2 * time.Millisecond
)

// Service is one of the shop's services.
type Service struct {
	Role string
	// Listen is where it listens: ":8080".
	Listen string
	// Next is the URL of the service that it calls; payments calls none.
	Next string
	// Lifetime bounds how long it runs, whoever forgets it.
	Lifetime time.Duration
	// Lifeline, where not nil, ends the service when it can be read no further: the
	// other end of the pipe belongs to the process that started it.
	Lifeline io.Reader
}

// Command is the hidden subcommand of squall that runs a Service: see ParseService.
const Command = "demo-service"

// arguments are the command line that ParseService reads.
func (s Service) arguments() []string {
	return []string{Command, "--role", s.Role, "--listen", s.Listen, "--next", s.Next, "--lifetime", s.Lifetime.String()}
}

// ParseService reads the arguments that follow Command. With --lifeline, lifeline is
// the service's.
func ParseService(args []string, lifeline io.Reader) (Service, error) {
	var s Service
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.Role, "role", "", "front, checkout or payments")
	flags.StringVar(&s.Listen, "listen", "", "the address to listen on")
	flags.StringVar(&s.Next, "next", "", "the URL of the service to call")
	flags.DurationVar(&s.Lifetime, "lifetime", 0, "how long to run at most")
	attached := flags.Bool("lifeline", false, "end when standard input does")
	if err := flags.Parse(args); err != nil {
		return Service{}, fmt.Errorf("cannot read the arguments of a demo service: %w", err)
	}
	if *attached {
		s.Lifeline = lifeline
	}
	return s, nil
}

// Serve runs the service until ctx is done, its lifetime is over, or its lifeline
// ends. All three are a normal end.
func (s Service) Serve(ctx context.Context) error {
	if !slices.Contains(roles, s.Role) {
		return fmt.Errorf("cannot play the role %q: it is front, checkout or payments", s.Role)
	}
	if (s.Next == "") != (s.Role == Payments) {
		return fmt.Errorf("cannot play %s: front and checkout call another service, payments calls none", s.Role)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Lifetime)
	defer cancel()
	if s.Lifeline != nil {
		go func() {
			// What comes over the pipe doesn't matter, only that it ends.
			_, _ = io.Copy(io.Discard, s.Lifeline)
			cancel()
		}()
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Second, MaxHeaderBytes: 8 << 10}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve: %w", err)
	}
	return nil
}

func (s Service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Role+" is up") })
	client := newClient()
	switch s.Role {
	case Payments:
		mux.HandleFunc("GET /charge", func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(work):
				say(w, http.StatusOK, "charged")
			case <-r.Context().Done():
			}
		})
	case Checkout:
		mux.HandleFunc("GET /checkout", func(w http.ResponseWriter, r *http.Request) {
			err := get(r.Context(), client, s.Next+"/charge", attempt)
			if err != nil {
				err = get(r.Context(), client, s.Next+"/charge", attempt)
			}
			answer(w, err, "checked out")
		})
	case Front:
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
			answer(w, get(r.Context(), client, s.Next+"/checkout", patience), "thank you for your order")
		})
	}
	return mux
}

func answer(w http.ResponseWriter, err error, text string) {
	if err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	say(w, http.StatusOK, text)
}

func say(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // a client that went away is no concern of the shop
}

// newClient returns a client that asks no proxy, and keeps enough connections for a
// second attempt to take another one than the first.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext,
	}}
}

// get asks for a page and reads it; any status but 200 is an error.
func get(ctx context.Context, client *http.Client, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
