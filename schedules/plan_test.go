package schedules

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/strict"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "play-") {
		os.Exit(play(os.Args[1:]))
	}
	// A process under the race detector is not kept for a second at its end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// vocabulary is enough for an experiment that can be loaded.
func vocabulary() strict.Vocabulary {
	type named struct {
		Name string `yaml:"name,shorthand"`
	}
	choice := func(key string) []strict.Choice { return []strict.Choice{{Key: key, Type: reflect.TypeFor[named]()}} }
	return strict.Vocabulary{
		experiments.TargetChoices: choice("host"), experiments.SLIChoices: choice("tcp"), experiments.FaultChoices: choice("network"),
	}
}

func experimentText(name string) string {
	return fmt.Sprintf(`---
apiVersion: squall/v1
kind: Experiment
metadata: {name: %s}
spec:
  targets: {lan: {host: eth0}}
  faults: [{target: lan, network: slow, for: 1s}]
`, name)
}

func scheduleText(name, experiment, cron, zone string) string {
	return scheduleYAML(name, experiment, strconv.Quote(cron), zone)
}

func scheduleYAML(name, experiment, cron, zone string) string {
	return fmt.Sprintf(`---
apiVersion: squall/v1
kind: Schedule
metadata: {name: %s}
spec:
  experiment: %s
  cron: %s
  timeZone: %s
`, name, experiment, cron, zone)
}

func compile(t testing.TB, cron, zone string) (*Plan, strict.Problems) {
	t.Helper()
	docs, problems := experiments.Load("nightly.yaml", []byte(scheduleYAML("nightly", "x", cron, zone)), vocabulary())
	if len(problems) > 0 || len(docs.Schedules) != 1 {
		t.Fatalf("cannot load: %v", problems)
	}
	return Compile(docs.Schedules[0])
}

func mustCompile(t testing.TB, cron, zone string) *Plan {
	t.Helper()
	plan, problems := compile(t, strconv.Quote(cron), zone)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestCompileFinds(t *testing.T) {
	for _, test := range []struct{ cron, zone, position, message, hint string }{
		{`"0 3 * *"`, "UTC", "7:9", "this one has 4", "0 3 * * 1-5"},
		{`"0 0 12 1/1 * ? *"`, "UTC", "7:9", "this one has 7", "minute hour"},
		{`""`, "UTC", "7:9", "this one has 0", "minute hour"},
		{`"60 3 * * *"`, "UTC", "7:10", "the minute of the cron expression is wrong: end of range (60) above maximum (59)", "0 to 59"},
		{`"0  24 * * *"`, "UTC", "7:13", "the hour", "0 to 23"},
		{`0 3 * * 7`, "UTC", "7:17", "the weekday", "0, Sunday"},
		{`0 3 * * mon#1`, "UTC", "7:17", "only numbers", "sun to sat"},
		{`0 3 L * *`, "UTC", "7:13", "the day", "1 to 31"},
		{`61 0 3 * * *`, "UTC", "7:9", "the second", "0 to 59"},
		{`"1,,2 * * * *"`, "UTC", "7:10", "only numbers", "0 to 59"},
		{`", * * * *"`, "UTC", "7:10", "only numbers", "0 to 59"},
		{`"5-1 * * * *"`, "UTC", "7:10", "beyond end", "0 to 59"},
		{`"*/0 * * * *"`, "UTC", "7:10", "positive number", "0 to 59"},
		{`"@daily"`, "UTC", "7:9", "`@daily` is not a cron expression", "`0 0 * * *`"},
		{`"@every 5m"`, "UTC", "7:9", "not a time", "*/30"},
		{`"TZ=UTC"`, "UTC", "7:9", "the time zone cannot stand", "`timeZone: UTC`"},
		{`"CRON_TZ=Asia/Tokyo 0 3 * * *"`, "UTC", "7:9", "the time zone cannot stand", "`timeZone: Asia/Tokyo`"},
		{`"0 0 30 2 *"`, "UTC", "7:9", "never comes", "30 February"},
		{`"` + strings.Repeat("1,", 200) + `1 * * * *"`, "UTC", "7:9", "longer than", ""},
		{`0 3 * * *`, "Europe/Berln", "8:13", "no time zone `Europe/Berln`", "IANA"},
		{`0 3 * * *`, "europe/berlin", "8:13", "no time zone", "`Europe/Berlin`"},
		{`0 3 * * *`, "America/New York", "8:13", "no time zone", "`America/New_York`"},
		{`0 3 * * *`, "Berlin", "8:13", "no time zone", "`Europe/Berlin`"},
		{`0 3 * * *`, "PST", "8:13", "no time zone", "`America/Los_Angeles`"},
		{`0 3 * * *`, "EST", "8:13", "no time zone", "`America/New_York`"},
		{`0 3 * * *`, "utc", "8:13", "no time zone", "`UTC`"},
		{`0 3 * * *`, "Local", "8:13", "no time zone", "IANA"},
		{`0 3 * * *`, "GMT+2", "8:13", "no time zone", "IANA"},
		{`0 3 * * *`, "../../etc/passwd", "8:13", "no time zone", "IANA"},
		{`0 3 * * *`, `""`, "8:13", "no time zone", "IANA"},
	} {
		plan, problems := compile(t, test.cron, test.zone)
		if plan != nil || len(problems) != 1 {
			t.Errorf("%s, %s: %v", test.cron, test.zone, problems)
			continue
		}
		p := problems[0]
		if at := fmt.Sprintf("%d:%d", p.Position.Line, p.Position.Column); at != test.position ||
			!strings.Contains(p.Message, test.message) || !strings.Contains(p.Hint, test.hint) {
			t.Errorf("%s, %s: at %s:\n%v", test.cron, test.zone, at, p)
		}
	}
	if _, problems := compile(t, `"60 24 * * 9"`, "Mars"); len(problems) != 4 {
		t.Errorf("not all problems at once: %v", problems)
	}
}

func TestNext(t *testing.T) {
	for _, test := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"weekdays", "0 3 * * 1-5", "UTC", "2026-11-20T03:00:00Z", []string{"2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z"}},
		{"seconds", "*/20 * * * * *", "UTC", "2026-11-20T03:00:00.5Z", []string{"2026-11-20T03:00:20Z", "2026-11-20T03:00:40Z"}},
		{"day or weekday", "0 0 13 * fri", "UTC", "2026-11-11T00:00:00Z", []string{"2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"}},
		{"leap day", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"another zone's day", "30 0 * * *", "Asia/Tokyo", "2026-11-20T00:00:00Z", []string{"2026-11-21T00:30:00+09:00"}},

		{"skipped, Berlin", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"}},
		{"around the gap", "*/30 1-3 * * *", "Europe/Berlin", "2026-03-29T01:15:00+01:00", []string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"}},
		{"twice, Berlin", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"from the repeated hour", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", []string{"2026-10-25T03:00:00+01:00"}},
		{"across the repeated hour", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:10:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00"}},
		{"half an hour, skipped", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-05T02:15:00+11:00"}},
		{"half an hour, the next one", "0 3 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", []string{"2026-10-04T03:00:00+11:00"}},
		{"half an hour, twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", []string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"no midnight", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{"2018-11-05T00:00:00-02:00"}},
		{"a day that never was", "0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", []string{"2012-12-30T12:00:00+14:00"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			after, err := time.Parse(time.RFC3339Nano, test.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, at := range mustCompile(t, test.cron, test.zone).Upcoming(after, len(test.want)) {
				got = append(got, at.Format(time.RFC3339))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	if got := len(mustCompile(t, "* * * * * *", "UTC").Upcoming(time.Now(), 1<<40)); got != MaxUpcoming {
		t.Errorf("%d times", got)
	}
}

// Around changes of the clock, Next says what a walk through all minutes says.
func TestNextAgainstAWalk(t *testing.T) {
	changes := []struct{ zone, day string }{
		{"Europe/Berlin", "2026-03-28"}, {"Europe/Berlin", "2026-10-24"}, {"America/New_York", "2026-11-01"},
		{"Australia/Lord_Howe", "2026-10-03"}, {"Australia/Lord_Howe", "2026-04-04"}, {"America/Sao_Paulo", "2018-11-03"},
		{"Pacific/Apia", "2011-12-29"}, {"Africa/Casablanca", "2026-02-14"}, {"Antarctica/Troll", "2026-03-28"}, {"Asia/Kathmandu", "2026-01-01"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		change := rapid.SampledFrom(changes).Draw(rt, "change")
		minutes := rapid.SliceOfNDistinct(rapid.IntRange(0, 59), 1, 4, rapid.ID).Draw(rt, "minutes")
		hours := rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 1, 3, rapid.ID).Draw(rt, "hours")
		plan := mustCompile(t, fmt.Sprintf("%s %s * * *", commas(minutes), commas(hours)), change.zone)
		day, err := time.ParseInLocation("2006-01-02", change.day, plan.zone)
		if err != nil {
			rt.Fatal(err)
		}
		after := day.Add(time.Duration(rapid.IntRange(0, 36*60).Draw(rt, "minute of start")) * time.Minute)
		var want time.Time
		seen := map[string]bool{}
		for at := day.Add(-24 * time.Hour); want.IsZero(); at = at.Add(time.Minute) {
			shown := at.Format("2006-01-02 15:04")
			if slices.Contains(minutes, at.Minute()) && slices.Contains(hours, at.Hour()) && !seen[shown] && at.After(after) {
				want = at
			}
			seen[shown] = true
		}
		if got := plan.Next(after); !got.Equal(want) {
			rt.Fatalf("after %s: got %s, want %s", after, got, want)
		}
	})
}

func commas(numbers []int) string {
	var texts []string
	for _, n := range numbers {
		texts = append(texts, strconv.Itoa(n))
	}
	return strings.Join(texts, ",")
}

func FuzzCron(f *testing.F) {
	for _, seed := range []string{"0 3 * * 1-5", "*/5 * * * * *", "TZ=", "@every 1s", "0-59/999999999999999999999 * * * *", "1,2,3 ? jan-dec/2 * 0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cron string) {
		doc := &experiments.Schedule{}
		doc.Spec.Cron.Value, doc.Spec.TimeZone.Value = cron, "Europe/Berlin"
		plan, problems := Compile(doc)
		if (plan == nil) == (len(problems) == 0) {
			t.Fatalf("plan %v, problems %v", plan, problems)
		}
		if plan == nil {
			return
		}
		at := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)
		for _, next := range plan.Upcoming(at, 3) {
			if !next.After(at) {
				t.Fatalf("%s after %s", next, at)
			}
			at = next
		}
	})
}
