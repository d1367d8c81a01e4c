package quantity

// The notations as JSON Schema sees them, and what people call them. They are a
// little wider than the parsers where a pattern can't tell.

const (
	decimalPattern  = `([0-9]+(\.[0-9]*)?|\.[0-9]+)`
	durationPattern = `^\+?(0|(` + decimalPattern + `(ns|us|µs|μs|ms|s|m|h))+)$`
)

// Noun returns "duration".
func (Duration) Noun() string { return "duration" }

// JSONSchema describes a Duration's notation.
func (Duration) JSONSchema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": durationPattern},
		map[string]any{"const": 0},
	}}
}

// Noun returns "percentage".
func (Percent) Noun() string { return "percentage" }

// JSONSchema describes a Percent's notation.
func (Percent) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": `^\+?` + decimalPattern + `%$`}
}

// Noun returns "percentage".
func (Share) Noun() string { return "percentage" }

// JSONSchema describes a Share's notation.
func (Share) JSONSchema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": `^\+?` + decimalPattern + `%?$`},
		map[string]any{"type": "number", "minimum": 0, "maximum": 100},
	}}
}

// Noun returns "bit rate".
func (Rate) Noun() string { return "bit rate" }

// JSONSchema describes a Rate's notation.
func (Rate) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": `^\+?` + decimalPattern + `([kKmMgG]?[bB][iI][tT])$`}
}
