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
