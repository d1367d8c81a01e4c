package sli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

const (
	maxOutput = 64 << 10 // bytes of a command's output that are kept
	maxArgs   = 256
	// pipeGrace is how long a command's pipes are read after it ended, where
	// something that left its process group still holds them.
	pipeGrace = 50 * time.Millisecond
)

// Command is an SLI that runs a program, without a shell. The sample is ok where the
// program exits with 0, and its value is the number that it prints on its standard
// output, where it prints one and nothing else. The program runs in the root
// directory, with squall's environment, no input, and a process group of its own,
// of which nothing is left when the attempt ends.
type Command struct {
	Argv  []string          `yaml:"argv" required:"true" doc:"The program and its arguments. The program is an absolute path, or a name that PATH finds." example:"[pg_isready, -h, 127.0.0.1]"`
	Limit quantity.Duration `yaml:"timeout" doc:"The longest that one attempt may take, at most the sampling interval. The interval, but at most 5s, where this is left out." example:"500ms"`
}

// Unit is Number.
func (c *Command) Unit() Unit { return Number }

// Timeout is the longest that one attempt may take, 0 where left out.
func (c *Command) Timeout() time.Duration { return c.Limit.D() }

// Check reports what is wrong with the definition.
func (c *Command) Check(at strict.Value) strict.Problems {
	problems := checkTimeout(c.Limit, at)
	argv := at.Field("argv")
	switch {
	case len(c.Argv) == 0 || c.Argv[0] == "":
		return append(problems, argv.Problemf("argv names no program"))
	case len(c.Argv) > maxArgs:
		return append(problems, argv.Problemf("argv has more than %d items", maxArgs))
	}
	program := c.Argv[0]
	items := argv.Items()
	switch {
	case len(c.Argv) == 1 && strings.ContainsAny(program, " |;&><$"):
		problems = append(problems, items[0].Problemf("the program %q looks like a line for a shell", program).
			WithHint("write each argument as an item of its own: [curl, -f, …]"))
	case strings.ContainsRune(program, filepath.Separator) && !filepath.IsAbs(program):
		problems = append(problems, items[0].Problemf("the program %q is a relative path", program).
			WithHint("write an absolute path, or a name that PATH finds"))
	}
	for i, arg := range c.Argv {
		if strings.ContainsRune(arg, 0) {
			problems = append(problems, items[i].Problemf("an argument cannot hold a zero byte"))
		}
	}
	return problems
}

// Open finds the program.
func (c *Command) Open(Env) (Sampler, error) {
	path, err := exec.LookPath(c.Argv[0])
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("cannot run %q: %w", c.Argv[0], err), "install it, or write its absolute path")
	}
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("cannot run %q: PATH finds it in a relative directory", c.Argv[0])
	}
	return &commandSampler{path: path, argv: c.Argv}, nil
}

type commandSampler struct {
	path string
	argv []string
}

func (s *commandSampler) Sample(ctx context.Context) Sample {
	command := &exec.Cmd{Path: s.path, Args: s.argv, Dir: "/"}
	var stdout, stderr clipped
	command.Stdout, command.Stderr = &stdout, &stderr
	err := runGroup(ctx, command)
	switch {
	case ctx.Err() != nil:
		return failed("the command did not end in time, and was killed")
	case err != nil:
		return failed("%s", commandReason(err, &stderr))
	case stdout.surplus:
		return Sample{OK: true, Err: fmt.Sprintf("the command printed more than %d bytes", maxOutput)}
	}
	sample := Sample{OK: true}
	text := strings.TrimSpace(string(stdout.kept))
	if value, err := strconv.ParseFloat(text, 64); err == nil {
		sample.set(value)
	} else {
		sample.Err = "the command printed no number"
	}
	return sample
}

// commandReason explains a failure with the command's own last words.
func commandReason(err error, stderr *clipped) string {
	reason := err.Error()
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		reason = "cannot run the command: " + reason
	}
	if words := strings.TrimSpace(string(stderr.kept)); words != "" {
		reason += ": " + words
	}
	return reason
}

// clipped keeps the first bytes that are written, and swallows the others, so that
// the command neither fills the memory nor blocks.
type clipped struct {
	kept    []byte
	surplus bool
}

func (c *clipped) Write(p []byte) (int, error) {
	room := maxOutput - len(c.kept)
	c.surplus = c.surplus || len(p) > room
	c.kept = append(c.kept, p[:min(len(p), room)]...)
	return len(p), nil
}
