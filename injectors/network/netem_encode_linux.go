package network

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/squallhq/squall/injectors/network/model"
	"github.com/vishvananda/netlink/nl"
)

// Attributes of linux/pkt_sched.h that the nl package doesn't name: its list of
// TCA_NETEM_* ends before LATENCY64.
const (
	tcaNetemLatency64 = 10 // TCA_NETEM_LATENCY64, Linux 4.15
	tcaNetemJitter64  = 11 // TCA_NETEM_JITTER64, Linux 4.15

	netemLossGI = 1 // NETEM_LOSS_GI: struct tc_netem_gimodel, the four states
	netemLossGE = 2 // NETEM_LOSS_GE: struct tc_netem_gemodel, Gilbert-Elliott
)

// tickShift is PSCHED_SHIFT of net/pkt_sched.h: a tick of the packet scheduler is
// 64 ns.
const tickShift = 6

// options encodes n as netem_change() in net/sched/sch_netem.c reads it: struct
// tc_netem_qopt, followed by attributes. Every number is in host byte order.
func (n *Netem) options() *nl.RtAttr {
	options := nl.NewRtAttr(nl.TCA_OPTIONS, words(
		// latency, limit, loss, gap, duplicate, jitter. Ticks are what kernels before
		// LATENCY64 understand; newer ones take the exact values below instead.
		ticks(n.Latency), n.Limit, n.Loss, n.Gap, n.Duplicate, ticks(n.Jitter)))
	options.AddRtAttr(tcaNetemLatency64, nl.Uint64Attr(uint64(n.Latency)))
	options.AddRtAttr(tcaNetemJitter64, nl.Uint64Attr(uint64(n.Jitter)))
	// struct tc_netem_corr: delay, loss, duplicate.
	options.AddRtAttr(nl.TCA_NETEM_CORR, words(n.DelayCorr, n.LossCorr, 0))
	if table := model.Table(n.Distribution); table != nil {
		options.AddRtAttr(nl.TCA_NETEM_DELAY_DIST, words(table...))
	}
	if n.Reorder > 0 {
		options.AddRtAttr(nl.TCA_NETEM_REORDER, words(n.Reorder, n.ReorderCorr))
	}
	if n.Corrupt > 0 {
		options.AddRtAttr(nl.TCA_NETEM_CORRUPT, words(n.Corrupt, 0))
	}
	switch {
	case n.LossGE != nil:
		g := n.LossGE
		loss := options.AddRtAttr(nl.TCA_NETEM_LOSS, nil)
		loss.AddRtAttr(netemLossGE, words(g.P, g.R, g.H, g.K1))
	case n.LossState != nil:
		s := n.LossState
		loss := options.AddRtAttr(nl.TCA_NETEM_LOSS, nil)
		loss.AddRtAttr(netemLossGI, words(s.P13, s.P31, s.P32, s.P14, s.P23))
	}
	if n.Rate > 0 {
		// struct tc_netem_rate: rate, packet_overhead, cell_size, cell_overhead. The
		// kernel takes the larger of rate and RATE64.
		options.AddRtAttr(nl.TCA_NETEM_RATE, words(uint32(min(n.Rate, math.MaxUint32)), 0, 0, 0))
		if n.Rate > math.MaxUint32 {
			options.AddRtAttr(nl.TCA_NETEM_RATE64, nl.Uint64Attr(n.Rate))
		}
	}
	return options
}

func ticks(nanoseconds int64) uint32 {
	return uint32(min(nanoseconds>>tickShift, math.MaxUint32))
}

func words[T int16 | uint32](values ...T) []byte {
	var b bytes.Buffer
	// A Buffer takes every number of fixed size without an error.
	_ = binary.Write(&b, binary.NativeEndian, values)
	return b.Bytes()
}
