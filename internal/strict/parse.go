package strict

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"sort"

	"go.yaml.in/yaml/v4"
)

// The limits of a file. A file that a person wrote stays far below them.
const (
	MaxSize   = 1 << 20 // bytes
	maxNodes  = 50_000  // keys and values of a document, with its aliases written out
	maxDepth  = 64      // mappings and lists inside each other
	maxDocs   = 100     // documents of a file
	maxBroken = 10      // documents of a file that are no YAML
)

// Parse reads the YAML documents of a file, one Value for each; empty documents
// are left out. Where it finds problems it still returns the documents that can be
// decoded, so that all problems of a file can be reported at once:
// Value.SameDocument tells which are sound.
func Parse(file string, data []byte) ([]Value, Problems) {
	if len(data) > MaxSize {
		p := newSource(file, data[:maxExcerpt]).problem(1, 1, 1,
			fmt.Sprintf("the file has %d bytes, more than the %d that squall reads", len(data), MaxSize))
		return nil, Problems{p.WithHint("split it into several files")}
	}
	src := newSource(file, data)
	if p := src.checkText(); p != nil {
		return nil, Problems{p}
	}
	var values []Value
	var problems Problems
	for first, broken := 1, 0; first > 0 && broken < maxBroken; broken++ {
		roots, err := src.load(first)
		current := first
		for i, root := range roots {
			if i == maxDocs {
				p := src.problem(root.Line, root.Column, 1, fmt.Sprintf("the file has more than %d documents", maxDocs))
				return values, append(problems, p.WithHint("split it into several files")).Sorted()
			}
			_, current = src.document(root.Line)
			if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
				continue
			}
			v := Value{src: src}.child(root.Content[0], "")
			found, sound := src.walk(v)
			problems = append(problems, found...)
			if sound {
				values = append(values, v)
			}
		}
		first = 0
		if err != nil {
			p := src.syntaxProblem(err, current)
			problems = append(problems, p)
			first = src.nextDocument(p.Position.Line, current)
		}
	}
	if len(values) == 0 && len(problems) == 0 {
		problems = Problems{src.problem(1, 1, 1, "the file holds no document").WithHint("write one, or remove the file")}
	}
	return values, problems.Sorted()
}

// load reads the documents from the line first on, up to a syntax error.
func (s *source) load(first int) (roots []*yaml.Node, err error) {
	// The empty lines in front keep the numbers of the lines.
	text := append(bytes.Repeat([]byte("\n"), first-1), s.data[s.starts[first-1]:]...)
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(depthLimit{}))
	if err != nil {
		return nil, err
	}
	for {
		var root yaml.Node
		if err := loader.Load(&root); errors.Is(err, io.EOF) {
			return roots, nil
		} else if err != nil {
			return roots, err
		}
		if roots = append(roots, &root); len(roots) > maxDocs {
			return roots, nil
		}
	}
}

// nextDocument returns the line of the first document that begins at line or
// later and after the document of the line current, 0 where there is none.
func (s *source) nextDocument(line, current int) int {
	from := max(line, current+1)
	i := sort.SearchInts(s.docs, from)
	if i == len(s.docs) {
		return 0
	}
	return s.docs[i]
}

// depthLimit is a plugin of the YAML parser that bounds its recursion.
type depthLimit struct{}

func (depthLimit) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errTooDeep
	}
	return nil
}

func (depthLimit) CheckAlias(int, int) error { return nil }

var errTooDeep = fmt.Errorf("mappings and lists are nested deeper than %d", maxDepth)

// walk finds what is wrong with a document whatever it means: duplicate keys, keys
// that are no text, merge keys, tags. sound is false where the document must not
// be decoded, because its aliases make it endless or huge.
func (s *source) walk(v Value) (problems Problems, sound bool) {
	w := walker{src: s, open: map[*yaml.Node]bool{}}
	w.node(v.at)
	return w.problems, !w.stop
}

type walker struct {
	src      *source
	problems Problems
	nodes    int
	open     map[*yaml.Node]bool // anchored nodes around the present one
	alias    *yaml.Node          // the outermost alias around the present node
	stop     bool
}

func (w *walker) add(node *yaml.Node, hint, format string, args ...any) {
	if w.alias == nil && len(w.problems) < maxProblems { // what an alias names was visited already
		w.problems = append(w.problems, Value{at: node, src: w.src}.Problemf(format, args...).WithHint("%s", hint))
	}
}

func (w *walker) node(node *yaml.Node) {
	if w.nodes++; w.nodes > maxNodes && !w.stop {
		at := cmp.Or(w.alias, node)
		w.alias = nil
		w.add(at, "split it into several files, and use fewer aliases", "the document has more than %d keys and values, aliases counted where they are used", maxNodes)
		w.stop = true
	}
	if w.stop {
		return
	}
	if node.Kind == yaml.AliasNode {
		if w.open[node.Alias] {
			w.alias = nil
			w.add(node, "write the value out", "the alias %s stands inside the value that it names", quote("*"+node.Value))
			w.stop = true
			return
		}
		outer := w.alias
		w.alias = cmp.Or(outer, node)
		w.node(node.Alias)
		w.alias = outer
		return
	}
	if node.Anchor != "" {
		w.open[node] = true
		defer delete(w.open, node)
	}
	if node.Style&yaml.TaggedStyle != 0 && !coreTags[node.ShortTag()] {
		w.add(node, "leave the tag out", "unknown YAML tag %s", quote(node.Tag))
	}
	if node.Kind == yaml.MappingNode {
		w.keys(node)
	}
	for _, child := range node.Content {
		w.node(child)
	}
}

func (w *walker) keys(mapping *yaml.Node) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			w.add(key, "write a plain word before the colon", "a key must be a text")
		case key.ShortTag() == "!!merge":
			w.add(key, "write the fields out; an alias can stand for a whole value", "merge keys are not part of the language")
		case seen[key.Value] != nil:
			w.add(key, "keep one of them", "duplicate key %s: it is on line %d already", quote(key.Value), seen[key.Value].Line)
		default:
			seen[key.Value] = key
		}
	}
}

var coreTags = map[string]bool{
	"!!map": true, "!!seq": true, "!!str": true, "!!int": true, "!!float": true,
	"!!bool": true, "!!null": true, "!!timestamp": true,
}
