package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file's name is foreign text like any other.
func TestCheckPrintsNoEscapeSequences(t *testing.T) {
	const document = `apiVersion: squall/v1
kind: Experiment
metadata: {name: fine}
spec:
  targets: {a: {netns: {name: a}}}
  faults: [{target: a, network: {loss: 1%}, for: 5s}]
`
	file := filepath.Join(t.TempDir(), "\x1b[2Jfine.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs([]string{"check", file})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasSuffix(got, `\x1b[2Jfine.yaml: ok (1 experiment)`+"\n") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}
