package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/strict"
)

// The labels that docker compose puts on its containers.
const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
)

// criterion is one thing that a container must match.
type criterion struct {
	what    string // "image", "label tier"
	wanted  Pattern
	values  func(docker.Summary) []string // what a container has to offer
	matches func(value string) bool
}

func (c criterion) of(s docker.Summary) bool { return slices.ContainsFunc(c.values(s), c.matches) }

func (d *Docker) criteria() (list []criterion) {
	add := func(what string, wanted Pattern, values func(docker.Summary) []string) {
		if wanted.given() {
			list = append(list, criterion{what, wanted, values, wanted.Match})
		}
	}
	label := func(key string) func(docker.Summary) []string {
		return func(s docker.Summary) []string {
			if value, found := s.Labels[key]; found {
				return []string{value}
			}
			return nil
		}
	}
	if d.ID != "" {
		list = append(list, criterion{"id", Pattern{text: d.ID},
			func(s docker.Summary) []string { return []string{s.ID} },
			func(id string) bool { return strings.HasPrefix(id, d.ID) }})
	}
	add("name", d.Name, func(s docker.Summary) []string { return []string{s.Name} })
	add("image", d.Image, func(s docker.Summary) []string { return []string{s.Image} })
	add("network", d.Network, func(s docker.Summary) []string { return s.Networks })
	add("compose project", d.Project, label(projectLabel))
	add("compose service", d.Service, label(serviceLabel))
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) {
		add("label "+key, d.Labels[key], label(key))
	}
	return list
}

func (r *Resolver) docker(ctx context.Context, spec *Docker) (m Matches, nearest string, err error) {
	list, err := r.containers.List(ctx)
	if err != nil {
		return m, "", err
	}
	if spec.Image.given() {
		if list, err = r.nameImages(ctx, list); err != nil {
			return m, "", err
		}
	}
	protected, err := r.protected(ctx, list)
	if err != nil {
		return m, "", err
	}
	criteria := spec.criteria()
	own := ownContainers()
	for _, summary := range list {
		if slices.ContainsFunc(criteria, func(c criterion) bool { return !c.of(summary) }) {
			continue
		}
		container, err := r.containers.Inspect(ctx, summary.ID)
		if errors.Is(err, docker.ErrNotFound) {
			continue // it was removed since the list was made
		}
		if err != nil {
			return m, "", err
		}
		target, err := r.container(ctx, container)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			m.Excluded = append(m.Excluded, Exclusion{target, "its process ended just now"})
			continue
		}
		if err != nil {
			return m, "", err
		}
		target.Why = why(criteria, summary)
		if reason := cmp.Or(excluded(container, own), protected.shares(owner(container), target.NetNSID)); reason != "" {
			m.Excluded = append(m.Excluded, Exclusion{target, reason})
			continue
		}
		target.Why += ", running"
		m.Targets = append(m.Targets, target)
	}
	return m, nearMiss(criteria, list), nil
}

// nameImages gives containers back the image's name that they were made with. A
// list shows the image's digest instead once the name has moved on to a newer one.
func (r *Resolver) nameImages(ctx context.Context, list []docker.Summary) ([]docker.Summary, error) {
	named := list[:0]
	for _, summary := range list {
		if strings.HasPrefix(summary.Image, "sha256:") {
			container, err := r.containers.Inspect(ctx, summary.ID)
			if errors.Is(err, docker.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			summary.Image = container.Image
		}
		named = append(named, summary)
	}
	return named, nil
}

// isProtected reports whether labels keep their container from being a target.
func isProtected(labels map[string]string) bool {
	value, labelled := labels[ProtectLabel]
	return labelled && value != "false"
}

func excluded(c docker.Container, own map[string]bool) string {
	switch {
	case isProtected(c.Labels):
		return "it is labelled " + ProtectLabel
	case own[c.ID] || c.PID != 0 && isAncestor(c.ID, c.PID):
		return "squall itself runs in it"
	case c.State != docker.Running:
		return fmt.Sprintf("it is %s, not running", c.State)
	}
	return ""
}

func why(criteria []criterion, s docker.Summary) string {
	var reasons []string
	for _, c := range criteria {
		for _, value := range c.values(s) {
			if !c.matches(value) {
				continue
			}
			reason := c.what + " " + value
			if strings.HasPrefix(c.what, "label ") {
				reason = c.what + "=" + value
			}
			if c.wanted.re != nil {
				reason += " matches " + c.wanted.text
			}
			reasons = append(reasons, reason)
			break
		}
	}
	return strings.Join(reasons, ", ")
}

// container describes a container as a target. What can be seen from here depends
// on where the engine runs: a remote one shows no process and no namespace.
func (r *Resolver) container(ctx context.Context, c docker.Container) (injectors.Target, error) {
	t := injectors.Target{
		Kind: injectors.KindContainer, ID: c.ID, Name: c.Name, PID: c.PID,
		HostNet: c.NetworkMode == "host", Addresses: c.Addresses, Ports: c.Ports,
	}
	// A container in another one's namespace has that one's addresses and ports.
	if owner, shared := strings.CutPrefix(c.NetworkMode, "container:"); shared {
		container, err := r.containers.Inspect(ctx, owner)
		if err != nil && !errors.Is(err, docker.ErrNotFound) {
			return t, err
		}
		t.Addresses = append(t.Addresses, container.Addresses...)
		t.Ports = append(t.Ports, container.Ports...)
	}
	if err := see(&t, c); err != nil {
		return t, fmt.Errorf("cannot look into container %q: %w", c.Name, err)
	}
	slices.SortFunc(t.Addresses, netip.Addr.Compare)
	t.Addresses = slices.Compact(t.Addresses)
	return t, nil
}

// nearMiss says why no container matched: the first criterion that no container
// meets on its own, and what the containers have instead.
func nearMiss(criteria []criterion, list []docker.Summary) string {
	if len(list) == 0 {
		return "the Docker engine has no container at all"
	}
	for _, c := range criteria {
		if slices.ContainsFunc(list, c.of) {
			continue
		}
		having := 0
		values := map[string]bool{}
		for _, s := range list {
			if offered := c.values(s); len(offered) > 0 {
				having++
				for _, value := range offered {
					values[value] = true
				}
			}
		}
		if having == 0 {
			return fmt.Sprintf("no container has a %s%s", c.what, similar(c, list))
		}
		known := slices.Sorted(maps.Keys(values))
		if meant := strict.Suggest(c.wanted.text, known); meant != "" {
			return fmt.Sprintf("no container has the %s %q: did you mean %q?", c.what, c.wanted, meant)
		}
		return fmt.Sprintf("no container has the %s %q; of %d, %d have one: %s", c.what, c.wanted, len(list), having, some(known))
	}
	return "each of the criteria is met by some container, but no container meets all of them"
}

// similar names the label key that was probably meant.
func similar(c criterion, list []docker.Summary) string {
	key, isLabel := strings.CutPrefix(c.what, "label ")
	if !isLabel {
		return ""
	}
	keys := map[string]bool{}
	for _, s := range list {
		for key := range s.Labels {
			keys[key] = true
		}
	}
	if meant := strict.Suggest(key, slices.Sorted(maps.Keys(keys))); meant != "" {
		return fmt.Sprintf(": did you mean the label %q?", meant)
	}
	return ""
}

// some shows the first few of a list.
func some(values []string) string {
	var quoted []string
	for _, value := range values[:min(len(values), maxNear)] {
		quoted = append(quoted, fmt.Sprintf("%.60q", value))
	}
	text := strings.Join(quoted, ", ")
	if more := len(values) - maxNear; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
