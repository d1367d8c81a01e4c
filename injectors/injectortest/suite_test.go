package injectortest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/injectortest"
)

// flawed makes a folder, and does it in one of many wrong ways.
type flawed struct{ flaw string }

type spec struct{}

type record struct {
	Path string `json:"path"`
}

// mark is what a folder of ours holds, and a foreign one does not.
const mark = "ours"

func (f flawed) Plan(_ context.Context, _ spec, target injectors.Target) (injectors.Planned[record], error) {
	planned := injectors.Planned[record]{
		Record: record{Path: filepath.Join(target.ID, "effect")}, Actions: []string{"make a folder"}, Undo: "remove it",
		Object: target.ID, Backend: "folder", Reason: "there is no other", Tier: injectors.TierDeadman,
	}
	switch f.flaw {
	case "plan writes":
		return planned, os.Mkdir(filepath.Join(target.ID, "planned"), 0o700)
	case "plan is silent":
		planned.Undo = ""
	}
	return planned, nil
}

func (f flawed) Apply(ctx context.Context, r record) error {
	if f.flaw == "apply does nothing" {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.flaw == "apply replaces" {
		if err := os.RemoveAll(r.Path); err != nil {
			return err
		}
	}
	if f.flaw == "a goroutine leaks" {
		go func() { <-make(chan int) }()
	}
	if err := os.Mkdir(r.Path, 0o700); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(r.Path, mark), 0o700)
}

func (f flawed) Verify(_ context.Context, r record) (injectors.Status, error) {
	status := injectors.Status{Presence: injectors.Absent, Detail: "nothing is there"}
	if _, err := os.Stat(r.Path); err == nil {
		status = injectors.Status{Presence: injectors.Foreign, Detail: "somebody's folder is there"}
	}
	_, err := os.Stat(filepath.Join(r.Path, mark))
	if err == nil || f.flaw == "verify takes all for ours" && status.Presence == injectors.Foreign || f.flaw == "verify always sees it" {
		status = injectors.Status{Presence: injectors.Present, Detail: "it is there", Touched: 1, Unit: "folders"}
	}
	if f.flaw == "verify gives no detail" {
		status.Detail = ""
	}
	return status, nil
}

func (f flawed) Revert(ctx context.Context, r record) error {
	switch f.flaw {
	case "revert does nothing":
		return nil
	case "revert removes all":
		return os.RemoveAll(r.Path)
	}
	status, err := f.Verify(ctx, r)
	if err != nil || status.Presence != injectors.Present {
		if f.flaw == "revert wants an effect" {
			return errors.Join(err, errors.New("there is nothing to revert"))
		}
		return err
	}
	return os.RemoveAll(r.Path)
}

const variable = "SQUALL_TEST_FLAW"

func TestFlawed(t *testing.T) {
	flaw, set := os.LookupEnv(variable)
	if !set {
		flaw = "none"
	}
	injectortest.Run(t, injectortest.Suite{
		Injector: func() *injectors.Injector {
			return injectors.New[spec, record]("flawed", "Makes a folder.", []injectors.Kind{injectors.KindProcess}, flawed{flaw})
		},
		Fresh: func(t *testing.T) (any, injectors.Target) {
			dir := t.TempDir()
			return &spec{}, injectors.Target{Kind: injectors.KindProcess, ID: dir, Name: "folder"}
		},
		Observe: func(t *testing.T, target injectors.Target) string {
			all, err := filepath.Glob(target.ID + "/*")
			if err != nil {
				t.Fatal(err)
			}
			inner, err := filepath.Glob(target.ID + "/*/*")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(append(all, inner...), " ")
		},
		Destroy: func(t *testing.T, target injectors.Target) {
			if err := os.RemoveAll(target.ID); err != nil {
				t.Fatal(err)
			}
		},
		Foreign: func(t *testing.T, target injectors.Target) {
			if err := os.Mkdir(filepath.Join(target.ID, "effect"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// The suite finds every one of these mistakes, in the test that is about it.
func TestFlawsAreFound(t *testing.T) {
	for flaw, test := range map[string]string{
		"plan writes":               "plan_is_read-only_and_complete",
		"plan is silent":            "plan_is_read-only_and_complete",
		"apply does nothing":        "applied,_verified_and_reverted",
		"apply replaces":            "a_second_apply_fails",
		"a goroutine leaks":         "nothing_leaks",
		"verify takes all for ours": "something_foreign_is_in_its_place",
		"verify always sees it":     "the_target_is_gone_after_apply",
		"verify gives no detail":    "plan_is_read-only_and_complete",
		"revert does nothing":       "eight_reverts_at_once",
		"revert wants an effect":    "revert_without_apply",
		"revert removes all":        "something_foreign_is_in_its_place",
	} {
		t.Run(flaw, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFlawed$/^"+test+"$", "-test.v")
			command.Env = append(os.Environ(), variable+"="+flaw)
			output, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "--- FAIL: TestFlawed/"+test) {
				t.Errorf("%q passes the test %s: %v\n%s", flaw, test, err, output)
			}
		})
	}
}
