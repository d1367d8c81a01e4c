package target

import (
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/squallhq/squall/internal/strict"
)

// Docker selects containers. A container must match all that is given.
type Docker struct {
	Labels  map[string]Pattern `yaml:"labels" doc:"Labels that the container has, with their values: exact, or a /regular expression/ that matches the whole value."`
	Name    Pattern            `yaml:"name" doc:"The container's name: exact, or a /regular expression/ that matches the whole name." example:"payments"`
	Image   Pattern            `yaml:"image" doc:"The image as it was named when the container was made: exact, or a /regular expression/ that matches the whole name." example:"/shop/payments:.*/"`
	Network Pattern            `yaml:"network" doc:"A Docker network that the container is attached to: exact, or a /regular expression/." example:"shop_default"`
	Project Pattern            `yaml:"project" doc:"The compose project: exact, or a /regular expression/." example:"shop"`
	Service Pattern            `yaml:"service" doc:"The compose service: exact, or a /regular expression/." example:"payments"`
	ID      string             `yaml:"id" doc:"The container's id: its first 12 hexadecimal digits or more." example:"4f1d2c3b4a59"`
}

// NetNS selects network namespaces of this host.
type NetNS struct {
	Name Pattern `yaml:"name" doc:"A name under /run/netns, as ip netns shows it: exact, or a /regular expression/ that matches the whole name." example:"shop-payments"`
	Path string  `yaml:"path" doc:"A file that opens the namespace." example:"/proc/1234/ns/net"`
}

// Host selects an interface of this host.
type Host struct {
	Interface string `yaml:"interface" required:"true" doc:"The interface's name." example:"eth0"`
}

// Process selects processes of this host. A process must match all that is given.
type Process struct {
	PID     int     `yaml:"pid" doc:"The process's number." example:"1234"`
	Name    Pattern `yaml:"name" doc:"The program's name without its folder: exact, or a /regular expression/ that matches the whole name." example:"postgres"`
	Cmdline Pattern `yaml:"cmdline" doc:"The command line, its arguments joined by single spaces: exact, or a /regular expression/ that matches the whole of it." example:"/.*--port 5432.*/"`
}

// Choices are the selectors, for the strict loader and the JSON Schema.
func Choices() []strict.Choice {
	return []strict.Choice{
		{Key: "docker", Type: reflect.TypeFor[Docker](), Doc: "Docker containers, by labels, name, image, network, compose project and service, or id."},
		{Key: "netns", Type: reflect.TypeFor[NetNS](), Doc: "Network namespaces of this host, by name or path."},
		{Key: "host", Type: reflect.TypeFor[Host](), Doc: "An interface of this host."},
		{Key: "process", Type: reflect.TypeFor[Process](), Doc: "Processes of this host, by number, name or command line."},
	}
}

var idPattern = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// Check refuses a selector that selects nothing, or everything by accident.
func (d *Docker) Check(at strict.Value) (problems strict.Problems) {
	problems = checkPatterns(at, map[string]Pattern{
		"name": d.Name, "image": d.Image, "network": d.Network, "project": d.Project, "service": d.Service,
	})
	if len(at.Keys()) == 0 || at.Has("labels") && len(d.Labels) == 0 {
		problems = append(problems, at.Problemf("the selector would match every container").
			WithHint("say which: labels, name, image, network, project, service or id"))
	}
	if at.Has("id") && !idPattern.MatchString(d.ID) {
		problems = append(problems, at.Field("id").Problemf("%q is not a container's id", d.ID).
			WithHint("write its first 12 hexadecimal digits or more, as docker ps shows them; names go under `name`"))
	}
	return problems
}

// Check demands exactly one of name and path.
func (n *NetNS) Check(at strict.Value) (problems strict.Problems) {
	problems = checkPatterns(at, map[string]Pattern{"name": n.Name})
	switch {
	case at.Has("name") && at.Has("path"):
		problems = append(problems, at.Field("path").Problemf("`name` and `path` exclude each other").WithHint("keep one of them"))
	case !at.Has("name") && !at.Has("path"):
		problems = append(problems, at.Problemf("the selector does not say which namespace").WithHint("add `name` or `path`"))
	case at.Has("path") && !filepath.IsAbs(n.Path):
		problems = append(problems, at.Field("path").Problemf("%q is not an absolute path", n.Path).
			WithHint("write it from the root: /run/netns/NAME or /proc/PID/ns/net"))
	}
	return problems
}

// interfacePattern is what the kernel takes as a name: up to 15 bytes without
// slash, colon and space (dev_valid_name in net/core/dev.c).
var interfacePattern = regexp.MustCompile(`^[^/:\s[:cntrl:]]{1,15}$`)

// Check refuses what can't be an interface's name.
func (h *Host) Check(at strict.Value) strict.Problems {
	if interfacePattern.MatchString(h.Interface) && h.Interface != "." && h.Interface != ".." {
		return nil
	}
	return strict.Problems{at.Field("interface").Problemf("%q is not an interface's name", h.Interface).
		WithHint("a name has up to 15 characters without space, slash and colon; ip link shows them")}
}

// Check refuses a selector that selects nothing, or everything by accident.
func (p *Process) Check(at strict.Value) (problems strict.Problems) {
	problems = checkPatterns(at, map[string]Pattern{"name": p.Name, "cmdline": p.Cmdline})
	switch {
	case at.Has("pid") && (at.Has("name") || at.Has("cmdline")):
		problems = append(problems, at.Field("pid").Problemf("`pid` excludes `name` and `cmdline`").WithHint("keep the one or the other"))
	case at.Has("pid") && p.PID < 1:
		problems = append(problems, at.Field("pid").Problemf("%d is not the number of a process", p.PID).WithHint("numbers begin with 1"))
	case len(at.Keys()) == 0:
		problems = append(problems, at.Problemf("the selector would match every process").WithHint("say which: `pid`, or `name` and `cmdline`"))
	}
	return problems
}

func checkPatterns(at strict.Value, patterns map[string]Pattern) (problems strict.Problems) {
	for key, pattern := range patterns {
		if pattern.given() && pattern.text == "" {
			problems = append(problems, at.Field(key).Problemf("`%s` is empty", key).WithHint("write a value, or leave `%s` out", key))
		}
	}
	return problems.Sorted()
}
