// Package model says what happens to the packets of a faulty network, without a
// kernel and without a network: which are lost, delayed by how much, duplicated,
// corrupted, and which overtake.
//
// It is a reimplementation of Linux's netem (net/sched/sch_netem.c) as seeded code
// without side effects. The parameters are netem's own, in netem's units, so that
// a kernel that has it and squall's shaper on one that hasn't do the same to the
// same document. Where the two differ a comment says so.
package model

import (
	"math"
	"time"

	"github.com/squallhq/squall/internal/quantity"
)

// Params are the parameters of a Model in the kernel's units: nanoseconds, bytes
// per second, and probabilities as shares of 2³²-1. The zero value lets every
// packet pass.
type Params struct {
	// Latency is the mean delay. Jitter is half the width of the uniform
	// distribution (no name), and the standard deviation of the others.
	Latency      int64  `json:"latency,omitempty"`
	Jitter       int64  `json:"jitter,omitempty"`
	Distribution string `json:"distribution,omitempty"`
	// DelayCorr is how much of a delay's random number comes from the one before.
	DelayCorr uint32 `json:"delayCorr,omitempty"`

	// At most one of Loss, LossGE and LossState is in use.
	Loss      uint32          `json:"loss,omitempty"`
	LossCorr  uint32          `json:"lossCorr,omitempty"`
	LossGE    *GilbertElliott `json:"lossGE,omitempty"`
	LossState *FourState      `json:"lossState,omitempty"`

	Duplicate uint32 `json:"duplicate,omitempty"`
	Corrupt   uint32 `json:"corrupt,omitempty"`

	// Every Gap-th packet overtakes with a chance of Reorder; a Gap of 0 is none.
	Reorder     uint32 `json:"reorder,omitempty"`
	ReorderCorr uint32 `json:"reorderCorr,omitempty"`
	Gap         uint32 `json:"gap,omitempty"`

	// Rate is in bytes per second, 0 for no limit.
	Rate uint64 `json:"rate,omitempty"`
	// Limit is the most packets that are held back at a time. It is kept by whoever
	// holds them.
	Limit uint32 `json:"limit"`
}

// GilbertElliott is the chain of Gilbert (1960) and Elliott (1963), laid out as
// struct tc_netem_gemodel of linux/pkt_sched.h: P leaves the good state, R the bad
// one, H gets through in the bad state, K1 gets lost in the good one.
type GilbertElliott struct {
	P  uint32 `json:"p"`
	R  uint32 `json:"r"`
	H  uint32 `json:"h"`
	K1 uint32 `json:"k1"`
}

// FourState is the chain of Salsano, Ludovici and Ordine (2009), laid out as struct
// tc_netem_gimodel of linux/pkt_sched.h. State 1 receives in a gap, 2 receives
// within a burst, 3 loses within a burst, 4 loses a single packet in a gap.
type FourState struct {
	P13 uint32 `json:"p13"`
	P31 uint32 `json:"p31"`
	P32 uint32 `json:"p32"`
	P14 uint32 `json:"p14"`
	P23 uint32 `json:"p23"`
}

// Share is a probability in the kernel's unit, a share of 2³²-1.
func Share(p quantity.Percent) uint32 { return uint32(math.Round(p.Fraction() * math.MaxUint32)) }

// Percent is the percentage that a share of 2³²-1 stands for.
func Percent(share uint32) float64 { return float64(share) / math.MaxUint32 * 100 }

// Longest is the longest delay to reckon with: four deviations of jitter hold
// nearly every packet of every distribution.
func (p *Params) Longest() time.Duration { return time.Duration(p.Latency + 4*p.Jitter) }
