package network

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/squallhq/squall/internal/quantity"
)

// newBPF turns a specification, which bpfCannot has nothing against, into a loss
// program, and chooses its name.
func newBPF(s *Spec) *BPF {
	// Program names have 15 characters at most (BPF_OBJ_NAME_LEN).
	var random [5]byte
	_, _ = rand.Read(random[:]) // never fails
	b := &BPF{
		Program: "sq_" + hex.EncodeToString(random[:]),
		Egress:  s.direction() != ingress,
		Ingress: s.direction() != egress,
	}
	switch g := s.GilbertElliott; {
	case s.Partition == partitionDrop:
		b.GoodLoss = threshold(100)
	case g != nil:
		b.ToBad, b.ToGood = threshold(g.ToBad), threshold(g.ToGood)
		b.BadLoss, b.GoodLoss = threshold(g.BadLoss), threshold(g.GoodLoss)
	default:
		b.GoodLoss = threshold(s.Loss)
	}
	return b
}

// threshold is a probability as a share of 2³².
func threshold(p quantity.Percent) uint64 { return uint64(math.Round(p.Fraction() * (1 << 32))) }

// String says what the program does, for plan to print.
func (b *BPF) String() string {
	percent := func(t uint64) string { return fmt.Sprintf("%.6g%%", float64(t)/(1<<32)*100) }
	switch {
	case b.ToBad == 0 && b.GoodLoss == 1<<32:
		return "drop every packet"
	case b.ToBad > 0:
		return fmt.Sprintf("lose packets by Gilbert-Elliott: to bad %s, to good %s, lost in bad %s, in good %s",
			percent(b.ToBad), percent(b.ToGood), percent(b.BadLoss), percent(b.GoodLoss))
	}
	return fmt.Sprintf("lose %s of the packets at random", percent(b.GoodLoss))
}
