package deadman

import (
	"os"
	"slices"
	"strconv"
	"testing"
)

// BenchmarkKillToRevert is the time from squall's SIGKILL to the call of Revert in
// the deadman.
func BenchmarkKillToRevert(b *testing.B) {
	var times []float64
	for range b.N {
		s := startSquall(b, b.TempDir(), "1h", "reverts")
		killed := now()
		if err := s.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		s.clean(b, ParentGone)
		_ = s.Wait()
		text, err := os.ReadFile(s.journal + ".called")
		if err != nil {
			b.Fatal(err)
		}
		called, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, float64(called-killed)/1e6)
	}
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2], "p50-ms")
	b.ReportMetric(times[len(times)*99/100], "p99-ms")
	b.ReportMetric(times[len(times)-1], "max-ms")
}
