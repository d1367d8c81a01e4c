package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/squallhq/squall/injectors/network/model"
	"github.com/squallhq/squall/internal/quantity"
)

// The majors that squall gives its netem qdiscs. tc numbers those without a handle
// from 8000: on, and people take small numbers.
const firstMajor, majors = 0x5100, 0x0f00

// newNetem turns a specification into a qdisc, and chooses its handle.
func newNetem(s *Spec) *Netem {
	return &Netem{Handle: (firstMajor + rand.Uint32N(majors)) << 16, Params: params(s)}
}

// params turns a specification into the kernel's units.
func params(s *Spec) model.Params {
	p := model.Params{
		Latency:   s.Delay.D().Nanoseconds(),
		Jitter:    s.Jitter.D().Nanoseconds(),
		DelayCorr: model.Share(s.Correlation),
		Loss:      model.Share(s.Loss),
		LossCorr:  model.Share(s.LossCorrelation),
		Duplicate: model.Share(s.Duplicate),
		Corrupt:   model.Share(s.Corrupt),
		Rate:      uint64(s.Rate) / 8,
		Limit:     limit(s),
	}
	if s.Distribution != uniform {
		p.Distribution = s.Distribution
	}
	if s.Partition == partitionDrop {
		p.Loss = math.MaxUint32
	}
	if r := s.Reorder; r != nil {
		p.Reorder, p.ReorderCorr, p.Gap = model.Share(quantity.Percent(r.Percent)), model.Share(r.Correlation), r.Gap
	}
	if g := s.GilbertElliott; g != nil {
		// The kernel compares with h, the chance to get through in the bad state, and
		// with k1 = 1-k, the chance to get lost in the good one.
		p.LossGE = &model.GilbertElliott{P: model.Share(g.ToBad), R: model.Share(g.ToGood), H: model.Share(100 - g.BadLoss), K1: model.Share(g.GoodLoss)}
	}
	if f := s.FourState; f != nil {
		p.LossState = &model.FourState{P13: model.Share(f.P13), P31: model.Share(f.P31), P32: model.Share(f.P32), P14: model.Share(f.P14), P23: model.Share(f.P23)}
	}
	return p
}

// What a sender may be expected to send: the queue has to hold it for as long as
// the delay lasts, or netem drops packets that nobody asked it to.
const (
	netemLimit      = 1000    // netem's own default, and the least here
	packetsASecond  = 500_000 // without a rate
	smallPacketBits = 64 * 8  // with one, the smallest frame of Ethernet
)

// limit is the number of packets that the queue holds: its own default, plus what
// can be under way at a time. It is a bound and takes no memory by itself.
func limit(s *Spec) uint32 {
	if s.Limit > 0 {
		return s.Limit
	}
	perSecond := float64(packetsASecond)
	if s.Rate > 0 {
		perSecond = min(perSecond, float64(s.Rate)/smallPacketBits)
	}
	// Four deviations of jitter hold nearly every packet of every distribution.
	longest := s.Delay.D() + 4*s.Jitter.D()
	return netemLimit + uint32(min(longest.Seconds()*perSecond, 1_000_000))
}

// String writes the qdisc's parameters in tc's words, for plan to print.
func (n *Netem) String() string { return "netem " + inWords(&n.Params) }

// words writes parameters as tc does.
func inWords(n *model.Params) string {
	words := []string{fmt.Sprintf("limit %d", n.Limit)}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if n.Latency > 0 {
		add("delay %s", time.Duration(n.Latency))
	}
	if n.Jitter > 0 {
		add("%s", time.Duration(n.Jitter))
		if n.DelayCorr > 0 {
			add("%s", percentOf(n.DelayCorr))
		}
		if n.Distribution != "" {
			add("distribution %s", n.Distribution)
		}
	}
	if n.Loss > 0 {
		add("loss %s", percentOf(n.Loss))
		if n.LossCorr > 0 {
			add("%s", percentOf(n.LossCorr))
		}
	}
	if g := n.LossGE; g != nil {
		add("loss gemodel %s %s %s %s", percentOf(g.P), percentOf(g.R), percentOf(math.MaxUint32-g.H), percentOf(g.K1))
	}
	if l := n.LossState; l != nil {
		add("loss state %s %s %s %s %s", percentOf(l.P13), percentOf(l.P31), percentOf(l.P32), percentOf(l.P23), percentOf(l.P14))
	}
	if n.Duplicate > 0 {
		add("duplicate %s", percentOf(n.Duplicate))
	}
	if n.Corrupt > 0 {
		add("corrupt %s", percentOf(n.Corrupt))
	}
	if n.Reorder > 0 {
		add("reorder %s %s gap %d", percentOf(n.Reorder), percentOf(n.ReorderCorr), n.Gap)
	}
	if n.Rate > 0 {
		add("rate %s", quantity.Rate(n.Rate*8))
	}
	return strings.Join(words, " ")
}

func percentOf(share uint32) string {
	return fmt.Sprintf("%.6g%%", model.Percent(share))
}
