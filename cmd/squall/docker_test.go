package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/require"
	"github.com/squallhq/squall/safety/journal"
)

// lab is a test's own containers, and a state directory for the runs that break them.
type lab struct {
	*testing.T
	docker         *docker.Client
	program, state string
	// stack is the value of the containers' label `stack`, and begins their names.
	stack string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	t.Parallel()
	require.Root(t)
	l := &lab{T: t, docker: dockertest.Engine(t), program: buildSquall(t), state: filepath.Join(t.TempDir(), "state")}
	if err := os.Mkdir(l.state, 0o700); err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`[^a-z]+`).ReplaceAllString(strings.ToLower(t.Name()), "-")
	l.stack = strings.Trim(words, "-")
	return l
}

// run starts a container of the lab.
func (l *lab) run(name string, spec docker.Spec) docker.Container {
	l.Helper()
	spec.Name = l.stack + "-" + name
	labels := map[string]string{"stack": l.stack}
	for key, value := range spec.Labels {
		labels[key] = value
	}
	spec.Labels = labels
	return dockertest.Run(l.T, l.docker, spec)
}

// visit keeps asking a container for a page until the test ends: a network fault
// proves itself by the packets that it touches.
func (l *lab) visit(c docker.Container) {
	l.Helper()
	ctx, stop := context.WithCancel(context.Background())
	client := &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	var visitor sync.WaitGroup
	visitor.Go(func() {
		for ctx.Err() == nil {
			// A container that was started anew can have another address, and its old one
			// can be somebody else's.
			if now, err := l.docker.Inspect(ctx, c.ID); err == nil && len(now.Addresses) > 0 {
				get(ctx, client, "http://"+net.JoinHostPort(now.Addresses[0].String(), "8080"))
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	l.Cleanup(func() { stop(); visitor.Wait() })
}

// get asks for a page, whatever comes of it.
func get(ctx context.Context, client *http.Client, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	if response, err := client.Do(request); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// process is squall at work.
type process struct {
	*lab
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

// squall starts squall with an experiment whose spec is given. Within it, $stack
// stands for the lab's label.
func (l *lab) squall(verb, spec string, flags ...string) *process {
	l.Helper()
	text := "apiVersion: squall/v1\nkind: Experiment\nmetadata: {name: test}\nspec:\n" + strings.ReplaceAll(spec, "$stack", l.stack)
	file := filepath.Join(l.TempDir(), "experiment.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
	p := &process{lab: l, cmd: exec.Command(l.program, append([]string{verb, file}, flags...)...)}
	p.cmd.Env = append(os.Environ(), "SQUALL_STATE="+l.state)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// wait returns squall's exit code.
func (p *process) wait() int {
	p.Helper()
	limit := time.AfterFunc(2*time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer limit.Stop()
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// result waits for a run's end and holds it against what is expected of it.
func (p *process) result(verdict engine.Verdict, code int) engine.Result {
	p.Helper()
	got := p.wait()
	lines := bytes.Split(bytes.TrimSpace(p.stdout.Bytes()), []byte("\n"))
	var result engine.Result
	if err := json.Unmarshal(lines[len(lines)-1], &result); err != nil {
		p.Fatalf("exit code %d, and the last line is no result: %v\n%s\n%s", got, err, &p.stdout, &p.stderr)
	}
	if result.Verdict != verdict || result.Rollback != engine.Clean || got != code {
		p.Fatalf("%s, %s, exit code %d; want %s, clean, %d: %s\n%s", result.Verdict, result.Rollback, got, verdict, code, result.Reason, &p.stderr)
	}
	p.clean()
	return result
}

// says waits for squall's end, and looks for texts in what it wrote.
func (p *process) says(code int, texts ...string) {
	p.Helper()
	got := p.wait()
	output := p.stdout.String() + p.stderr.String()
	for _, text := range texts {
		if !regexp.MustCompile(text).MatchString(output) {
			p.Errorf("nothing matches %q", text)
		}
	}
	if got != code || p.Failed() {
		p.Fatalf("exit code %d, want %d:\n%s", got, code, output)
	}
	p.clean()
}

// inFault waits until so many faults of a run are in.
func (p *process) inFault(faults int) {
	p.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		paths, err := journal.List(p.state)
		if err != nil {
			p.Fatal(err)
		}
		for _, path := range paths {
			state, err := journal.Read(path)
			if err != nil {
				continue // it was removed meanwhile, or its last line is being written
			}
			in := slices.DeleteFunc(state.Pending, func(e journal.Entry) bool { return !e.Applied })
			if len(in) == faults {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.Fatalf("no fault was put in:\n%s", &p.stderr)
}

// clean waits until nothing is left of the lab's runs: no journal, no deadman, no
// program at an interface of a container.
func (l *lab) clean() {
	l.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := residue(l.state) + deadmen(l.state)
		if left == "" {
			break
		}
		if time.Now().After(deadline) {
			l.Fatalf("left behind: %s", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
	list, err := l.docker.List(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	for _, summary := range list {
		if summary.Labels["stack"] != l.stack {
			continue
		}
		if c := dockertest.Inspect(l.T, l.docker, summary.ID); c.PID != 0 {
			if err := netns.Do("/proc/"+strconv.Itoa(c.PID)+"/ns/net", noPrograms); err != nil {
				l.Errorf("container %s: %v", c.Name, err)
			}
		}
	}
}

// deadmen lists the processes that have a state directory in their command line.
func deadmen(state string) (found string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is a good one
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(state)) {
			found += " a process: " + strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// noPrograms makes sure that no BPF program is attached to an interface of this
// namespace.
func noPrograms() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			found, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: hook})
			if err == nil && len(found.Programs) > 0 {
				err = fmt.Errorf("%d programs are attached to %s", len(found.Programs), i.Name)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// is returns what a container is doing.
func (l *lab) is(c docker.Container) docker.State {
	l.Helper()
	return dockertest.Inspect(l.T, l.docker, c.ID).State
}

// Each fault of a container takes effect, and is undone.
func TestContainerFaults(t *testing.T) {
	for _, test := range []struct {
		fault  string
		during docker.State
		anew   bool // the container lives a new life afterwards
		facts  string
	}{
		{fault: "kill: SIGKILL", during: docker.Exited, anew: true, facts: "exited with code 137"},
		{fault: "stop: 5s", during: docker.Exited, anew: true, facts: "exited with code 0"},
		{fault: "pause: true", during: docker.Paused, facts: "is paused"},
		{fault: "restart: 5s", during: docker.Running, anew: true, facts: "runs again since"},
	} {
		name, _, _ := strings.Cut(test.fault, ":")
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			before := l.run("a", docker.Spec{})
			bystander := l.run("b", docker.Spec{Labels: map[string]string{"stack": "none"}})
			run := l.squall("run", `
  targets: {a: {docker: {labels: {stack: $stack}}}}
  faults: [{target: a, container: {`+test.fault+`}, for: 1500ms}]
  baseline: 100ms
`, "--output", "json")
			run.inFault(1)
			if state := l.is(before); state != test.during {
				t.Errorf("in the fault the container is %s, want %s", state, test.during)
			}
			result := run.result(engine.Held, 0)
			if evidence := result.Faults[0].Evidence; evidence.Touched != 1 || evidence.Unit != "containers" || !strings.Contains(evidence.Detail, test.facts) {
				t.Errorf("evidence = %+v, want %q", evidence, test.facts)
			}
			after := dockertest.Inspect(t, l.docker, before.ID)
			if after.State != docker.Running || after.Life() != before.Life() != test.anew || (after.PID != before.PID) != test.anew {
				t.Errorf("afterwards it is %s, life %s, pid %d; before: %s, %d", after.State, after.Life(), after.PID, before.Life(), before.PID)
			}
			if other := dockertest.Inspect(t, l.docker, bystander.ID); other.Life() != bystander.Life() || other.State != docker.Running {
				t.Errorf("another container was touched: it is %s", other.State)
			}
		})
	}
}

// Faults in a row on one container: each meets the process and the network namespace
// that the one before has left.
func TestFaultsInARow(t *testing.T) {
	l := newLab(t)
	c := l.run("a", docker.Spec{})
	l.visit(c)
	const spec = `
  targets: {a: {docker: {labels: {stack: $stack}}}}
  faults:
    - {name: dead, target: a, container: {kill: SIGKILL}, for: 500ms}
    - {name: cut-off, target: a, network: {partition: drop}, at: 500ms, for: 1s}
    - {name: anew, target: a, container: {restart: 1s}, at: 2s, for: 500ms}
    - {name: frozen, target: a, container: {pause: true}, at: 3s, for: 500ms}
    - {name: lossy, target: a, network: {loss: 50%, direction: both}, at: 4s, for: 1s}
  baseline: 100ms
`
	l.squall("plan", spec).says(0, "note: .*planned anew when it starts")
	result := l.squall("run", spec, "--output", "json").result(engine.Held, 0)
	for _, fault := range result.Faults {
		if fault.Evidence.Touched == 0 || fault.Evidence.Lost != nil {
			t.Errorf("%s: %+v", fault.Name, fault.Evidence)
		}
	}
	if len(result.Faults) != 5 {
		t.Errorf("%d faults", len(result.Faults))
	}
}

// A fault ends with the container that a later one kills, as the plan says, and what it
// did until then counts. One that would begin in a dead container is refused.
func TestFaultsThatEndTheirTarget(t *testing.T) {
	l := newLab(t)
	l.visit(l.run("a", docker.Spec{}))
	spec := func(lossyAt, other, otherAt string) string {
		return `
  targets: {a: {docker: {labels: {stack: $stack}}}}
  faults:
    - {name: lossy, target: a, network: {loss: 50%, direction: both}, at: ` + lossyAt + `, for: 3s}
    - {name: other, target: a, container: {` + other + `}, at: ` + otherAt + `, for: 3s}
  baseline: 100ms
`
	}
	for fault, ends := range map[string]bool{"kill: SIGKILL": true, "restart: 1s": true, "pause: true": false, "kill: SIGHUP": false} {
		if ends {
			l.squall("plan", spec("1s", fault, "0s")).says(3, `faults "other" and "lossy" are on .* at the same time`, "hint: let the one that ends")
			l.squall("plan", spec("0s", fault, "1s")).says(0, `ends early, at 1s: fault "other" ends`)
		} else {
			l.squall("plan", spec("0s", fault, "1s")).says(0, "other on")
		}
	}
	result := l.squall("run", spec("0s", "kill: SIGKILL", "2s"), "--output", "json").result(engine.Held, 0)
	if lossy := result.Faults[0]; lossy.Evidence.Touched == 0 || lossy.Evidence.Lost != nil || !strings.Contains(lossy.Evidence.Detail, "by fault other") {
		t.Errorf("the evidence of the fault that ended with its target is %+v", lossy.Evidence)
	}
}

// A fault that was gone before its time proves nothing, and is no trouble either.
func TestTargetsThatAreLost(t *testing.T) {
	restart := func(l *lab, c docker.Container) error { return l.docker.Restart(l.Context(), c.ID, 0) }
	removal := func(l *lab, c docker.Container) error { return l.docker.Remove(l.Context(), c.ID) }
	for _, test := range []struct {
		name, fault string
		loss        func(*lab, docker.Container) error
		reason      string
	}{
		{"a lossy network and a restart", "network: {loss: 30%, direction: both}", restart, "the network namespace is gone|no BPF program"},
		{"a partition and a restart", "network: {partition: drop}", restart, "no BPF program"},
		{"a partition and a removal", "network: {partition: drop}", removal, "no BPF program"},
		{"a pause and a restart", "container: {pause: true}", restart, "is running"},
		{"a pause and a removal", "container: {pause: true}", removal, "somebody removed it"},
		{"a kill and a removal", "container: {kill: SIGKILL}", removal, "somebody removed it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			c := l.run("a", docker.Spec{})
			l.visit(c)
			run := l.squall("run", `
  targets: {a: {docker: {labels: {stack: $stack}}}}
  faults: [{name: f, target: a, `+test.fault+`, for: 4s}]
  baseline: 100ms
`, "--output", "json")
			run.inFault(1)
			if err := test.loss(l, c); err != nil {
				t.Fatal(err)
			}
			result := run.result(engine.Inconclusive, 4)
			if !regexp.MustCompile(`fault "f" on ".*" was gone before its time: .*(` + test.reason + `)`).MatchString(result.Reason) {
				t.Errorf("reason: %s", result.Reason)
			}
			if result.Faults[0].Evidence.Lost == nil || result.Faults[0].Reverted == nil {
				t.Errorf("fault: %+v", result.Faults[0])
			}
		})
	}
}

// Two containers that share a network namespace get a network fault once.
func TestSharedNamespace(t *testing.T) {
	l := newLab(t)
	a := l.run("a", docker.Spec{})
	l.run("b", docker.Spec{Network: "container:" + a.ID, Args: []string{"-quiet"}})
	l.visit(a)
	const spec = `
  targets: {all: {docker: {labels: {stack: $stack}}}}
  faults: [{name: lossy, target: all, network: {loss: 20%, direction: both}, for: 1s}]
  baseline: 100ms
`
	l.squall("plan", spec).says(0, `all: 2 of 2`, `lossy on `+l.stack+`-a,`, `covers `+l.stack+`-b too, which shares it`)
	result := l.squall("run", spec, "--output", "json").result(engine.Held, 0)
	if len(result.Faults) != 1 || result.Faults[0].Evidence.Touched == 0 {
		t.Errorf("faults: %+v", result.Faults)
	}
}

// A protected container is never a target, whatever matches it.
func TestProtectedContainers(t *testing.T) {
	l := newLab(t)
	protected := l.run("database", docker.Spec{Labels: map[string]string{"squall.protect": "", "tier": "data"}})
	l.run("web", docker.Spec{Labels: map[string]string{"tier": "web"}})
	const kill = `
  faults: [{target: all, container: {kill: SIGKILL}, for: 1s}]
  baseline: 100ms
`
	const everything = "  targets: {all: {docker: {labels: {stack: $stack}}}}" + kill
	l.squall("plan", everything).says(0, `all: 1 of 1`, `- container `+l.stack+`-database: it is labelled squall.protect`)
	l.squall("run", everything, "--output", "json").result(engine.Held, 0)

	const data = "  targets: {all: {docker: {labels: {stack: $stack, tier: data}}}}" + kill
	l.squall("plan", data).says(3, `A run would be refused`, `hint: container "`+l.stack+`-database" matches, but it is labelled squall.protect`)
	result := l.squall("run", data, "--output", "json").result(engine.Refused, 3)
	if !slices.ContainsFunc(result.Notes, func(note string) bool { return strings.Contains(note, "it is labelled squall.protect") }) {
		t.Errorf("notes: %q", result.Notes)
	}
	if after := dockertest.Inspect(t, l.docker, protected.ID); after.Life() != protected.Life() || after.State != docker.Running {
		t.Errorf("the protected container is %s", after.State)
	}
}

// What is refused, with the reason and the way out, before anything is touched.
func TestRefusals(t *testing.T) {
	l := newLab(t)
	var all []docker.Container
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, l.run(name, docker.Spec{Labels: map[string]string{"tier-of-refusals": "payments"}}))
	}
	all = append(all, l.run("gone-when-killed", docker.Spec{AutoRemove: true, Labels: map[string]string{"one": "rm"}}))
	for _, test := range []struct{ target, fault, more, reason, hint string }{
		{"{labels: {stack: $stack}}", "container: {kill: SIGKILL}", "  limits: {targets: 3}\n",
			"the faults would touch 4 targets; the limit is 3", "narrow the selectors"},
		{"{labels: {stack: $stack}}, pick: {count: 3}", "container: {pause: true}", "  limits: {percent: 50}\n",
			`would touch 3 of 4 matches .*; the limit is 50 %`, "pick fewer"},
		{"{labels: {one: rm, stack: $stack}}", "container: {kill: SIGKILL}", "",
			"can't be undone: .* was made with --rm", "allowIrreversible: true"},
		{"{labels: {stack: $stack, tier-of-refusals: paymants}}", "container: {pause: true}", "",
			`cannot resolve target "t": the selector matches nothing that may be touched`, `did you mean "payments"`},
		{"{labels: {tier-of-refusal: payments}}", "container: {pause: true}", "",
			"matches nothing", `no container has a label tier-of-refusal: did you mean the label "tier-of-refusals"`},
	} {
		spec := "  targets: {t: {docker: " + test.target + "}}\n  faults: [{target: t, " + test.fault + ", for: 1s}]\n  baseline: 100ms\n" + test.more
		l.squall("plan", spec).says(3, test.reason, "hint: .*"+test.hint)
		result := l.squall("run", spec, "--output", "json").result(engine.Refused, 3)
		if !regexp.MustCompile(test.reason).MatchString(result.Reason) {
			t.Errorf("reason: %s; want %s", result.Reason, test.reason)
		}
	}
	for _, c := range all {
		if after := dockertest.Inspect(t, l.docker, c.ID); after.Life() != c.Life() || after.State != docker.Running {
			t.Errorf("%s is %s", c.Name, after.State)
		}
	}
	// Who agrees to it gets it.
	l.squall("run", `
  targets: {t: {docker: {labels: {one: rm, stack: $stack}}}}
  faults: [{target: t, container: {kill: SIGKILL}, for: 1s, allowIrreversible: true}]
  baseline: 100ms
`, "--output", "json").result(engine.Held, 0)
	if _, err := l.docker.Inspect(t.Context(), all[3].ID); !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("the --rm container is still there: %v", err)
	}
}

// Nobody is left to put things back but the deadman, and it does, at once.
func TestDeadmanRevivesContainers(t *testing.T) {
	for _, test := range []struct {
		fault  string
		during docker.State
	}{
		{"pause: true", docker.Paused},
		{"kill: SIGKILL", docker.Exited},
		{"stop: 2s", docker.Exited},
	} {
		name, _, _ := strings.Cut(test.fault, ":")
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c := l.run("a", docker.Spec{})
			run := l.squall("run", `
  targets: {a: {docker: {labels: {stack: $stack}}}}
  faults: [{target: a, container: {`+test.fault+`}, for: 5m}]
  baseline: 100ms
`)
			run.inFault(1)
			if state := l.is(c); state != test.during {
				t.Fatalf("in the fault the container is %s, want %s", state, test.during)
			}
			killed := time.Now()
			if err := run.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			dockertest.Eventually(t, l.docker, c.ID, "run again", func(c docker.Container) bool { return c.State == docker.Running })
			t.Logf("it runs again %s after squall was killed", time.Since(killed).Round(time.Millisecond))
			run.wait()
			l.clean()
		})
	}
}

// A container that was healthy is healthy again when the fault is over, and not just
// started.
func TestUndoWaitsForHealth(t *testing.T) {
	l := newLab(t)
	c := l.run("a", docker.Spec{Args: []string{"-sick-for", "1500ms"}, HealthCheck: dockertest.HealthCheck()})
	result := l.squall("run", `
  targets: {a: {docker: {labels: {stack: $stack}}}}
  faults: [{target: a, container: {kill: SIGKILL}, for: 500ms}]
  baseline: 100ms
`, "--output", "json").result(engine.Held, 0)
	after := dockertest.Inspect(t, l.docker, c.ID)
	if after.Health != docker.Healthy {
		t.Errorf("its health is %q", after.Health)
	}
	if reverted := result.Faults[0].Reverted; reverted.Sub(after.StartedAt) < 1500*time.Millisecond {
		t.Errorf("called reverted at %s, started only at %s", reverted, after.StartedAt)
	}
}
