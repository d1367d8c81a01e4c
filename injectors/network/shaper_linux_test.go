package network

import (
	"testing"
)

func TestShaperDelays(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 50 * ms, Backend: shaperName}, n.target)
	got := measure(t, n.target, n.peer, timed)
	t.Log(quantileOf(got.delays(), 0.5), quantileOf(got.delays(), 0.99), got.losses())
	st := f.expect(f.registry, "present")
	t.Logf("%+v", st)
	f.revert(f.registry)
}
