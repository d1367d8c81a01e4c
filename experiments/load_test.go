package experiments_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

func load(t *testing.T, file string) *experiments.Documents {
	t.Helper()
	docs, err := experiments.LoadFile(filepath.Join("testdata", "good", file), vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestLoadReadsEveryField(t *testing.T) {
	docs := load(t, "full.yaml")
	if len(docs.Experiments) != 1 || len(docs.Schedules) != 0 {
		t.Fatalf("loaded %d experiments and %d schedules, want 1 and 0", len(docs.Experiments), len(docs.Schedules))
	}
	e := docs.Experiments[0]
	wantMetadata := experiments.Metadata{
		Name: "slow-payments", Description: "Checkout keeps serving while payments answers 200 ms late.",
		Owner: "team-checkout", Labels: map[string]string{"tier": "1"}, Runbook: "https://example.com/runbooks/checkout",
	}
	if !reflect.DeepEqual(e.Metadata, wantMetadata) {
		t.Errorf("metadata is %+v, want %+v", e.Metadata, wantMetadata)
	}
	s := e.Spec
	if want := (experiments.Limits{Duration: quantity.Duration(5 * time.Minute), Targets: 3, Percent: 50}); s.Limits != want {
		t.Errorf("limits are %+v, want %+v", s.Limits, want)
	}
	if want := (experiments.Pick{Percent: 50, Seed: 7}); s.Targets["payments"].Pick != want {
		t.Errorf("pick is %+v, want %+v", s.Targets["payments"].Pick, want)
	}
	if got := s.Targets["web"].Selector.Spec.(*docker); got.Name != "web-1" {
		t.Errorf("the shorthand selector is %+v", got)
	}
	if want := (http{URL: "http://127.0.0.1:8080/checkout", Timeout: quantity.Duration(2 * time.Second), Weight: 0.5}); *s.SLIs["checkout"].Sampler.Spec.(*http) != want {
		t.Errorf("sampler is %+v, want %+v", s.SLIs["checkout"].Sampler.Spec, want)
	}
	wantFault := &network{
		Delay: quantity.Duration(500 * time.Microsecond), Loss: 0.5, Rate: 10e6,
		To: &filter{Ports: []uint16{5432}, Hosts: []string{"db.example.com"}},
	}
	if got := s.Faults[0].Effect; got.Key != "network" || !reflect.DeepEqual(got.Spec, wantFault) {
		t.Errorf("fault is %s %+v, want network %+v", got.Key, got.Spec, wantFault)
	}
	if got := s.Guards.Pass[0].If.Value; got != "checkout.p99(\"30s\")\n  < 2.0 * checkout.baseline().p99()\n" {
		t.Errorf("the pass rule is %q", got)
	}
	if got := s.Guards.Abort; got[0].For.D() != time.Second || got[0].NoData != "abort" || got[1].NoData != "hold" {
		t.Errorf("the abort rules are %+v", got)
	}
	if !s.SLIs["checkout"].InsideBlastRadius || !s.Faults[2].AllowIrreversible {
		t.Error("a true was not read")
	}
	if e.File != filepath.Join("testdata", "good", "full.yaml") {
		t.Errorf("file is %q", e.File)
	}
}

func TestLoadFillsDefaults(t *testing.T) {
	e := load(t, "small.yaml").Experiments[0]
	if got, want := e.Spec.Limits, (experiments.Limits{Targets: 10, Percent: 100}); got != want {
		t.Errorf("limits are %+v, want %+v", got, want)
	}
	if e.Spec.Baseline.D() != 10*time.Second || e.Spec.Recovery.D() != 30*time.Second {
		t.Errorf("baseline %s and recovery %s, want 10s and 30s", e.Spec.Baseline, e.Spec.Recovery)
	}
	if got := e.Spec.Faults[0].Effect.Spec.(*container).Kill; got != "SIGKILL" {
		t.Errorf("the default signal is %q", got)
	}
	if e.Spec.Faults[0].Name != "web-container" {
		t.Errorf("the fault is called %q", e.Spec.Faults[0].Name)
	}
}

func TestFaultNames(t *testing.T) {
	var names []string
	for _, f := range load(t, "full.yaml").Experiments[0].Spec.Faults {
		names = append(names, f.Name)
	}
	if want := []string{"slow", "payments-container", "payments-container-2"}; !slices.Equal(names, want) {
		t.Errorf("names are %q, want %q", names, want)
	}
	// A name that was given is never given to another fault.
	docs, problems := experiments.Load("", []byte(`
apiVersion: squall/v1
kind: Experiment
metadata: {name: x}
spec:
  targets: {web: {docker: web}}
  faults:
    - {target: web, container: {}, for: 1s}
    - {target: web, container: {}, for: 1s, name: web-container}
`), vocabulary())
	if problems != nil {
		t.Fatal(problems)
	}
	if f := docs.Experiments[0].Spec.Faults; f[0].Name != "web-container-2" || f[1].Name != "web-container" {
		t.Errorf("names are %q and %q", f[0].Name, f[1].Name)
	}
}

func TestFaultWindow(t *testing.T) {
	s := load(t, "full.yaml").Experiments[0].Spec
	for i, want := range [][2]time.Duration{{10, 70}, {40, 70}, {50, 55}} {
		start, end := s.FaultWindow(s.Faults[i])
		if start != want[0]*time.Second || end != want[1]*time.Second {
			t.Errorf("fault %d lasts from %s to %s, want %ds to %ds", i, start, end, want[0], want[1])
		}
	}
	if got, want := s.Duration(), 115*time.Second; got != want {
		t.Errorf("the run takes %s, want %s", got, want)
	}
}

func TestDigestDependsOnOneDocument(t *testing.T) {
	data, err := os.ReadFile("testdata/good/several.yaml")
	if err != nil {
		t.Fatal(err)
	}
	digest := func(text string) string {
		docs, problems := experiments.Load("f", []byte(text), vocabulary())
		if problems != nil {
			t.Fatal(problems)
		}
		return docs.Experiments[0].Digest
	}
	before := digest(string(data))
	if len(before) != 64 {
		t.Errorf("the digest is %q", before)
	}
	if digest(strings.Replace(string(data), "0 3 * * 1-5", "0 4 * * 1-5", 1)) != before {
		t.Error("the digest of the experiment changed with the schedule before it")
	}
	if digest(strings.Replace(string(data), "100ms", "101ms", 1)) == before {
		t.Error("the digest did not change with the experiment")
	}
}

func TestAliasIsDecodedWhereItStands(t *testing.T) {
	docs := load(t, "several.yaml")
	if len(docs.Experiments) != 1 || len(docs.Schedules) != 1 {
		t.Fatalf("loaded %d experiments and %d schedules, want 1 and 1", len(docs.Experiments), len(docs.Schedules))
	}
	for i, f := range docs.Experiments[0].Spec.Faults {
		if got := f.Effect.Spec.(*network).Delay.D(); got != 100*time.Millisecond {
			t.Errorf("fault %d has the delay %s", i, got)
		}
	}
}

// What loads cleanly is returned, whatever is wrong with the documents around it.
func TestLoadKeepsSoundDocuments(t *testing.T) {
	const sound = "apiVersion: squall/v1\nkind: Experiment\nmetadata: {name: %}\nspec: {targets: {web: {docker: web}}, faults: [{target: web, container: {}, for: 30s}]}\n"
	for name, broken := range map[string]string{
		"syntax":        "apiVersion: [\n",
		"duplicate key": strings.Replace(sound, "spec:", "kind: Experiment\nspec:", 1),
		"unknown field": strings.Replace(sound, "spec:", "specs:", 1),
		"check":         strings.Replace(sound, "%", "A B", 1),
		"kind":          "apiVersion: squall/v1\nkind: Foo\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(sound, "%", "first", 1) + "---\n" + broken + "---\n" + strings.Replace(sound, "%", "last", 1)
			docs, problems := experiments.Load("f.yaml", []byte(text), vocabulary())
			if len(problems) == 0 {
				t.Error("there is no problem")
			}
			var names []string
			for _, e := range docs.Experiments {
				names = append(names, e.Metadata.Name)
			}
			if want := []string{"first", "last"}; !slices.Equal(names, want) {
				t.Errorf("loaded %q, want %q; the problems are:\n%v", names, want, problems)
			}
		})
	}
}

func TestLoadFileRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# comment\n", strict.MaxSize/10+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe:                           "not a regular file",
		dir:                            "not a regular file",
		filepath.Join(dir, "not-here"): "no such file",
		big:                            "more than the 1048576 that squall reads",
	} {
		docs, err := experiments.LoadFile(path, vocabulary())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("loading %s: %v, want %q", filepath.Base(path), err, want)
		}
		if docs == nil || len(docs.Experiments)+len(docs.Schedules) != 0 {
			t.Errorf("loading %s returns %+v", filepath.Base(path), docs)
		}
	}
	_, err := experiments.LoadFile(dir, vocabulary())
	if len(hint.Of(err)) == 0 {
		t.Error("the error about a folder has no hint")
	}
	_, err = experiments.LoadFile(filepath.Join("testdata", "broken", "unknown-field.yaml"), vocabulary())
	var problems strict.Problems
	if !errors.As(err, &problems) || len(problems) != 1 {
		t.Errorf("the error of a broken file is %T: %v", err, err)
	}
}

func BenchmarkLoad(b *testing.B) {
	data, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		b.Fatal(err)
	}
	voc := vocabulary()
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := experiments.Load("full.yaml", data, voc); problems != nil {
			b.Fatal(problems)
		}
	}
}
