package experiments_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/squallhq/squall/experiments"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := experiments.Schema(vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(experiments.SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(experiments.SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// decodeAll reads documents as an editor does.
func decodeAll(t *testing.T, data []byte) (docs []any) {
	t.Helper()
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestSchemaAcceptsGoodDocuments(t *testing.T) {
	schema := compileSchema(t)
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find the good documents: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range decodeAll(t, data) {
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// The schema refuses every broken document, but for the rules that a schema can't
// tell.
func TestSchemaRefusesBrokenDocuments(t *testing.T) {
	beyond := map[string]string{
		"alias-bomb":                 "a schema sees values, not how they are written",
		"alias-inside-itself":        "as above",
		"duplicate-key":              "as above",
		"merge-key":                  "as above",
		"no-document":                "as above",
		"number-with-leading-zero":   "as above",
		"unknown-tag":                "as above",
		"duration-too-long":          "a pattern does not compute",
		"baseline-too-short":         "fields are not compared",
		"document-name-twice":        "as above",
		"fault-for-no-time":          "as above",
		"fault-name-twice":           "as above",
		"fault-starts-after-the-end": "as above",
		"fault-unknown-target":       "as above",
		"fault-without-end":          "as above",
		"limits-duration":            "as above",
		"pick-count-and-percent":     "as above",
		"percent-too-high":           "the rules of Checkers and parsers are not in it",
		"fault-name":                 "as above",
		"limits-nothing":             "as above",
		"metadata-name":              "as above",
		"no-faults":                  "as above",
		"no-targets":                 "as above",
		"pick-no-percent":            "as above",
		"pick-nothing":               "as above",
		"runbook-not-a-link":         "as above",
		"schedule-experiment":        "as above",
		"sli-name-reserved":          "as above",
		"sli-too-often":              "as above",
		"target-name":                "as above",
	}
	schema := compileSchema(t)
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var docs []any
		if yaml.Load(data, &docs, yaml.WithAllDocuments()) != nil {
			continue // no schema gets to see it
		}
		var found error
		for _, doc := range docs {
			if err := schema.Validate(doc); err != nil {
				found = err
			}
		}
		if found != nil {
			refused++
		}
		if _, excused := beyond[name]; (found == nil) != excused {
			t.Errorf("%s: the schema's error is %v, excused: %v", name, found, excused)
		}
	}
	if refused < 25 {
		t.Errorf("the schema refused %d broken documents, want 25 or more", refused)
	}
}

func TestSchemaDescribesFields(t *testing.T) {
	text, err := experiments.Schema(vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"$schema": "https://json-schema.org/draft/2020-12/schema"`,
		`"description": "The sampling interval. The sampler's timeout is never longer."`,
		`"default": "10s"`,
		`"default": 10,`,
		`"description": "Changes packets."`,
		`"examples": [`,
		`"enum": [`,
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the schema lacks %s", want)
		}
	}
}

func TestReference(t *testing.T) {
	got := string(experiments.Reference(vocabulary()))
	golden := filepath.Join("testdata", "reference.md")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s", got)
	}
}
