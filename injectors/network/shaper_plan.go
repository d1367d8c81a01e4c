package network

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/squallhq/squall/injectors/network/model"
)

// newShaper turns a specification into a shaper, and chooses what it is known by.
func newShaper(s *Spec) *Shaper {
	var random [17]byte
	_, _ = rand.Read(random[:]) // never fails
	return &Shaper{
		// Program names and interface names have 15 characters at most; the TAP
		// interfaces add two digits.
		Program: "sq_" + hex.EncodeToString(random[:5]),
		// Never 0, which is the mark of those that have none.
		Mark:   binary.NativeEndian.Uint32(random[5:]) | 1,
		Seed:   binary.NativeEndian.Uint64(random[9:]),
		Params: params(s),
	}
}

// tap is the name of the TAP interface for the recorded interface of that number.
func (s *Shaper) tap(i int) string { return fmt.Sprintf("%s%02d", s.Program, i) }

// String says what the shaper does, for plan to print.
func (s *Shaper) String() string { return inWords(&s.Params) }

// sound says whether a record, which comes from a file, can be worked with.
func (s *Shaper) sound() bool {
	return len(s.Program) == len("sq_")+10 && interfaceName(s.tap(0)) && s.Mark != 0 && s.Limit > 0 &&
		s.Latency >= 0 && s.Jitter >= 0 && s.Jitter <= int64(maxJitter) &&
		(s.Distribution == "" || model.Table(s.Distribution) != nil)
}
