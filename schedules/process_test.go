package schedules

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// play is what the test binary does where it stands for a squall: its first argument
// says how it takes signals, and it writes those to the file that it is to run.
func play(args []string) int {
	if args[0] == "play-server" {
		runner := script("play-obedient", args[1])
		_, _ = runner.Run(context.Background(), args[1], "x")
		return 0
	}
	file := args[len(args)-1]
	note := func(text string) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = fmt.Fprintln(f, text)
		}
		if err != nil {
			panic(err)
		}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	note(strings.Join(args[1:len(args)-1], " "))
	switch args[0] {
	case "play-exits":
		return 4
	case "play-crashes":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	for s := range signals {
		note(s.String())
		if args[0] == "play-obedient" || args[0] == "play-slow" && s == syscall.SIGTERM {
			return 130
		}
	}
	return 0
}

// script returns a runner whose program is this test binary in a part: a runner gives
// the arguments, so the part stands in the program's name, a script.
func script(part, file string) *ProcessRunner {
	path := filepath.Join(filepath.Dir(file), part)
	text := fmt.Sprintf("#!/bin/sh\nexec %s %s \"$@\"\n", os.Args[0], part)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		panic(err)
	}
	return &ProcessRunner{Program: path, Stdout: os.Stdout, Stderr: os.Stderr, Patience: 300 * time.Millisecond}
}

const arguments = "run --experiment=x --output=json --\n"

func TestProcessRunner(t *testing.T) {
	for part, test := range map[string]struct {
		exit int
		err  error
		said string
	}{
		"play-exits":    {4, nil, arguments},
		"play-crashes":  {0, errAny, arguments},
		"play-obedient": {130, nil, arguments + "interrupt\n"},
		"play-slow":     {130, nil, arguments + "interrupt\nterminated\n"},
		"play-deaf":     {0, ErrKilled, arguments + "interrupt\nterminated\n"},
	} {
		t.Run(part, func(t *testing.T) {
			file := newFile(t)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { // stopped as soon as it runs
				defer cancel()
				for ctx.Err() == nil && content(t, file) == "" {
					time.Sleep(time.Millisecond)
				}
				if part == "play-exits" || part == "play-crashes" {
					<-ctx.Done()
				}
			}()
			exit, err := script(part, file).Run(ctx, file, "x")
			cancel()
			if exit != test.exit || (test.err == nil) != (err == nil) || !errors.Is(err, test.err) && !errors.Is(test.err, errAny) {
				t.Errorf("exit %d, %v", exit, err)
			}
			if said := content(t, file); said != test.said {
				t.Errorf("it said %q, want %q", said, test.said)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := script("play-exits", newFile(t)).Run(ended, "f", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("started though it is over: %v", err)
	}
	if _, err := (&ProcessRunner{Program: "/no/such/squall"}).Run(t.Context(), "f", "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

var errAny = errors.New("any")

func newFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// A process that keeps the output open, as a careless command might, does not keep a
// run from having ended.
func TestProcessRunnerOutputKeptOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the output's time limit")
	}
	path := filepath.Join(t.TempDir(), "squall")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho said; sleep 60 & echo $! >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, pid bytes.Buffer
	exit, err := (&ProcessRunner{Program: path, Stdout: &out, Stderr: &pid}).Run(t.Context(), "f", "x")
	if exit != 1 || err != nil || out.String() != "said\n" {
		t.Errorf("exit %d, %v, %q", exit, err, out.String())
	}
	var sleeper int
	if _, err := fmt.Sscan(pid.String(), &sleeper); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(sleeper, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// The death of a server stops what it runs.
func TestServerIsKilled(t *testing.T) {
	file := newFile(t)
	server := exec.Command(os.Args[0], "play-server", file)
	out, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(want string) {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); content(t, file) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("it said %q, want %q", content(t, file), want)
			}
		}
	}
	await(arguments)
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(arguments + "interrupt\n")
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Log(lines.Text())
	}
	_ = server.Wait()
}
