package schedules

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
)

// MaxFiles is the most files with documents in a folder that is served.
const MaxFiles = 1000

// folder is a folder of documents.
type folder struct {
	dir  string
	load func(path string) (*experiments.Documents, error)
}

// file is what shows that a file was changed: its name and what stat says of it.
type file struct {
	path string
	info fs.FileInfo
	err  error
}

// list returns the files that may hold documents, sorted by name.
func (f folder) list() ([]file, error) {
	info, err := os.Stat(f.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot serve: %w", err)
	}
	if err := private(info); err != nil {
		return nil, fmt.Errorf("cannot serve folder %s: %w", f.dir, err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot serve: %w", err)
	}
	var files []file
	for _, entry := range entries {
		name := entry.Name()
		extension := filepath.Ext(name)
		if strings.HasPrefix(name, ".") || extension != ".yaml" && extension != ".yml" || entry.IsDir() {
			continue
		}
		if len(files) == MaxFiles {
			return nil, hint.Wrap(fmt.Errorf("cannot serve folder %s: it holds more than %d files of documents", f.dir, MaxFiles),
				"serve a folder for each team")
		}
		path := filepath.Join(f.dir, name)
		info, err := os.Stat(path)
		if err == nil {
			err = private(info)
		}
		files = append(files, file{path, info, err})
	}
	return files, nil
}

// private refuses what everybody can write: a document can name a command to run.
func private(info fs.FileInfo) error {
	if info.Mode().Perm()&0o002 == 0 {
		return nil
	}
	return hint.Wrap(fmt.Errorf("everybody can write it (mode %04o)", info.Mode().Perm()), "look at what is in it, then chmod o-w")
}

// sameFiles reports whether nothing was changed between two lists.
func sameFiles(a, b []file) bool {
	return slices.EqualFunc(a, b, func(a, b file) bool {
		if a.path != b.path || fmt.Sprint(a.err) != fmt.Sprint(b.err) || (a.info == nil) != (b.info == nil) {
			return false
		}
		return a.info == nil || os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() &&
			a.info.Mode() == b.info.Mode() && a.info.ModTime().Equal(b.info.ModTime())
	})
}

// broken is a file that can't be used, or a schedule of it.
type broken struct {
	path string
	err  error
}

// contents is what the files of a folder say together.
type contents struct {
	plans  []*Plan
	where  map[string]string // the experiments' files by their names
	twice  map[string]bool   // the experiments whose name is taken more than once
	broken []broken
}

// read reads the documents of all files. A file with a problem is left out whole, as
// the run command would refuse it; it doesn't disturb the others.
func (f folder) read(files []file) *contents {
	c := &contents{where: map[string]string{}, twice: map[string]bool{}}
	var all []*experiments.Schedule
	for _, file := range files {
		var docs *experiments.Documents
		err := file.err
		if err == nil {
			docs, err = f.load(file.path)
		}
		if err != nil {
			c.refuse(file.path, err)
			continue
		}
		for _, e := range docs.Experiments {
			c.twice[e.Metadata.Name] = c.where[e.Metadata.Name] != ""
			c.where[e.Metadata.Name] = file.path
		}
		for _, s := range docs.Schedules {
			s.File = file.path
			all = append(all, s)
		}
	}
	unreadable := len(c.broken) > 0
	taken := map[string]string{}
	for _, s := range all {
		if other := taken[s.Metadata.Name]; other != "" {
			c.refuse(s.File, hint.Wrap(fmt.Errorf("schedule %q is in %s already", s.Metadata.Name, other), "give each schedule a name of its own"))
			continue
		}
		taken[s.Metadata.Name] = s.File
		c.add(s, unreadable)
	}
	slices.SortStableFunc(c.broken, func(a, b broken) int { return cmp.Compare(a.path, b.path) })
	return c
}

func (c *contents) refuse(path string, err error) { c.broken = append(c.broken, broken{path, err}) }

func (c *contents) add(s *experiments.Schedule, unreadable bool) {
	plan, problems := Compile(s)
	name := s.Spec.Experiment
	var err error
	switch {
	case c.twice[name]:
		err = hint.Wrap(fmt.Errorf("schedule %q: several experiments of this folder are called %q", s.Metadata.Name, name),
			"give each experiment a name of its own")
	case c.where[name] == "":
		err = fmt.Errorf("schedule %q: there is no experiment %q in this folder", s.Metadata.Name, name)
		if near := strict.Suggest(name, slices.Sorted(maps.Keys(c.where))); near != "" {
			err = hint.Wrap(err, "did you mean %q?", near)
		} else if unreadable {
			err = hint.Wrap(err, "it may be in one of the files that cannot be read")
		}
	}
	if err := errors.Join(problems.Err(), err); err != nil {
		c.refuse(s.File, err)
		return
	}
	c.plans = append(c.plans, plan)
}
