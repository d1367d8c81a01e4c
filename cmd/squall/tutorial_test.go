package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/require"
)

// tutorialNetwork is the addresses that the tutorial uses.
var tutorialNetwork = netip.MustParsePrefix("198.51.100.0/30")

// fence is a block of a page.
var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// The tutorial is true: its files are written and its commands run, in their order,
// and each must answer what the page shows.
func TestTutorial(t *testing.T) {
	require.Root(t)
	page, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	tutorialIsFree(t)
	dir := t.TempDir()
	var steps []tutorialStep
	for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
		switch language, text := block[1], block[2]; language {
		case "yaml":
			name, found := strings.CutPrefix(strings.SplitN(text, "\n", 2)[0], "# ")
			if !found {
				t.Fatalf("a document without its name in its first line:\n%s", text)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		case "console":
			steps = append(steps, tutorialSteps(t, text)...)
		}
	}
	if len(steps) < 20 {
		t.Fatalf("the page has %d commands", len(steps))
	}
	for i, output := range runTutorial(t, dir, steps) {
		if missing := steps[i].missing(output); missing != "" {
			t.Errorf("$ %s\nlacks the line %q:\n%s", steps[i].command, missing, output)
		}
	}
}

// tutorialIsFree makes sure that the tutorial meets nothing of anybody else's, and
// cleans up where it ended early.
func tutorialIsFree(t *testing.T) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Overlaps(tutorialNetwork) {
			t.Fatalf("this machine uses the tutorial's addresses: %s", prefix)
		}
	}
	if _, err := os.Lstat("/run/netns/tutorial"); err == nil {
		t.Fatal("there is a network namespace called tutorial: ip netns delete tutorial")
	}
	t.Cleanup(func() {
		if _, err := os.Lstat("/run/netns/tutorial"); err == nil {
			clean := exec.Command("sh", "-c", "ip netns pids tutorial | xargs -r kill; ip netns delete tutorial")
			if output, err := clean.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		}
	})
}

// tutorialStep is a command with the lines of its answer that the page shows.
type tutorialStep struct {
	command string
	lines   []string
}

func tutorialSteps(t *testing.T, console string) (steps []tutorialStep) {
	t.Helper()
	for line := range strings.Lines(console) {
		line = strings.TrimRight(line, "\n")
		if command, found := strings.CutPrefix(line, "$ "); found {
			steps = append(steps, tutorialStep{command: command})
		} else if len(steps) == 0 {
			t.Fatalf("an answer before the first command: %s", line)
		} else {
			last := &steps[len(steps)-1]
			last.lines = append(last.lines, line)
		}
	}
	return steps
}

// missing returns the first of the page's lines that an answer lacks. The lines stand
// in their order, with others between them; "..." stands for anything, and so does
// the amount of blanks.
func (s tutorialStep) missing(output string) string {
	rest := strings.Split(output, "\n")
	for _, line := range s.lines {
		pattern := regexp.QuoteMeta(strings.Join(strings.Fields(line), " "))
		pattern = "^" + strings.ReplaceAll(pattern, regexp.QuoteMeta("..."), ".*") + "$"
		wanted := regexp.MustCompile(pattern)
		found := false
		for !found && len(rest) > 0 {
			found = wanted.MatchString(strings.Join(strings.Fields(rest[0]), " "))
			rest = rest[1:]
		}
		if !found {
			return line
		}
	}
	return ""
}

// runTutorial runs the commands in one shell, as their reader does, and returns what
// each answered.
func runTutorial(t *testing.T, dir string, steps []tutorialStep) []string {
	t.Helper()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	const mark = "----- next -----"
	var script strings.Builder
	for _, step := range steps {
		// The mark between two commands must not change $?. What is started in the
		// background needs a moment until it serves, as it has while one reads on.
		fmt.Fprintf(&script, "%s\nlast=$?; echo; echo '%s'; ", step.command, mark)
		if strings.HasSuffix(step.command, "&") {
			script.WriteString("sleep 1; ")
		}
		script.WriteString("(exit $last)\n")
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", script.String())
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(buildSquall(t))+":"+os.Getenv("PATH"), "SQUALL_STATE="+state, "NO_COLOR=1")
	shell.WaitDelay = 10 * time.Second
	var output bytes.Buffer
	shell.Stdout, shell.Stderr = &output, &output
	err := shell.Run()
	answers := strings.Split(output.String(), mark)
	if len(answers) != len(steps)+1 {
		t.Fatalf("%d of %d commands were run: %v\n%s", len(answers)-1, len(steps), err, &output)
	}
	return answers[:len(steps)]
}
