package network

import "github.com/squallhq/squall/internal/quantity"

// Spec is a network fault as a document writes it. Its effects are composed: a
// packet is lost, duplicated, corrupted, delayed and reordered by one and the same
// emulation.
type Spec struct {
	Delay        quantity.Duration `yaml:"delay" doc:"How much later every packet leaves." example:"200ms"`
	Jitter       quantity.Duration `yaml:"jitter" doc:"How far the delay varies: to both sides with the uniform distribution, the standard deviation with the others. Jitter can reorder packets." example:"20ms"`
	Correlation  quantity.Percent  `yaml:"correlation" doc:"How much a packet's delay depends on that of the packet before." example:"25%"`
	Distribution string            `yaml:"distribution" enum:"uniform|normal|pareto|paretonormal" doc:"How the jitter is distributed; uniform where this is left out." example:"normal"`

	Loss            quantity.Percent `yaml:"loss" doc:"The share of packets that get lost, each on its own." example:"0.5%"`
	LossCorrelation quantity.Percent `yaml:"lossCorrelation" doc:"How much a loss depends on the packet before. It makes fewer losses than asked for; gilbertElliott is the better way to get bursts." example:"25%"`
	GilbertElliott  *GilbertElliott  `yaml:"gilbertElliott" doc:"Loss in bursts: a good and a bad state (tc-netem's gemodel)."`
	FourState       *FourState       `yaml:"fourState" doc:"Loss in bursts and gaps: tc-netem's state model of four states."`

	Duplicate quantity.Percent `yaml:"duplicate" doc:"The share of packets that are sent twice." example:"1%"`
	Corrupt   quantity.Percent `yaml:"corrupt" doc:"The share of packets in which one random bit is turned over." example:"0.1%"`
	Reorder   *Reorder         `yaml:"reorder" doc:"Packets that overtake the delayed ones; needs a delay."`
	Rate      quantity.Rate    `yaml:"rate" doc:"The most that gets through, in bits per second." example:"10mbit"`
	Limit     uint32           `yaml:"limit" doc:"The most packets that the emulation holds back at a time; it drops what is more. Where left out it is sized from delay and rate." example:"10000"`

	Partition string `yaml:"partition" enum:"drop" doc:"Cuts the target off: drop makes every packet vanish. It stands alone." example:"drop"`

	Direction string `yaml:"direction" enum:"egress|ingress|both" doc:"Which packets, as the target sees them: those that it sends (egress, the default), those that it receives (ingress), or both (the default of a partition)."`
	Backend   string `yaml:"backend" enum:"auto|netem|shaper|bpf" default:"auto" doc:"The means: netem, bpf, squall's own shaper in user space, or what this host offers (auto)."`
	Interface string `yaml:"interface" doc:"The one interface to touch; all that are up, except loopback, where this is left out." example:"eth0"`
}

// GilbertElliott is a Markov chain of two states that packets drive. Its bursts of
// bad packets are 1/toGood packets long in the mean, and the bad state holds the
// share toBad/(toBad+toGood) of all packets.
type GilbertElliott struct {
	ToBad    quantity.Percent `yaml:"toBad" required:"true" doc:"The chance that a packet turns the good state bad (tc-netem's p)." example:"1%"`
	ToGood   quantity.Percent `yaml:"toGood" required:"true" doc:"The chance that a packet turns the bad state good (tc-netem's r); the mean burst is 1/toGood packets long." example:"20%"`
	BadLoss  quantity.Percent `yaml:"badLoss" default:"100%" doc:"The share that is lost in the bad state (tc-netem's 1-h)."`
	GoodLoss quantity.Percent `yaml:"goodLoss" default:"0%" doc:"The share that is lost in the good state (tc-netem's 1-k)."`
}

// FourState is the loss model of Salsano, Ludovici and Ordine ("Definition of a
// general and intuitive loss model for packet networks", 2009), with tc-netem's
// names: state 1 receives in a gap, 2 receives within a burst, 3 loses within a
// burst, 4 loses a single packet in a gap.
type FourState struct {
	P13 quantity.Percent `yaml:"p13" required:"true" doc:"The chance that a burst begins." example:"1%"`
	P31 quantity.Percent `yaml:"p31" required:"true" doc:"The chance that a burst ends after a lost packet." example:"30%"`
	P32 quantity.Percent `yaml:"p32" default:"0%" doc:"The chance that packets begin to get through within a burst."`
	P23 quantity.Percent `yaml:"p23" default:"100%" doc:"The chance that they get lost again."`
	P14 quantity.Percent `yaml:"p14" default:"0%" doc:"The chance that a single packet is lost outside of bursts."`
}

// Reorder lets packets overtake.
type Reorder struct {
	Percent     quantity.Share   `yaml:"percent" required:"true" doc:"The share of candidates that leave at once instead of after the delay." example:"25"`
	Gap         uint32           `yaml:"gap" default:"1" doc:"Every how-many-th packet is a candidate; 1 makes it each." example:"5"`
	Correlation quantity.Percent `yaml:"correlation" doc:"How much it depends on the packet before." example:"50%"`
}

// The values of Spec's fields that have names.
const (
	uniform = "uniform" // the names of the others are the model's

	egress, ingress, both = "egress", "ingress", "both"

	auto, netemName, bpfName, shaperName = "auto", "netem", "bpf", "shaper"

	partitionDrop = "drop"
)

// shaping returns the keys of the effects, other than loss, that were asked for.
func (s *Spec) shaping() []string {
	var keys []string
	for _, effect := range []struct {
		key   string
		asked bool
	}{
		{"delay", s.Delay > 0}, {"duplicate", s.Duplicate > 0}, {"corrupt", s.Corrupt > 0},
		{"reorder", s.Reorder != nil}, {"rate", s.Rate > 0},
	} {
		if effect.asked {
			keys = append(keys, effect.key)
		}
	}
	return keys
}

// lossModels returns the keys of the loss models that were asked for.
func (s *Spec) lossModels() []string {
	var keys []string
	if s.Loss > 0 {
		keys = append(keys, "loss")
	}
	if s.GilbertElliott != nil {
		keys = append(keys, "gilbertElliott")
	}
	if s.FourState != nil {
		keys = append(keys, "fourState")
	}
	return keys
}

// direction returns the direction that the fault means.
func (s *Spec) direction() string {
	switch {
	case s.Direction != "":
		return s.Direction
	case s.Partition != "":
		return both
	}
	return egress
}
