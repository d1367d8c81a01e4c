package uml

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Machine is a user-mode Linux to boot.
type Machine struct {
	// Kernel is the program, linux.uml.
	Kernel string
	// Init is a static Go binary that calls Guest, and Args are its arguments.
	Init string
	Args []string
	// Modules are the names of the kernel modules that the guest loads, in their
	// order, each after those that it depends on.
	Modules []string
	// Memory in kernel notation; 512M where it is empty.
	Memory string
}

// modulesDir is where Debian's package keeps the modules, in a folder by release.
const modulesDir = "/usr/lib/uml/modules"

// The files of the initramfs that tell the guest what to do.
const (
	argsFile    = "squall/args"
	modulesList = "squall/modules"
)

// ended is what the guest prints last, with init's exit status.
const ended = "squall-uml: init ended with status "

// maxOutput bounds what a guest can make us keep.
const maxOutput = 16 << 20

// Run boots the machine, waits until its init has ended and returns what that
// printed. It is an error when init fails, when the machine stops before init has
// ended, or when ctx ends, which kills it.
func (m Machine) Run(ctx context.Context) (output string, err error) {
	dir, err := os.MkdirTemp("", "squall-uml-")
	if err != nil {
		return "", fmt.Errorf("cannot boot user-mode Linux: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	initrd := filepath.Join(dir, "initrd")
	if err := m.pack(initrd); err != nil {
		return "", fmt.Errorf("cannot pack the initramfs of user-mode Linux: %w", err)
	}
	memory := m.Memory
	if memory == "" {
		memory = "512M"
	}
	// What the kernel doesn't know is init's: GODEBUG becomes its environment.
	// Asynchronous preemption costs much there, for each signal is many switches.
	cmd := exec.CommandContext(ctx, m.Kernel,
		"mem="+memory, "initrd="+initrd, "uml_dir="+dir+"/", "con=null", "con0=fd:0,fd:1", "quiet", "GODEBUG=asyncpreemptoff=1")
	out := &bounded{left: maxOutput}
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	cmd.WaitDelay = 5 * time.Second
	endWithGroup(cmd)
	runErr := cmd.Start()
	if runErr == nil {
		favour(cmd)
		runErr = cmd.Wait()
	}
	output = strings.ReplaceAll(out.String(), "\r\n", "\n") // it is a terminal's
	_, status, found := strings.Cut(output, ended)
	status, _, _ = strings.Cut(status, "\n")
	switch {
	case ctx.Err() != nil:
		return output, fmt.Errorf("cannot wait for user-mode Linux any longer: %w", ctx.Err())
	case !found:
		return output, errors.Join(errors.New("user-mode Linux stopped before its init had ended"), runErr)
	case status != "0":
		return output, fmt.Errorf("the init of user-mode Linux ended with status %s", status)
	}
	return output, nil
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}

func (m Machine) pack(file string) (err error) {
	binary, err := os.ReadFile(m.Init)
	if err != nil {
		return err
	}
	modules, err := withDependencies(m.Modules)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := &cpio{w: zip}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "squall", "squall/ko"} {
		archive.dir(dir)
	}
	archive.charDevice("dev/console", 5, 1)
	archive.file("init", binary)
	archive.file(argsFile, []byte(strings.Join(m.Args, "\x00")))
	var names []string
	for _, module := range modules {
		content, err := os.ReadFile(module)
		if err != nil {
			return err
		}
		name := "squall/ko/" + path.Base(module)
		archive.file(name, content)
		names = append(names, name)
	}
	archive.file(modulesList, []byte(strings.Join(names, "\n")))
	return errors.Join(archive.close(), zip.Close())
}

// withDependencies returns the files of the modules and of all that they depend on,
// those first. It reads modules.dep, whose lines name a module and then what it
// needs, the most basic last.
func withDependencies(modules []string) ([]string, error) {
	lists, err := filepath.Glob(filepath.Join(modulesDir, "*", "modules.dep"))
	if err != nil || len(lists) != 1 {
		return nil, fmt.Errorf("cannot find the modules of one kernel under %s: there are %d", modulesDir, len(lists))
	}
	text, err := os.ReadFile(lists[0])
	if err != nil {
		return nil, err
	}
	chains := map[string][]string{} // a module's dependencies, then its own file
	for line := range strings.Lines(string(text)) {
		file, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		chain := strings.Fields(needs)
		slices.Reverse(chain)
		chains[strings.TrimSuffix(path.Base(file), ".ko")] = append(chain, file)
	}
	var files []string
	for _, module := range modules {
		if chains[module] == nil {
			return nil, fmt.Errorf("there is no module %s under %s", module, modulesDir)
		}
		for _, file := range chains[module] {
			file = filepath.Join(filepath.Dir(lists[0]), file)
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files, nil
}
