package netns

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs fn inside the network namespace that path opens, and returns fn's error.
// Sockets that fn opens belong to that namespace, also after fn has returned;
// goroutines that fn starts run outside of it. A panic in fn is the caller's.
//
// fn has an operating system thread to itself, which ends with it: a thread that
// has been elsewhere never serves other goroutines again.
func Do(path string, fn func() error) error {
	return onThread(func() (err error) {
		file, err := open(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		// setns itself checks that the file is a namespace, and of this type.
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return needRoot(fmt.Errorf("cannot enter the network namespace %q: %w", path, err))
		}
		return fn()
	})
}

// onThread runs fn on a thread that ends with it.
func onThread(fn func() error) error {
	var (
		err      error
		panicked any
		finished bool
		done     = make(chan struct{})
	)
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		// A goroutine that ends locked takes its thread with it.
		runtime.LockOSThread()
		// The main thread can't end, and /proc/self shows its namespaces as those of
		// the process: keep it busy here and take another one.
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			err, finished = onThread(fn), true
			return
		}
		err = fn()
		finished = true
	}()
	<-done
	switch {
	case panicked != nil:
		panic(panicked)
	case !finished:
		return errors.New("cannot finish in the network namespace: the function called runtime.Goexit")
	}
	return err
}

// Scratch runs fn inside a new network namespace, with nothing but a loopback
// interface that is down. The namespace ends with fn, unless something that fn made
// holds on to it.
func Scratch(fn func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return needRoot(fmt.Errorf("cannot make a network namespace: %w", err))
		}
		return fn()
	})
}
