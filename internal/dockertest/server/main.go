// Command server is the program of the test containers: an HTTP server on port
// 8080, a UDP echo on port 8081, and the health check that asks the former.
//
//	server [-quiet] [-stubborn] [-once] [-linger 1s] [-sick-for 3s]
//	server health
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "health" {
		os.Exit(health())
	}
	quiet := flag.Bool("quiet", false, "serve nothing, for a container in another one's network namespace")
	stubborn := flag.Bool("stubborn", false, "ignore SIGTERM")
	once := flag.Bool("once", false, "end with status 3 when started a second time")
	linger := flag.Duration("linger", 0, "wait this long between SIGTERM and the end")
	sick := flag.Duration("sick-for", 0, "fail the health check for this long after the start")
	flag.Parse()
	if *once {
		if err := os.Mkdir("/started", 0o700); err != nil {
			os.Exit(3)
		}
	}
	if !*quiet {
		if err := serve(time.Now().Add(*sick)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var hangups atomic.Int64
	http.HandleFunc("/hangups", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, hangups.Load()) })
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	for s := range signals {
		switch {
		case s == syscall.SIGHUP:
			hangups.Add(1)
		case !*stubborn:
			time.Sleep(*linger)
			os.Exit(0)
		}
	}
}

func serve(healthy time.Time) error {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.RemoteAddr) })
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().Before(healthy) {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", ":8081")
	if err != nil {
		return err
	}
	go http.Serve(listener, nil) //nolint:errcheck,gosec // it ends with the process
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			packets.WriteTo(buffer[:n], from) //nolint:errcheck // an echo that is lost is lost
		}
	}()
	return nil
}

func health() int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8080/health", nil)
	if err != nil {
		return 1
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}
