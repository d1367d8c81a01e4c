package printable

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"checkout", "checkout"},
		{"  two\r\n lines\t", "two lines"},
		{"\x1b[2J\x1b]0;x\x07", `\x1b[2J\x1b]0;x\a`},
		{"\u202egnp.exe", `\u202egnp.exe`},
		{"a\u2028b\u00a0c", "a b c"},
		{"\xff\x9b31m", `\xff\x9b31m`},
		{"\u009b31m", `\u009b31m`},
		{"größe 漢字", "größe 漢字"},
		{"zero\u200bwidth", `zero\u200bwidth`},
		{strings.Repeat("x", 20), strings.Repeat("x", 20)},
		{strings.Repeat("x", 21), strings.Repeat("x", 19) + "…"},
		{strings.Repeat("é", 21), strings.Repeat("é", 19) + "…"},
		{"1234567890123456789 \x1b", "1234567890123456789…"},
	} {
		if got := Text(c.in, 20); got != c.want {
			t.Errorf("Text(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("plain", 10)
	f.Add("\x1b[31m\xff\u202e\n", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit %= 1000
		got := Text(s, limit)
		if n := utf8.RuneCountInString(got); n > max(limit, 0) {
			t.Errorf("%d characters, at most %d are allowed: %q", n, limit, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %q", got, r)
			}
		}
		if again := Text(got, limit); again != got {
			t.Errorf("not stable: %q, then %q", got, again)
		}
	})
}
