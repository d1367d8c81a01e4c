package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/require"
	"github.com/squallhq/squall/internal/testbed"
	"github.com/squallhq/squall/safety/journal"
)

// TestMain makes `squall` a command of the scripts: this very binary.
func TestMain(m *testing.M) {
	testscript.Main(testRun{m}, map[string]func(){
		"squall": func() { os.Exit(run()) },
	})
}

type testRun struct{ m *testing.M }

func (t testRun) Run() int {
	defer func() { os.RemoveAll(built) }() //nolint:errcheck // a temporary folder
	return dockertest.Main(t.m)
}

// TestScripts are the command line as a person uses it: each file is titled by what
// it shows.
func TestScripts(t *testing.T) { scripts(t, "testdata/script") }

// TestScriptsAsRoot are those with faults in real namespaces.
func TestScriptsAsRoot(t *testing.T) {
	require.Root(t)
	scripts(t, "testdata/root")
}

func scripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			state := filepath.Join(env.WorkDir, "state")
			repository, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			env.Setenv("SQUALL_STATE", state)
			env.Setenv("REPOSITORY", repository)
			env.Setenv("NO_COLOR", "1")
			return os.Mkdir(state, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bed":      makeBed,
			"clean":    checkClean,
			"expand":   expand,
			"in-fault": inFault,
			"tighten":  tighten,
		},
	})
}

var beds atomic.Int32

// makeBed is `bed NAME...`: a network with a namespace for each name, called $BED-NAME
// at the address $NAME, with a web server at its port 8080.
func makeBed(ts *testscript.TestScript, _ bool, names []string) {
	prefix := fmt.Sprintf("sqcli-%d-%d", os.Getpid(), beds.Add(1))
	network, err := testbed.New(prefix)
	ts.Check(err)
	ts.Defer(func() { ts.Check(network.Close()) })
	ts.Setenv("BED", prefix)
	for _, name := range names {
		host, err := network.AddHost(name)
		ts.Check(err)
		ts.Setenv(name, host.Addr.String())
		var listener net.Listener
		ts.Check(host.Do(func() (err error) {
			listener, err = net.Listen("tcp", net.JoinHostPort(host.Addr.String(), "8080"))
			return err
		}))
		server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
		ts.Defer(func() { ts.Check(server.Close()) })
		go server.Serve(listener) //nolint:errcheck // it ends with ErrServerClosed
	}
}

// expand is `expand FILE...`: puts the script's variables into files.
func expand(ts *testscript.TestScript, _ bool, files []string) {
	for _, file := range files {
		path := ts.MkAbs(file)
		data, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, []byte(os.Expand(string(data), ts.Getenv)), 0o600))
	}
}

// checkClean is `clean`: no journal, no deadman, and no program of squall's in the
// kernel that belongs to this script's namespaces. `! clean` is the opposite: a
// journal is there.
func checkClean(ts *testscript.TestScript, negated bool, _ []string) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := residue(ts.Getenv("SQUALL_STATE"))
		if (left != "") == negated {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("left behind: %q", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// residue says what of a run is still there.
func residue(state string) string {
	entries, err := os.ReadDir(state)
	if err != nil {
		return err.Error()
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	return strings.Join(left, " ")
}

// programs returns the names of squall's programs that are attached anywhere.
func programs(t testing.TB) (names []string) {
	links := new(link.Iterator)
	defer links.Close()
	for links.Next() {
		info, err := links.Link.Info()
		if err != nil {
			t.Fatal(err)
		}
		program, err := ebpf.NewProgramFromID(info.Program)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was detached meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		about, err := program.Info()
		program.Close() //nolint:errcheck // only read
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(about.Name, "sq_") {
			names = append(names, about.Name)
		}
	}
	if err := links.Err(); errors.Is(err, syscall.EAGAIN) {
		return programs(t) // somebody is just attaching one
	} else if err != nil {
		t.Fatal(err)
	}
	return names
}

// inFault is `in-fault`: waits until a run of this script has a fault in.
func inFault(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.Getenv("SQUALL_STATE")
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		paths, err := journal.List(dir)
		ts.Check(err)
		for _, path := range paths {
			state, err := journal.Read(path)
			if err == nil && slices.ContainsFunc(state.Pending, func(e journal.Entry) bool { return e.Applied }) {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("no fault was put in")
}

// tighten is `tighten DIR`: testscript unpacks folders that others may write to,
// which squall refuses.
func tighten(ts *testscript.TestScript, _ bool, args []string) {
	for _, dir := range args {
		ts.Check(filepath.Walk(ts.MkAbs(dir), func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			return os.Chmod(path, info.Mode()&^0o022)
		}))
	}
}
