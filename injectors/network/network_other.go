//go:build !linux

package network

import (
	"context"
	"errors"
	"io"
	"runtime"

	"github.com/squallhq/squall/injectors"
)

var errLinux = errors.New("cannot inject network faults: they need Linux")

type verbs struct{}

func newVerbs([]string) verbs { return verbs{} }

func (verbs) Plan(context.Context, Spec, injectors.Target) (injectors.Planned[Record], error) {
	return injectors.Planned[Record]{}, errLinux
}

func (verbs) Apply(context.Context, Record) error { return errLinux }

func (verbs) Verify(context.Context, Record) (injectors.Status, error) {
	return injectors.Status{}, errLinux
}

func (verbs) Revert(context.Context, Record) error { return errLinux }

// HoldShaper needs Linux.
func HoldShaper(context.Context, io.Reader, io.Writer) error { return errLinux }

// Probe says that this system has no network faults.
func Probe(context.Context, ...string) []Capability {
	return []Capability{{
		Name: "Linux", Detail: "this is " + runtime.GOOS,
		Cost: "no network faults", Remedy: "run squall on the Linux host that runs the targets",
	}}
}
