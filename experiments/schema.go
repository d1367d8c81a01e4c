package experiments

import (
	"reflect"

	"github.com/squallhq/squall/internal/strict"
)

// SchemaID identifies the JSON Schema of the language.
const SchemaID = "https://squallhq.github.io/squall/schema/v1.json"

// Schema returns the JSON Schema of the documents, for editors.
func Schema(voc strict.Vocabulary) ([]byte, error) {
	return strict.Schema(SchemaID, []reflect.Type{reflect.TypeFor[Experiment](), reflect.TypeFor[Schedule]()}, voc)
}

// Reference returns the reference page of the language, in Markdown.
func Reference(voc strict.Vocabulary) []byte {
	return append([]byte(referenceHead), strict.Reference([]strict.Section{
		{Title: "Documents", Doc: "A file holds one or more documents, with `---` between them.", Choices: []strict.Choice{
			{Key: "Experiment", Type: reflect.TypeFor[Experiment](), Doc: "A hypothesis about a steady state, and the faults that try it."},
			{Key: "Schedule", Type: reflect.TypeFor[Schedule](), Doc: "Runs an experiment by the calendar."},
		}},
		{Title: "Targets", Set: TargetChoices, Doc: "What a target's selector can be. It stands beside `pick`, under the target's name."},
		{Title: "SLIs", Set: SLIChoices, Doc: "How an SLI can be sampled. It stands beside `every`, under the SLI's name."},
		{Title: "Faults", Set: FaultChoices, Doc: "What a fault can be. It stands beside `target`, `at` and `for`."},
	}, voc)...)
}

const referenceHead = `<!-- Generated from the Go types. Do not edit. -->

# The language

squall reads YAML, strictly: an unknown field, a wrong type or a duplicate key is an error. A field
without a value counts as left out.

- A **duration** is a number and a unit, ` + "`ns`, `us`, `ms`, `s`, `m` or `h`" + `, and may be composed: ` + "`500ms`, `0.5ms`, `1m30s`" + `. The longest is 30 days.
- A **percentage** is a number from 0 to 100 with its sign: ` + "`0.5%`" + `. Where the field itself is called
  ` + "`percent`" + `, the sign may be left out.
- A **bit rate** is a number and one of ` + "`bit`, `kbit`, `mbit` or `gbit`" + ` (powers of 1000): ` + "`10mbit`" + `.
- A **whole number** is decimal, without a leading zero.
- A **text** that YAML would read as something else (a number, true, a date) needs quotes.
`
