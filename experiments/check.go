package experiments

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/squallhq/squall/internal/strict"
)

// The bounds of a document's parts.
const (
	minEvery   = 20 * time.Millisecond // a shorter interval measures squall, not the service
	maxEntries = 100                   // targets, SLIs, faults, or rules of one kind
	maxName    = 63
)

var (
	documentName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	faultName    = regexp.MustCompile(`^[A-Za-z0-9]([-_A-Za-z0-9]*[A-Za-z0-9])?$`)
	identifier   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
)

// reserved are the words that mean something else in guards: CEL's keywords, those
// it keeps for later, its types, and what guards have besides SLIs.
var reserved = strings.Fields(`
	as break const continue else false for function if import in let loop namespace null package return true var void while
	bool bytes double duration dyn google int list map null_type string timestamp type uint
	elapsed fault phase targets`)

// Check implements strict.Checker.
func (m *Metadata) Check(at strict.Value) (problems strict.Problems) {
	if len(m.Name) > maxName || !documentName.MatchString(m.Name) {
		problems = append(problems, at.Field("name").Problemf("`%.80s` cannot be a document's name", m.Name).
			WithHint("use lower-case letters, digits and hyphens, at most %d, like %s", maxName, plainName(m.Name)))
	}
	if u, err := url.Parse(m.Runbook); m.Runbook != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		problems = append(problems, at.Field("runbook").Problemf("`runbook` is not a link").
			WithHint("write an address that begins with https://"))
	}
	return problems
}

// plainName makes a document's name out of any text.
func plainName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	if name == "" || len(name) > maxName {
		return "slow-payments"
	}
	return name
}

// Check implements strict.Checker.
func (p *Pick) Check(at strict.Value) (problems strict.Problems) {
	switch {
	case at.Has("count") && at.Has("percent"):
		return strict.Problems{at.Field("percent").Problemf("`count` and `percent` exclude each other").WithHint("keep one of them")}
	case at.Has("count") && p.Count < 1:
		return strict.Problems{at.Field("count").Problemf("`count` must be at least 1").WithHint("leave `pick` out to take all matches")}
	case at.Has("percent") && p.Percent <= 0:
		return strict.Problems{at.Field("percent").Problemf("`percent` must be more than 0").WithHint("leave `pick` out to take all matches")}
	}
	return nil
}

// Check implements strict.Checker.
func (s *SLI) Check(at strict.Value) strict.Problems {
	if s.Every.D() >= minEvery {
		return nil
	}
	return strict.Problems{at.Field("every").Problemf("an SLI cannot be sampled every %s", s.Every).WithHint("write 20ms or more")}
}

// Check implements strict.Checker.
func (f *Fault) Check(at strict.Value) (problems strict.Problems) {
	if f.Name != "" && (len(f.Name) > maxName || !faultName.MatchString(f.Name)) {
		problems = append(problems, at.Field("name").Problemf("`%.80s` cannot be a fault's name", f.Name).
			WithHint("use letters, digits, hyphens and underscores, at most %d", maxName))
	}
	if at.Has("for") && f.For == 0 {
		problems = append(problems, at.Field("for").Problemf("a fault cannot stay for no time").
			WithHint("write how long, like `for: 60s`, or leave `for` out to keep it until the last of the others ends"))
	}
	return problems
}

// Check implements strict.Checker.
func (l *Limits) Check(at strict.Value) (problems strict.Problems) {
	if l.Targets < 1 {
		problems = append(problems, at.Field("targets").Problemf("`targets` must be at least 1").WithHint("write the most targets that the faults may touch together"))
	}
	if l.Percent <= 0 {
		problems = append(problems, at.Field("percent").Problemf("`percent` must be more than 0").WithHint("write the largest share of a selector's matches that may be touched"))
	}
	return problems
}

// Check implements strict.Checker. It names the faults that have no name.
func (s *Spec) Check(at strict.Value) strict.Problems {
	problems := slices.Concat(
		s.checkSizes(at),
		checkNames(at.Field("targets"), "a target"),
		checkNames(at.Field("slis"), "an SLI"),
		s.checkTargets(at),
		s.nameFaults(at),
	)
	times := s.checkTimes(at)
	if len(times) == 0 {
		times = append(s.checkBaseline(at), s.checkDuration(at)...)
	}
	return append(problems, times...)
}

func (s *Spec) checkSizes(at strict.Value) (problems strict.Problems) {
	few := func(key, example string) {
		problems = append(problems, at.Field(key).Problemf("an experiment needs at least one of its `%s`", key).WithHint("add one, like `%s`", example))
	}
	if len(s.Targets) == 0 {
		few("targets", "web: {docker: {name: web}}")
	}
	if len(s.Faults) == 0 {
		few("faults", "- {target: web, container: {kill: SIGKILL}, for: 30s}")
	}
	guards := at.Field("guards")
	for _, part := range []struct {
		at strict.Value
		n  int
	}{
		{at.Field("targets"), len(s.Targets)}, {at.Field("slis"), len(s.SLIs)}, {at.Field("faults"), len(s.Faults)},
		{guards.Field("admit"), len(s.Guards.Admit)}, {guards.Field("abort"), len(s.Guards.Abort)}, {guards.Field("pass"), len(s.Guards.Pass)},
	} {
		if part.n > maxEntries {
			problems = append(problems, part.at.Problemf("`%s` has %d entries, more than %d", part.at.Path(), part.n, maxEntries).WithHint("split the experiment"))
		}
	}
	return problems
}

// checkNames checks that guards can use the keys of a mapping as names.
func checkNames(at strict.Value, what string) (problems strict.Problems) {
	for _, key := range at.Keys() {
		name, _ := key.Scalar()
		switch {
		case len(name) > maxName || !identifier.MatchString(name):
			problems = append(problems, key.Problemf("`%.80s` cannot be the name of %s: guards could not use it", name, what).
				WithHint("use letters, digits and underscores, a letter first, at most %d", maxName))
		case slices.Contains(reserved, name):
			problems = append(problems, key.Problemf("`%s` cannot be the name of %s: the word means something else in guards", name, what).
				WithHint("write another name, like %sService", name))
		}
	}
	return problems
}

// checkTargets checks that the faults' targets are there. Where there are none at
// all, that is the problem.
func (s *Spec) checkTargets(at strict.Value) (problems strict.Problems) {
	if len(s.Targets) == 0 {
		return nil
	}
	var names []string
	for _, key := range at.Field("targets").Keys() {
		name, _ := key.Scalar()
		names = append(names, name)
	}
	for i, item := range at.Field("faults").Items() {
		if _, found := s.Targets[s.Faults[i].Target]; found {
			continue
		}
		p := item.Field("target").Problemf("there is no target `%.60s`", s.Faults[i].Target)
		if near := strict.Suggest(s.Faults[i].Target, names); near != "" {
			p = p.WithHint("did you mean `%s`?", near)
		} else {
			p = p.WithHint("the targets are %.200s", strings.Join(names, ", "))
		}
		problems = append(problems, p)
	}
	return problems
}

// nameFaults gives a name to each fault without one, and checks that the others
// differ.
func (s *Spec) nameFaults(at strict.Value) (problems strict.Problems) {
	items := at.Field("faults").Items()
	lines := map[string]int{}
	for i, f := range s.Faults {
		if f.Name == "" {
			continue
		}
		name := items[i].Field("name")
		if line, taken := lines[f.Name]; taken {
			problems = append(problems, name.Problemf("another fault has the name `%s`, on line %d", f.Name, line).WithHint("give each fault a name of its own, or none"))
		}
		lines[f.Name] = name.Position().Line
	}
	for i := range s.Faults {
		f := &s.Faults[i]
		base := f.Target + "-" + f.Effect.Key
		for n := 2; f.Name == ""; n++ {
			if _, taken := lines[base]; !taken {
				f.Name = base
				lines[base] = 0
			}
			base = fmt.Sprintf("%s-%s-%d", f.Target, f.Effect.Key, n)
		}
	}
	return problems
}

// checkTimes checks that every fault has an end, and that it comes after its
// beginning.
func (s *Spec) checkTimes(at strict.Value) (problems strict.Problems) {
	last := s.FaultsDuration()
	for i, item := range at.Field("faults").Items() {
		f := s.Faults[i]
		switch {
		case f.For > 0, item.Has("for"):
		case last == 0:
			problems = append(problems, item.Problemf("cannot tell when the fault `%s` ends", f.Name).WithHint("give it `for`, like `for: 60s`"))
		case f.At.D() >= last:
			problems = append(problems, item.Field("at").Problemf("the fault `%s` starts at %s, but the last of the others ends at %s", f.Name, f.At, last).
				WithHint("give it `for`, like `for: 60s`, or let it start earlier"))
		}
	}
	return problems
}

// checkBaseline checks that the baseline sees a sample of every SLI.
func (s *Spec) checkBaseline(at strict.Value) (problems strict.Problems) {
	for _, key := range at.Field("slis").Keys() {
		name, _ := key.Scalar()
		if every := s.SLIs[name].Every; every > s.Baseline {
			problems = append(problems, at.Field("baseline").Problemf("the baseline of %s is too short for the SLI `%s`, which is sampled every %s", s.Baseline, name, every).
				WithHint("make the baseline several times as long as that, or sample more often"))
		}
	}
	return problems
}

func (s *Spec) checkDuration(at strict.Value) strict.Problems {
	need := s.Duration()
	if s.Limits.Duration == 0 || s.Limits.Duration.D() >= need {
		return nil
	}
	return strict.Problems{at.Field("limits").Field("duration").
		Problemf("the run takes %s (baseline %s, faults %s, recovery %s), longer than its limit of %s",
			need, s.Baseline, s.FaultsDuration(), s.Recovery, s.Limits.Duration).
		WithHint("raise the limit to %s, or shorten the experiment", need)}
}

// Check implements strict.Checker.
func (s *ScheduleSpec) Check(at strict.Value) strict.Problems {
	if len(s.Experiment) <= maxName && documentName.MatchString(s.Experiment) {
		return nil
	}
	return strict.Problems{at.Field("experiment").Problemf("`%.80s` is not the name of an experiment", s.Experiment).
		WithHint("write the experiment's metadata.name, like %s", plainName(s.Experiment))}
}
