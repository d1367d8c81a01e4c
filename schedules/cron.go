package schedules

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/robfig/cron/v3"

	"github.com/squallhq/squall/internal/strict"
)

const maxCron = 256 // characters

// parser reads six fields. What cron/v3 has beside them is not part of our language:
// a TZ= prefix would be a second place for the time zone, and @every counts from the
// start of the process, so that nobody could say when it is due.
var parser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// cronFields are the fields in their order, each with a parser of its own, so that an
// error belongs to one of them.
var cronFields = []struct {
	name   string
	parser cron.Parser
	hint   string
}{
	{"second", cron.NewParser(cron.Second), "seconds go from 0 to 59"},
	{"minute", cron.NewParser(cron.Minute), "minutes go from 0 to 59"},
	{"hour", cron.NewParser(cron.Hour), "hours go from 0 to 23"},
	{"day", cron.NewParser(cron.Dom), "days go from 1 to 31"},
	{"month", cron.NewParser(cron.Month), "months go from 1 to 12, or from jan to dec"},
	{"weekday", cron.NewParser(cron.Dow), "weekdays go from 0, Sunday, to 6, Saturday, or from sun to sat"},
}

// cronField is a list of ranges with steps. Stricter than the parser, which takes an
// empty item for nothing at all, and then looks for a time that never comes.
var cronField = regexp.MustCompile(`^[0-9A-Za-z*?/-]+(,[0-9A-Za-z*?/-]+)*$`)

var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// parseCron returns the six fields of a cron expression.
func parseCron(text strict.Text) (string, strict.Problems) {
	value := strings.TrimSpace(text.Value)
	prefix, _, _ := strings.Cut(value, " ")
	fields := strings.Fields(value)
	switch {
	case len(value) > maxCron:
		return "", strict.Problems{text.At.Problemf("the cron expression is longer than %d characters", maxCron)}
	case strings.HasPrefix(value, "@every"):
		return "", strict.Problems{text.At.Problemf("`@every` is not a time").
			WithHint("write when it is due, like `*/30 * * * *` for every 30 minutes")}
	case descriptors[prefix] != "":
		return "", strict.Problems{text.At.Problemf("`%s` is not a cron expression", prefix).WithHint("write `%s`", descriptors[prefix])}
	case strings.Contains(prefix, "TZ="):
		return "", strict.Problems{text.At.Problemf("the time zone cannot stand in the cron expression").
			WithHint("write it as `timeZone: %s`", prefix[strings.Index(prefix, "=")+1:])}
	case len(fields) != 5 && len(fields) != 6:
		return "", strict.Problems{text.At.Problemf("a cron expression has five fields, or six with seconds first; this one has %d", len(fields)).
			WithHint("write minute hour day month weekday, like `0 3 * * 1-5`")}
	}
	known := cronFields[len(cronFields)-len(fields):]
	var problems strict.Problems
	from := 0 // byte of text.Value
	for i, field := range fields {
		at := from + strings.Index(text.Value[from:], field)
		from = at + len(field)
		message := ""
		if !cronField.MatchString(field) {
			message = "only numbers, names and the signs * , - / can stand in it"
		} else if _, err := known[i].parser.Parse(field); err != nil {
			message = err.Error()
		}
		if message == "" {
			continue
		}
		line := 1 + strings.Count(text.Value[:at], "\n")
		column := 1 + utf8.RuneCountInString(text.Value[strings.LastIndex(text.Value[:at], "\n")+1:at])
		p := text.ProblemAt(line, column, "the "+known[i].name+" of the cron expression is wrong: "+message)
		problems = append(problems, p.WithHint("%s", known[i].hint))
	}
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	return strings.Join(fields, " "), problems
}
