package model

import "math/rand/v2"

// Model is the state of a network that Params describe. The same seed and the same
// packets have the same fate. Its methods allocate nothing; it is for one goroutine
// at a time.
type Model struct {
	p     Params
	table []int16
	rng   rand.PCG

	delayCorr, lossCorr, reorderCorr correlated

	bad   bool   // the state of Gilbert-Elliott
	state int    // the state, 1 to 4, of the four-state chain
	count uint32 // delayed packets since one overtook
	last  int64  // when the last delayed packet is due
}

// Fate is what happens to one packet.
type Fate struct {
	// Copies is how many of Copy are sent: 0 for a packet that is lost, 2 for one
	// that is duplicated.
	Copies int
	Copy   [2]Copy
}

// Copy is one packet to send.
type Copy struct {
	// Due is when it is sent, on the clock of Next's argument; never before that.
	Due int64
	// Overtakes says that it leaves at once, ahead of the delayed ones.
	Overtakes bool
	// Corrupt says that one bit is turned over, and Bit is a random number to choose
	// it with.
	Corrupt bool
	Bit     uint32
}

// New returns a model in its initial state.
func New(p Params, seed uint64) *Model {
	m := &Model{p: p, table: Table(p.Distribution), state: 1}
	// The second word keeps the streams of small seeds apart (2⁶⁴ over the golden
	// ratio, as in SplitMix64).
	m.rng.Seed(seed, seed^0x9e3779b97f4a7c15)
	// As init_crandom() does: the first number depends on a random one too.
	m.delayCorr = correlated{p.DelayCorr, m.random()}
	m.lossCorr = correlated{p.LossCorr, m.random()}
	m.reorderCorr = correlated{p.ReorderCorr, m.random()}
	return m
}

// random is a number of 32 independent bits.
func (m *Model) random() uint32 { return uint32(m.rng.Uint64() >> 32) }

// correlated is get_crandom() of sch_netem.c: a moving average
//
//	xᵢ = ((1-ρ)·uᵢ + ρ·xᵢ₋₁), ρ = (rho+1)/2³²
//
// of uniform numbers u. Its mean stays that of u; its variance is (1-ρ)/(1+ρ) of
// that of u, so that a correlation makes rare events rarer: netem's known flaw,
// kept because it is what "correlation" means to those who write it.
type correlated struct{ rho, last uint32 }

func (m *Model) correlate(c *correlated) uint32 {
	value := uint64(m.random())
	if c.rho == 0 {
		return uint32(value)
	}
	rho := uint64(c.rho) + 1
	// value·(2³²-ρ) + last·ρ is below 2³²·2³² because both numbers are below 2³².
	c.last = uint32((value*(1<<32-rho) + uint64(c.last)*rho) >> 32)
	return c.last
}

// Next decides the fate of a packet of size bytes on the wire that came at the time
// now, in nanoseconds on a clock that does not run backwards.
//
// The order of the decisions is that of netem_enqueue(): duplicate, lose, corrupt,
// then delay or overtake. A duplicate goes through all of it by itself, without
// being duplicated once more, and before the packet that it was made of. A packet
// can be duplicated and lost, which leaves one of it.
func (m *Model) Next(now int64, size int) Fate {
	var f Fate
	copies := 1
	if m.p.Duplicate > 0 && m.p.Duplicate >= m.random() {
		copies++
	}
	if m.loses() {
		copies--
	}
	if copies == 0 {
		return f
	}
	corrupt, bit := m.corrupts()
	if copies == 2 && !m.loses() {
		c, b := m.corrupts()
		f.add(m.hold(now, size), c, b)
	}
	f.add(m.hold(now, size), corrupt, bit)
	return f
}

func (f *Fate) add(c Copy, corrupt bool, bit uint32) {
	c.Corrupt, c.Bit = corrupt, bit
	f.Copy[f.Copies] = c
	f.Copies++
}

// corrupts decides whether a bit is turned over.
func (m *Model) corrupts() (bool, uint32) {
	if m.p.Corrupt == 0 || m.p.Corrupt < m.random() {
		return false, 0
	}
	return true, m.random()
}

// loses is loss_event() of sch_netem.c.
func (m *Model) loses() bool {
	switch {
	case m.p.LossGE != nil:
		return m.gilbertElliott(m.p.LossGE)
	case m.p.LossState != nil:
		return m.fourState(m.p.LossState)
	}
	return m.p.Loss > 0 && m.p.Loss >= m.correlate(&m.lossCorr)
}

// gilbertElliott is loss_gilb_ell() of sch_netem.c. A packet may change the state,
// and is judged by the state that it found. With π = p/(p+r) for the share of the
// bad state, the loss is π·(1-h) + (1-π)·k1, and a burst of bad packets is 1/r
// packets long in the mean.
func (m *Model) gilbertElliott(g *GilbertElliott) bool {
	if m.bad {
		if m.random() < g.R {
			m.bad = false
		}
		return m.random() > g.H
	}
	if m.random() < g.P {
		m.bad = true
	}
	return m.random() < g.K1
}

// fourState is loss_4state() of sch_netem.c, but for the random number that
// equals a threshold: there it changes nothing, here it belongs to the interval
// above.
func (m *Model) fourState(s *FourState) bool {
	r := uint64(m.random())
	p13, p31, p32, p14, p23 := uint64(s.P13), uint64(s.P31), uint64(s.P32), uint64(s.P14), uint64(s.P23)
	switch m.state {
	case 1: // received in a gap
		switch {
		case r < p14:
			m.state = 4
			return true
		case r < p14+p13:
			m.state = 3
			return true
		}
	case 2: // received within a burst
		if r < p23 {
			m.state = 3
			return true
		}
	case 3: // lost within a burst
		switch {
		case r < p32:
			m.state = 2
		case r < p32+p31:
			m.state = 1
		default:
			return true
		}
	case 4: // a single loss in a gap
		m.state = 1
	}
	return false
}

// hold decides when a packet leaves: the end of netem_enqueue().
func (m *Model) hold(now int64, size int) Copy {
	if m.p.Gap > 0 && m.count >= m.p.Gap-1 && m.p.Reorder >= m.correlate(&m.reorderCorr) {
		m.count = 0
		return Copy{Due: now, Overtakes: true}
	}
	m.count++
	delay, from := m.delay(), now
	if m.p.Rate > 0 {
		// The packet is sent once the line is free. The time that it waits for that
		// counts as delay.
		if m.last > now {
			from = m.last
			delay = max(0, delay-(m.last-now))
		}
		delay += transmission(size, m.p.Rate)
	}
	due := max(now, from+delay)
	m.last = max(m.last, due)
	return Copy{Due: due}
}

// transmission is the time in nanoseconds that size bytes take at a rate:
// packet_time_ns() of sch_netem.c.
func transmission(size int, rate uint64) int64 {
	const second = 1_000_000_000
	return int64(uint64(size) * second / rate)
}

// delay is tabledist() of sch_netem.c.
func (m *Model) delay() int64 {
	mean, jitter := m.p.Latency, m.p.Jitter
	if jitter == 0 {
		return mean
	}
	r := m.correlate(&m.delayCorr)
	if m.table == nil {
		return int64(uint64(r)%uint64(2*jitter)) + mean - jitter
	}
	// In two parts, so that the product of the kernel's 32-bit numbers fits; half of
	// the scale rounds it.
	t := int64(m.table[int(r)%len(m.table)])
	x := jitter % Scale * t
	if x >= 0 {
		x += Scale / 2
	} else {
		x -= Scale / 2
	}
	return x/Scale + jitter/Scale*t + mean
}
