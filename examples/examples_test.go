// Package examples_test runs every example on a real stack.
package examples_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/all"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/network"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/safety/deadman"
	"github.com/squallhq/squall/schedules"
)

// TestMain lets the test binary be its own deadman, and the holder of its own shapers.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "shaper" {
		if err := network.HoldShaper(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) != 3 || os.Args[1] != "deadman" {
		// The experiments wait more than they work, and don't disturb each other.
		if err := flag.Set("test.parallel", "16"); err != nil {
			panic(err)
		}
		os.Exit(dockertest.Main(m))
	}
	_, err := deadman.Serve(context.Background(), deadman.ServeOptions{
		Journal: os.Args[2],
		Revert: func(ctx context.Context, path string) error {
			return engine.Recover(ctx, registry(), path).Err
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func registry() *injectors.Registry { return all.Registry(docker.New(), shaper...) }

// shaper is how this program becomes the holder of a shaper.
var shaper = []string{os.Args[0], "shaper"}

// Every example, with the verdict on a shop that retries, and on one that does not.
// Both are run where the difference is what the example is there to find. A shop that
// is to live with a slow dependency waits longer for it.
var verdicts = map[string]struct {
	good, naive engine.Verdict
	patience    time.Duration
	alone       bool // latencies are what it is about: nothing beside it may disturb them
}{
	"compose-stack.yaml":    {good: engine.Held},
	"cut-off-database.yaml": {good: engine.Held},
	"error-budget.yaml":     {good: engine.Held},
	"frozen-replica.yaml":   {good: engine.Held, naive: engine.Breached},
	"host-interface.yaml":   {good: engine.Held},
	"killed-replica.yaml":   {good: engine.Held, naive: engine.Breached},
	"lossy-link.yaml":       {good: engine.Held},
	"nightly.yaml":          {good: engine.Held},
	"pre-release.yaml":      {good: engine.Held},
	"restart-storm.yaml":    {good: engine.Held},
	"slow-dependency.yaml":  {good: engine.Held, naive: engine.Breached, patience: 700 * time.Millisecond, alone: true},
}

func files(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if known := slices.Sorted(maps.Keys(verdicts)); !slices.Equal(found, known) {
		t.Fatalf("the examples are %q, and those with a known verdict %q", found, known)
	}
	return found
}

func load(t *testing.T, file, text string) *experiments.Documents {
	t.Helper()
	documents, problems := experiments.Load(file, []byte(text), engine.Vocabulary(registry()))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return documents
}

func compile(t *testing.T, experiment *experiments.Experiment) *engine.Program {
	t.Helper()
	program, problems := engine.Compile(experiment)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return program
}

// What an editor says about the examples, and what check says: nothing.
func TestExamplesAreRight(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../experiments/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("# ")) {
			t.Errorf("%s does not begin with what it is for", file)
		}
		var values []any
		if err := yaml.Load(text, &values, yaml.WithAllDocuments()); err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		documents := load(t, file, string(text))
		for _, experiment := range documents.Experiments {
			if compile(t, experiment); experiment.Metadata.Description == "" {
				t.Errorf("%s: %s has no description", file, experiment.Metadata.Name)
			}
		}
		for _, schedule := range documents.Schedules {
			if _, problems := schedules.Compile(schedule); len(problems) > 0 {
				t.Errorf("%s: %v", file, problems)
			}
		}
	}
}

// Every example runs on a real stack, and comes to its verdict.
func TestExamplesRun(t *testing.T) {
	for _, file := range files(t) {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(name, func(t *testing.T) {
			if !verdicts[file].alone {
				t.Parallel()
			}
			run(t, newStack(t, false, verdicts[file].patience), file, verdicts[file].good)
		})
		if verdict := verdicts[file].naive; verdict != "" {
			t.Run(name+" without retries", func(t *testing.T) {
				t.Parallel()
				run(t, newStack(t, true, 0), file, verdict)
			})
		}
	}
}

func run(t *testing.T, s *stack, file string, verdict engine.Verdict) {
	original, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := s.here(string(original))
	if strings.Contains(text, "prometheus:") {
		text = strings.ReplaceAll(text, "127.0.0.1:9090", s.prometheus())
	}
	if strings.Contains(text, "storage0") {
		text = strings.ReplaceAll(text, "storage0", s.storage())
	}
	for _, experiment := range load(t, file, text).Experiments {
		hurry(&experiment.Spec)
		host := newHost(t)
		plan, err := engine.BuildPlan(t.Context(), host, experiment, compile(t, experiment))
		if err != nil {
			t.Fatal(err)
		}
		var log []string
		result := engine.NewRun(host, plan, func(e engine.Event) {
			log = append(log, fmt.Sprintf("%s %s", e.At.Format("15:04:05.000"), e.Text))
		}).Do(t.Context())
		if result.Verdict != verdict || result.Rollback != engine.Clean {
			t.Errorf("%s, %s; want %s, clean: %s\n%s", result.Verdict, result.Rollback, verdict, result.Reason, strings.Join(log, "\n"))
		}
		for _, fault := range result.Faults {
			if fault.Evidence.Touched == 0 {
				t.Errorf("fault %s on %s touched nothing: %s", fault.Name, fault.Target, fault.Evidence.Detail)
			}
		}
		if entries, err := os.ReadDir(host.StateDir); err != nil || len(entries) > 0 {
			t.Errorf("left in the state directory: %v, %v", entries, err)
		}
	}
	for _, replica := range s.replicas {
		if c := dockertest.Inspect(t, s.docker, replica.ID); c.State != docker.Running {
			t.Errorf("%s is %s", c.Name, c.State)
		}
	}
}

// hurry makes an experiment four times as short. The rules, their windows and the
// sampling stay as they are.
func hurry(spec *experiments.Spec) {
	const times = 4
	spec.Baseline /= times
	for i := range spec.Faults {
		spec.Faults[i].At /= times
		spec.Faults[i].For /= times
	}
}

func newHost(t *testing.T) engine.Host {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	client := docker.New()
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine.Host{
		Registry: all.Registry(client, shaper...),
		Resolver: target.New(client),
		StateDir: state,
		Deadman: func(ctx context.Context, path string, deadline time.Duration) (engine.Deadman, error) {
			return deadman.Start(ctx, deadman.Options{Argv: []string{os.Args[0], "deadman"}, Journal: path, Deadline: deadline})
		},
	}
}
