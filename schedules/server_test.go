package schedules

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
)

// takes is a runner whose runs take a time, and end early where they are stopped.
type takes time.Duration

func (d takes) Run(ctx context.Context, _, _ string) (int, error) {
	select {
	case <-time.After(time.Duration(d)):
		return 0, nil
	case <-ctx.Done():
		time.Sleep(time.Second) // everything is put back
		return 130, nil
	}
}

// world is a server in a bubble with a clock that can be set. The bubble's time begins
// at midnight UTC on 1 January 2000.
type world struct {
	t      *testing.T
	dir    string
	offset time.Duration // of the wall clock
	stop   context.CancelFunc

	mu     sync.Mutex
	events []Event
}

func serve(t *testing.T, runner Runner, files map[string]string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for name, text := range files {
		w.write(name, text)
	}
	server := &Server{
		Dir:    w.dir,
		Load:   func(path string) (*experiments.Documents, error) { return experiments.LoadFile(path, vocabulary()) },
		Runner: runner,
		Observe: func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
		now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Now().Add(w.offset)
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) setClock(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += by
}

// sleep lets time pass and returns what happened since the last call, as lines of the
// wall clock's time, the kind and the schedule. Kinds that are not named are left out.
func (w *world) sleep(d time.Duration, kinds ...EventKind) []string {
	time.Sleep(d)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, e := range w.events {
		if slices.Contains(kinds, e.Kind) {
			lines = append(lines, fmt.Sprintf("%s %s %s", e.At.UTC().Format("15:04:05"), e.Kind, e.Schedule))
		}
	}
	w.events = nil
	return lines
}

func (w *world) want(got []string, lines ...string) {
	w.t.Helper()
	if !slices.Equal(got, lines) {
		w.t.Fatalf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func oneFile(name, cron string) map[string]string {
	return map[string]string{name + ".yaml": experimentText("x") + scheduleText(name, "x", cron, "UTC")}
}

func TestNoOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(7*time.Second), oneFile("a", "*/5 * * * * *"))
		defer w.stop()
		w.want(w.sleep(23*time.Second, EventStarted, EventSkipped, EventFinished),
			"00:00:05 started a", "00:00:10 skipped a", "00:00:12 finished a",
			"00:00:15 started a", "00:00:20 skipped a", "00:00:22 finished a")
	})
}

func TestSchedulesRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(90*time.Second), map[string]string{
			"all.yaml": experimentText("x") + scheduleText("a", "x", "1 0 * * *", "UTC") + scheduleText("b", "x", "2 0 * * *", "UTC"),
		})
		defer w.stop()
		w.want(w.sleep(5*time.Minute, EventStarted, EventFinished, EventSkipped),
			"00:01:00 started a", "00:02:00 started b", "00:02:30 finished a", "00:03:30 finished b")
	})
}

func TestOnTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(time.Minute), oneFile("nightly", "0 3 * * *"))
		defer w.stop()
		w.want(w.sleep(4*time.Hour, EventStarted, EventSkipped, EventFinished), "03:00:00 started nightly", "03:01:00 finished nightly")
	})
}

func TestFolderChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := []EventKind{EventLoaded, EventRemoved, EventBroken, EventStarted}
		w := serve(t, takes(time.Second), oneFile("a", "*/30 * * * * *"))
		defer w.stop()
		w.want(w.sleep(time.Second, kinds...), "00:00:00 loaded a")

		// A broken file is reported, once, and disturbs nobody. Nothing of it is used.
		w.write("b.yml", "kind: Shedule\n"+scheduleText("b", "x", "*/10 * * * * *", "UTC"))
		w.want(w.sleep(31*time.Second, kinds...), "00:00:04 broken ", "00:00:30 started a")

		// It is mended.
		w.write("b.yml", scheduleText("b", "x", "*/15 * * * * *", "UTC"))
		w.want(w.sleep(8*time.Second, kinds...), "00:00:36 loaded b")

		// A half-written file is not read: it changes between two looks.
		for i := range 6 {
			w.write("b.yml", strings.Repeat("#", i+1))
			w.want(w.sleep(2*time.Second, EventLoaded, EventRemoved, EventBroken))
		}
		w.write("b.yml", scheduleText("b", "x", "*/15 * * * * *", "UTC"))
		w.sleep(8 * time.Second)

		// The experiment goes, and with it whatever names it.
		w.write("a.yaml", "{}")
		w.want(w.sleep(6*time.Second, EventRemoved, EventBroken), "00:01:04 broken ", "00:01:04 broken ", "00:01:04 removed a", "00:01:04 removed b")
		if err := os.RemoveAll(w.dir); err != nil {
			t.Fatal(err)
		}
		w.want(w.sleep(10*time.Second, EventRemoved, EventBroken), "00:01:08 broken ")
		if err := os.Mkdir(w.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		w.write("a.yaml", oneFile("a", "*/30 * * * * *")["a.yaml"])
		w.want(w.sleep(10*time.Second, EventLoaded, EventBroken), "00:01:20 loaded a")
	})
}

// A schedule that changes nothing about a run under way, and a removed one, let it end.
func TestChangeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(25*time.Second), oneFile("a", "*/10 * * * * *"))
		defer w.stop()
		w.sleep(11 * time.Second)
		w.write("a.yaml", oneFile("a", "*/20 * * * * *")["a.yaml"])
		w.want(w.sleep(10*time.Second, EventStarted, EventSkipped, EventFinished), "00:00:20 skipped a")
		w.write("a.yaml", "")
		w.want(w.sleep(30*time.Second, EventStarted, EventRemoved, EventFinished), "00:00:24 removed a", "00:00:35 finished a")
	})
}

func TestClockIsSet(t *testing.T) {
	kinds := []EventKind{EventStarted, EventSkipped, EventClock}
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(time.Second), oneFile("a", "*/10 * * * *"))
		defer w.stop()
		w.want(w.sleep(11*time.Minute, kinds...), "00:10:00 started a")
		// The machine slept for an hour: what was due is left out, and said to be.
		w.setClock(time.Hour)
		w.want(w.sleep(10*time.Minute, kinds...), "01:11:02 skipped a", "01:20:00 started a")
		// The clock jumps over a time by a little: that run is late, not lost.
		w.sleep(8*time.Minute + 55*time.Second)
		w.setClock(10 * time.Second)
		w.want(w.sleep(5*time.Second, kinds...), "01:30:06 started a")
		// It is set back by half an hour: nothing is repeated.
		w.setClock(-30 * time.Minute)
		w.want(w.sleep(41*time.Minute, kinds...), "01:40:00 started a")
		// It is set back by a day: that clock was wrong, and its times don't count.
		w.setClock(-24 * time.Hour)
		w.want(w.sleep(10*time.Minute, kinds...), "01:41:12 clock a", "01:50:00 started a")
	})
}

func TestMissedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(time.Second), oneFile("a", "* * * * * *"))
		defer w.stop()
		time.Sleep(1500 * time.Millisecond)
		w.setClock(10 * 365 * 24 * time.Hour) // must not be counted out second by second
		time.Sleep(time.Second)
		synctest.Wait()
		i := slices.IndexFunc(w.events, func(e Event) bool { return strings.HasPrefix(e.Text, "more than 1000 runs due since") })
		if i < 0 {
			t.Fatalf("events %+v", w.events)
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(time.Hour), oneFile("a", "*/10 * * * * *"))
		w.sleep(12 * time.Second)
		w.stop()
		w.want(w.sleep(time.Minute, EventStopping, EventFinished, EventStarted, EventSkipped), "00:00:12 stopping ", "00:00:13 finished a")
	})
}

func TestEventsSayWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := serve(t, takes(3*time.Second), map[string]string{
			"a.yaml":         experimentText("slow-shop") + scheduleText("a", "slow-shop", "*/10 * * * * *", "Europe/Berlin"),
			"b\x1b[31m.yaml": "kind: nonsense",
		})
		time.Sleep(14 * time.Second)
		w.stop()
		byKind := map[EventKind]Event{}
		for _, e := range slices.Backward(w.events) {
			byKind[e.Kind] = e
			if strings.ContainsAny(e.Text, "\x1b\n") {
				t.Errorf("text %q", e.Text)
			}
		}
		for kind, want := range map[EventKind]string{
			EventLoaded:   "schedule a runs experiment slow-shop",
			EventNext:     "schedule a comes next at Sat 2000-01-01 01:00:10 CET",
			EventStarted:  "schedule a starts experiment slow-shop",
			EventFinished: "experiment slow-shop of schedule a: held, after 3s",
			EventBroken:   w.dir + `/b\x1b[31m.yaml has problems: what they concern is not run`,
			EventStopping: "stopping: nothing is running",
		} {
			if byKind[kind].Text != want {
				t.Errorf("%s: %q, want %q", kind, byKind[kind].Text, want)
			}
		}
		if e := byKind[EventFinished]; e.Verdict != "held" || e.Took != 3*time.Second || e.Due.Second() != 10 || e.File != w.dir+"/a.yaml" {
			t.Errorf("finished: %+v", e)
		}
		if problems := (strict.Problems)(nil); !errors.As(byKind[EventBroken].Err, &problems) {
			t.Errorf("broken: %v", byKind[EventBroken].Err)
		}
	})
}

func TestRead(t *testing.T) {
	nightly := func(name, experiment string) string { return scheduleText(name, experiment, "0 3 * * *", "UTC") }
	for name, test := range map[string]struct {
		files map[string]string
		plans int
		want  string // in the first error, "" for none
		hint  string
	}{
		"in two files":            {map[string]string{"a.yaml": nightly("a", "x"), "x.yml": experimentText("x")}, 1, "", ""},
		"other files":             {map[string]string{"README.md": "#", ".a.yaml": "!", "a.yaml~": "!"}, 0, "", ""},
		"no experiment":           {map[string]string{"a.yaml": nightly("a", "slow-shpo"), "x.yaml": experimentText("slow-shop")}, 0, "no experiment", `did you mean "slow-shop"?`},
		"two experiments":         {map[string]string{"a.yaml": nightly("a", "x") + experimentText("x"), "x.yaml": experimentText("x")}, 0, "several experiments", "a name of its own"},
		"two experiments, unused": {map[string]string{"a.yaml": experimentText("x"), "x.yaml": experimentText("x")}, 0, "", ""},
		"two schedules":           {map[string]string{"a.yaml": nightly("a", "x") + experimentText("x"), "b.yaml": nightly("a", "x")}, 1, "is in", "a name of its own"},
		"a bad time":              {map[string]string{"a.yaml": scheduleText("a", "x", "0 25 * * *", "UTC") + experimentText("x") + nightly("b", "x")}, 1, "the hour", ""},
		"in a broken file":        {map[string]string{"a.yaml": nightly("a", "x"), "x.yaml": experimentText("x") + "kind: no\n"}, 0, "no experiment", "files that cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f := folder{dir, func(path string) (*experiments.Documents, error) { return experiments.LoadFile(path, vocabulary()) }}
			files, err := f.list()
			if err != nil {
				t.Fatal(err)
			}
			c := f.read(files)
			if len(c.plans) != test.plans || (len(c.broken) > 0) != (test.want != "") {
				t.Fatalf("plans %v, broken %v", c.plans, c.broken)
			}
			for _, b := range c.broken[:min(1, len(c.broken))] {
				if !strings.Contains(b.err.Error(), test.want) || !strings.Contains(strings.Join(hint.Of(b.err), " "), test.hint) {
					t.Errorf("%v, hints %q", b.err, hint.Of(b.err))
				}
			}
		})
	}
}

func TestRefusedFolders(t *testing.T) {
	run := func(dir string) error {
		return (&Server{Dir: dir, Observe: func(Event) {}}).Run(t.Context())
	}
	if err := run(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := run(open); err == nil || len(hint.Of(err)) == 0 {
		t.Errorf("a folder for everybody: %v", err)
	}
	full := t.TempDir()
	for i := range MaxFiles + 1 {
		if err := os.WriteFile(filepath.Join(full, fmt.Sprint(i, ".yaml")), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(full); err == nil || !strings.Contains(err.Error(), "more than 1000 files") {
		t.Errorf("a full folder: %v", err)
	}
	// One file that everybody can write is left out, and the others are served.
	mixed := t.TempDir()
	name := filepath.Join(mixed, "a.yaml")
	if err := errors.Join(os.WriteFile(name, []byte(experimentText("x")), 0o600), os.Chmod(name, 0o666)); err != nil {
		t.Fatal(err)
	}
	f := folder{dir: mixed}
	files, err := f.list()
	if err != nil {
		t.Fatal(err)
	}
	if c := f.read(files); len(c.broken) != 1 || !strings.Contains(c.broken[0].err.Error(), "everybody can write it") {
		t.Errorf("broken %v", c.broken)
	}
}
