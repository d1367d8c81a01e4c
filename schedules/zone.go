package schedules

import (
	"strings"
	"time"
	"unicode"

	"github.com/squallhq/squall/internal/strict"
)

const maxZone = 64 // characters

// parseZone loads a time zone: UTC, or an area and a city of the IANA database. The
// database knows abbreviations too, but EST is New York in winter only, and IST is
// three countries.
func parseZone(text strict.Text) (*time.Location, *strict.Problem) {
	name := text.Value
	if name == "UTC" {
		return time.UTC, nil
	}
	if len(name) <= maxZone && strings.Contains(name, "/") {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	p := text.At.Problemf("there is no time zone `%.64s`", name)
	if meant := meantZone(name); meant != "" {
		return nil, p.WithHint("did you mean `%s`?", meant)
	}
	return nil, p.WithHint("write UTC, or an area and a city of the IANA time zone database, like Europe/Berlin")
}

// abbreviations are what people write, with the zone of most who do.
var abbreviations = map[string]string{
	"CET": "Europe/Berlin", "CEST": "Europe/Berlin", "MET": "Europe/Berlin", "MEZ": "Europe/Berlin",
	"GMT": "UTC", "Z": "UTC", "UCT": "UTC", "ZULU": "UTC", "BST": "Europe/London", "WET": "Europe/Lisbon", "EET": "Europe/Athens",
	"EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago",
	"MST": "America/Denver", "MDT": "America/Denver", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
	"IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "AEST": "Australia/Sydney", "AEDT": "Australia/Sydney",
}

var areas = []string{"Europe/", "America/", "Asia/", "Africa/", "Australia/", "Pacific/", "Atlantic/", "Indian/"}

// meantZone returns the zone that name was probably meant to be, or "".
func meantZone(name string) string {
	if len(name) > maxZone {
		return ""
	}
	if zone := abbreviations[strings.ToUpper(name)]; zone != "" {
		return zone
	}
	if strings.EqualFold(name, "utc") || strings.EqualFold(name, "etc/utc") {
		return "UTC"
	}
	name = capitalized(name)
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, area := range areas {
			candidates = append(candidates, area+name)
		}
	}
	for _, candidate := range candidates {
		if _, err := time.LoadLocation(candidate); err == nil && strings.Contains(candidate, "/") {
			return candidate
		}
	}
	return ""
}

// capitalized writes a name as the database does: each word with a capital, an
// underscore for a space.
func capitalized(name string) string {
	start := true
	return strings.Map(func(r rune) rune {
		first := start
		start = !unicode.IsLetter(r)
		switch {
		case r == ' ':
			return '_'
		case first:
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, strings.TrimSpace(name))
}
