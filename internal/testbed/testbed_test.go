package testbed

import (
	"testing"
)

func TestSubnetsAreAllDifferent(t *testing.T) {
	for _, prefix := range []string{"a", "squall-demo", "x-1"} {
		seen := map[string]bool{}
		for i := range subnets {
			s := subnet(prefix, i)
			if !benchmarking.Overlaps(s) || s.Bits() != 24 {
				t.Fatalf("subnet(%q, %d) = %s, outside %s", prefix, i, s, benchmarking)
			}
			seen[s.String()] = true
		}
		if len(seen) != subnets {
			t.Errorf("%s: %d networks, want %d", prefix, len(seen), subnets)
		}
	}
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "squall-demo-1": true, "": false, "-a": false, "a-": false,
		"../x": false, "a/b": false, "A": false, "a*": false,
		"0123456789012345678901234567890123456789": true, "01234567890123456789012345678901234567890": false,
	} {
		if err := checkName("host", name); (err == nil) != good {
			t.Errorf("checkName(%q) = %v", name, err)
		}
	}
	if got := uplink("squall-demo"); len(got) > 15 {
		t.Errorf("%q is too long for an interface", got)
	}
}
