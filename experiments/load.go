package experiments

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
)

// Documents are the documents of one file, in their order.
type Documents struct {
	Experiments []*Experiment
	Schedules   []*Schedule
	// Unsound are experiments with problems, as far as they could be decoded. They are
	// for the checks that come after loading, so that all problems of a file come at
	// once, and for nothing else.
	Unsound []*Experiment
}

// kinds are the documents that this version reads.
var kinds = []string{"Experiment", "Schedule"}

// Load reads the documents of a file. A document without a problem is returned
// even where others have some.
func Load(file string, data []byte, voc strict.Vocabulary) (*Documents, strict.Problems) {
	docs := &Documents{}
	values, broken := strict.Parse(file, data)
	problems := slices.Clone(broken)
	names := map[string]strict.Position{}
	for _, v := range values {
		sound := !slices.ContainsFunc(broken, v.SameDocument)
		problems = append(problems, docs.add(file, v, voc, names, sound)...)
	}
	return docs, problems.Sorted()
}

// LoadFile loads a regular file. Its error is a strict.Problems where the file
// could be read; the documents without a problem are returned all the same.
func LoadFile(path string, voc strict.Vocabulary) (*Documents, error) {
	data, err := readFile(path)
	if err != nil {
		return &Documents{}, err
	}
	docs, problems := Load(path, data, voc)
	return docs, problems.Err()
}

// readFile reads at most what strict.Parse takes, and a byte more where there is
// more, so that Parse says so. It never waits for a pipe or a device.
func readFile(path string) (data []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the documents: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, hint.Wrap(fmt.Errorf("cannot read %q: it is not a regular file", path), "name a YAML file, or - for standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the documents: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, strict.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the documents: %w", err)
	}
	return data, nil
}

// add decodes one document, and keeps it where it has no problem.
func (docs *Documents) add(file string, v strict.Value, voc strict.Vocabulary, names map[string]strict.Position, sound bool) strict.Problems {
	kind, problems := header(v)
	if len(problems) > 0 {
		return problems
	}
	digest := sha256.Sum256(v.Source())
	var metadata *Metadata
	var e *Experiment
	var keep func()
	switch kind {
	case "Experiment":
		e = &Experiment{File: file, Digest: hex.EncodeToString(digest[:])}
		problems, metadata = v.Decode(e, voc), &e.Metadata
		keep = func() { docs.Experiments = append(docs.Experiments, e) }
	case "Schedule":
		s := &Schedule{File: file}
		problems, metadata = v.Decode(s, voc), &s.Metadata
		keep = func() { docs.Schedules = append(docs.Schedules, s) }
	}
	if len(problems) > 0 || !sound {
		if e != nil {
			docs.Unsound = append(docs.Unsound, e)
		}
		return problems
	}
	name := v.Field("metadata").Field("name")
	if earlier, taken := names[kind+" "+metadata.Name]; taken {
		p := name.Problemf("another %s of this file has the name `%s`, on line %d", kind, metadata.Name, earlier.Line)
		return strict.Problems{p.WithHint("give each document a name of its own")}
	}
	names[kind+" "+metadata.Name] = name.Position()
	keep()
	return nil
}

// header reads what every document begins with, and returns its kind.
func header(v strict.Value) (string, strict.Problems) {
	if v.Keys() == nil {
		return "", strict.Problems{v.Problemf("a document must be a mapping").WithHint("begin with `apiVersion: %s` and `kind: Experiment`", APIVersion)}
	}
	version, found := v.Field("apiVersion").Scalar()
	switch {
	case !found:
		return "", strict.Problems{v.Field("apiVersion").Problemf("the document has no `apiVersion`").WithHint("begin with `apiVersion: %s`", APIVersion)}
	case version != APIVersion:
		return "", strict.Problems{v.Field("apiVersion").Problemf("this squall cannot read documents of `%.60s`", version).WithHint("write `apiVersion: %s`", APIVersion)}
	}
	kind := v.Field("kind")
	text, found := kind.Scalar()
	near := strict.Suggest(text, kinds)
	switch {
	case !found:
		return "", strict.Problems{kind.Problemf("the document has no `kind`").WithHint("write `kind: Experiment` or `kind: Schedule`")}
	case text == "Experiment", text == "Schedule":
		return text, nil
	case text == "GameDay":
		return "", strict.Problems{kind.Problemf("game days are not in this version of squall").WithHint("write an Experiment for each of its stages")}
	case near != "":
		return "", strict.Problems{kind.Problemf("unknown kind `%.60s`", text).WithHint("did you mean `%s`?", near)}
	}
	return "", strict.Problems{kind.Problemf("unknown kind `%.60s`", text).WithHint("write `kind: Experiment` or `kind: Schedule`")}
}
