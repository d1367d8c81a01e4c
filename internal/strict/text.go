package strict

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// ProblemAt returns a problem at a place inside the text, shown where that place
// stands in the file. line and column count from 1, in characters. Where the place
// can't be told, the problem stands at the text's beginning.
func (t Text) ProblemAt(line, column int, message string) *Problem {
	p := t.At.Problemf("%s", message)
	if t.At.node == nil || t.At.node.Kind != yaml.ScalarNode {
		return p
	}
	places := t.At.src.places(t.At.node)
	if len(places) == 0 {
		return p
	}
	i := offset(t.At.node.Value, line, column)
	at := places[min(i, len(places)-1)]
	return t.At.src.problem(at.line, at.column, 1, p.Message)
}

// offset returns the index, in characters, of a line and column of text, the
// length of text where they are past it.
func offset(text string, line, column int) int {
	start := 0
	for range line - 1 {
		i := strings.IndexByte(text[start:], '\n')
		if i < 0 {
			return utf8.RuneCountInString(text)
		}
		start += i + 1
	}
	rest, _, _ := strings.Cut(text[start:], "\n")
	within := min(max(column-1, 0), utf8.RuneCountInString(rest))
	return utf8.RuneCountInString(text[:start]) + within
}

type place struct{ line, column int }

// places returns where each character of a scalar stands in the file, and after
// them where the scalar ends. It reads the scalar again, in the scalar's own
// style, and returns nil where it does not read what the parser read.
func (s *source) places(node *yaml.Node) []place {
	r := &reread{src: s, line: node.Line, rest: skipRunes(s.line(node.Line), node.Column-1), column: node.Column}
	r.properties()
	switch {
	case node.Style&yaml.LiteralStyle != 0:
		r.block(false)
	case node.Style&yaml.FoldedStyle != 0:
		r.block(true)
	case node.Style&yaml.DoubleQuotedStyle != 0:
		r.skip(1)
		r.flow(node.Value, '"')
	case node.Style&yaml.SingleQuotedStyle != 0:
		r.skip(1)
		r.flow(node.Value, '\'')
	default:
		r.flow(node.Value, 0)
	}
	length := utf8.RuneCountInString(node.Value)
	if got := string(r.text); len(r.text) < length || !strings.HasPrefix(got, node.Value) {
		return nil
	}
	if len(r.text) == length {
		r.places = append(r.places, place{r.line, r.column})
	}
	return r.places[:length+1]
}

// reread reads a scalar from the file's lines and notes where its characters are.
type reread struct {
	src    *source
	line   int
	column int    // of rest's first character
	rest   string // of the line
	text   []rune
	places []place
}

func (r *reread) emit(c rune) {
	r.text = append(r.text, c)
	r.places = append(r.places, place{r.line, r.column})
}

// skip passes n characters.
func (r *reread) skip(n int) {
	r.rest = skipRunes(r.rest, n)
	r.column += n
}

func (r *reread) blanks() {
	for r.rest != "" && (r.rest[0] == ' ' || r.rest[0] == '\t') {
		r.skip(1)
	}
}

// next goes to the next line, and reports whether there is one.
func (r *reread) next() bool {
	r.line++
	r.column, r.rest = 1, r.src.line(r.line)
	return r.line <= len(r.src.lines)
}

// properties passes an anchor and a tag.
func (r *reread) properties() {
	for r.rest != "" && (r.rest[0] == '&' || r.rest[0] == '!') {
		r.skip(utf8.RuneCountInString(strings.FieldsFunc(r.rest, func(c rune) bool { return c == ' ' || c == '\t' })[0]))
		r.blanks()
	}
}

// flow reads a plain or quoted scalar until it has as much as value, or the
// scalar ends.
func (r *reread) flow(value string, mark rune) {
	for length := utf8.RuneCountInString(value); len(r.text) < length; {
		c, _ := utf8.DecodeRuneInString(r.rest)
		switch {
		case strings.Trim(r.rest, " \t") == "":
			if !r.fold() {
				return
			}
		case mark == '\'' && strings.HasPrefix(r.rest, "''"):
			r.emit('\'')
			r.skip(2)
		case mark != 0 && c == mark:
			return
		case mark == '"' && c == '\\':
			if !r.escape() {
				return
			}
		default:
			r.emit(c)
			r.skip(1)
		}
	}
}

// fold passes a line break inside a flow scalar: a space, or as many breaks as
// there are empty lines.
func (r *reread) fold() bool {
	at := place{r.line, r.column}
	empty := 0
	for r.next() {
		r.blanks()
		if r.rest != "" {
			break
		}
		empty++
	}
	c := ' '
	if empty > 0 {
		c = '\n'
	}
	r.breaks(max(1, empty), c, at)
	return r.rest != ""
}

var escapes = map[byte]rune{
	'0': 0, 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'e': 0x1B,
	' ': ' ', '"': '"', '/': '/', '\\': '\\', 'N': 0x85, '_': 0xA0, 'L': 0x2028, 'P': 0x2029,
}

// escape reads an escape between double quotes.
func (r *reread) escape() bool {
	if len(r.rest) == 1 { // the line break is escaped: nothing of it is left
		if !r.next() {
			return false
		}
		r.blanks()
		return true
	}
	if c, found := escapes[r.rest[1]]; found {
		r.emit(c)
		r.skip(2)
		return true
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[r.rest[1]]
	if digits == 0 || len(r.rest) < 2+digits {
		return false
	}
	code, err := strconv.ParseUint(r.rest[2:2+digits], 16, 32)
	if err != nil {
		return false
	}
	r.emit(rune(code))
	r.skip(2 + digits)
	return true
}

// block reads a literal or folded block scalar. It gives up where the indentation
// is written in the header, relative to a parent that it does not know.
func (r *reread) block(folded bool) {
	if header, _, _ := strings.Cut(r.rest, "#"); strings.ContainsAny(header, "123456789") {
		return
	}
	indent, breaks := -1, 0
	wasMore := true // so that empty lines in front are kept as they are
	end := place{r.line, r.column}
	for r.next() {
		spaces := len(r.rest) - len(strings.TrimLeft(r.rest, " "))
		blank := spaces == len(r.rest)
		if blank && (indent < 0 || spaces <= indent) {
			breaks++
			continue
		}
		if begun := indent >= 0; !begun {
			indent = spaces
			breaks-- // there is no break before the first line
		}
		if spaces < indent {
			break
		}
		r.skip(indent)
		more := r.rest[0] == ' ' || r.rest[0] == '\t'
		switch fold := folded && !more && !wasMore; {
		case fold && breaks == 0:
			r.breaks(1, ' ', end)
		case fold:
			r.breaks(breaks, '\n', end)
		default:
			r.breaks(breaks+1, '\n', end)
		}
		for r.rest != "" {
			c, _ := utf8.DecodeRuneInString(r.rest)
			r.emit(c)
			r.skip(1)
		}
		end = place{r.line, r.column}
		breaks, wasMore = 0, more
	}
	r.breaks(breaks+1, '\n', end)
}

// breaks adds what line breaks became, all at the end of the line before them.
func (r *reread) breaks(n int, c rune, at place) {
	for range n {
		r.text = append(r.text, c)
		r.places = append(r.places, at)
	}
}
