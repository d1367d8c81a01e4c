package network

import (
	"math"
	"strings"
	"time"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// maxJitter is what the kernel can take: tabledist() in net/sched/sch_netem.c
// computes with a signed 32-bit number of nanoseconds.
const maxJitter = quantity.Duration(math.MaxInt32 * time.Nanosecond)

// maxLimit bounds the kernel memory that a typing error can ask for.
const maxLimit = 10_000_000

// maxInterfaceName is IFNAMSIZ-1 of linux/if.h.
const maxInterfaceName = 15

// Check refuses what makes no sense, each with its remedy.
func (s *Spec) Check(at strict.Value) strict.Problems {
	var c checks
	if len(s.shaping()) == 0 && len(s.lossModels()) == 0 && s.Partition == "" {
		c.add(at.Problemf("this network fault does nothing"), "ask for an effect, like delay: 200ms, loss: 1%% or partition: drop")
	}
	c.delay(s, at)
	c.loss(s, at)
	c.rest(s, at)
	return c.problems
}

type checks struct{ problems strict.Problems }

func (c *checks) add(p *strict.Problem, hint string, args ...any) {
	c.problems = append(c.problems, p.WithHint(hint, args...))
}

func (c *checks) delay(s *Spec, at strict.Value) {
	if s.Jitter > 0 && s.Delay == 0 {
		c.add(at.Field("jitter").Problemf("jitter without a delay"), "add delay: %s or more; jitter varies the delay", s.Jitter)
	} else if s.Jitter > s.Delay {
		c.add(at.Field("jitter").Problemf("the jitter %s is more than the delay %s", s.Jitter, s.Delay),
			"no packet can leave before it was sent: make jitter at most %s", s.Delay)
	}
	if s.Jitter > maxJitter {
		c.add(at.Field("jitter").Problemf("the jitter %s is more than the kernel takes", s.Jitter), "make it at most %s", maxJitter)
	}
	if s.Jitter == 0 {
		if s.Distribution != "" {
			c.add(at.Field("distribution").Problemf("a distribution without jitter"), "add jitter, or leave distribution out")
		}
		if s.Correlation > 0 {
			c.add(at.Field("correlation").Problemf("a correlation of delays without jitter"), "add jitter, or leave correlation out; the correlation of losses is lossCorrelation")
		}
	}
	if s.Reorder != nil {
		at := at.Field("reorder")
		if s.Delay == 0 {
			c.add(at.Problemf("reorder without a delay"), "add a delay: reordered packets overtake those that are delayed")
		}
		if s.Reorder.Percent <= 0 {
			c.add(at.Field("percent").Problemf("reorder needs a share above zero"), "write percent: 25, or leave reorder out")
		}
		if s.Reorder.Gap == 0 {
			c.add(at.Field("gap").Problemf("a gap of zero"), "write gap: 1 to let each packet be a candidate")
		}
	}
}

func (c *checks) loss(s *Spec, at strict.Value) {
	models := s.lossModels()
	if len(models) > 1 {
		c.add(at.Field(models[1]).Problemf("two models of loss: %s", strings.Join(models, ", ")), "keep one of them")
	}
	if s.LossCorrelation > 0 && s.Loss == 0 {
		c.add(at.Field("lossCorrelation").Problemf("lossCorrelation without loss"), "add loss, or leave lossCorrelation out")
	}
	if g := s.GilbertElliott; g != nil {
		at := at.Field("gilbertElliott")
		if g.ToBad == 0 && g.GoodLoss == 0 {
			c.add(at.Field("toBad").Problemf("this model never loses a packet"), "make toBad more than 0%%")
		} else if g.BadLoss == 0 && g.GoodLoss == 0 {
			c.add(at.Field("badLoss").Problemf("this model never loses a packet"), "make badLoss more than 0%%")
		}
		if g.ToBad > 0 && g.ToGood == 0 {
			c.add(at.Field("toGood").Problemf("the bad state never ends"), "make toGood more than 0%%: the mean burst is 1/toGood packets long")
		}
	}
	if f := s.FourState; f != nil {
		at := at.Field("fourState")
		for _, sum := range []struct {
			key  string
			a, b quantity.Percent
		}{{"p14", f.P13, f.P14}, {"p32", f.P31, f.P32}} {
			if sum.a+sum.b > 100 {
				c.add(at.Field(sum.key).Problemf("the chances to leave one state add up to %s", sum.a+sum.b),
					"p13 + p14 and p31 + p32 are 100%% at most")
			}
		}
		if f.P13 == 0 && f.P14 == 0 {
			c.add(at.Field("p13").Problemf("this model never loses a packet"), "make p13 or p14 more than 0%%")
		}
		if f.P13 > 0 && f.P31 == 0 {
			c.add(at.Field("p31").Problemf("a burst never ends"), "make p31 more than 0%%")
		}
		if f.P32 > 0 && f.P23 == 0 {
			c.add(at.Field("p23").Problemf("packets that get through within a burst never stop to"), "make p23 more than 0%%, or p32 0%%")
		}
	}
}

func (c *checks) rest(s *Spec, at strict.Value) {
	others := append(s.shaping(), s.lossModels()...)
	if s.Partition != "" && len(others) > 0 {
		c.add(at.Field("partition").Problemf("a partition together with %s", strings.Join(others, ", ")),
			"nothing gets through a partition: leave the rest out, or make it a fault of its own at another time")
	}
	if s.Rate > 0 && s.Rate < 8 {
		c.add(at.Field("rate").Problemf("the rate %s is less than one byte a second", s.Rate), "make it 8bit or more; partition: drop lets nothing through")
	}
	if s.Limit > maxLimit {
		c.add(at.Field("limit").Problemf("the limit %d is more than %d packets", s.Limit, maxLimit), "leave it out: it is sized from delay and rate")
	}
	if s.Limit > 0 && len(s.shaping()) == 0 {
		c.add(at.Field("limit").Problemf("a limit on the packets held back, and nothing holds them back"), "leave it out; it belongs to delay and rate")
	}
	if name := s.Interface; name == "lo" {
		c.add(at.Field("interface").Problemf("a network fault does not touch loopback"), "name another interface, or leave it out for all others")
	} else if name != "" && !interfaceName(name) {
		c.add(at.Field("interface").Problemf("%q can't be the name of an interface", name), "interfaces have up to %d characters, without spaces, colons and slashes", maxInterfaceName)
	}
	if (s.Backend == netemName || s.Backend == shaperName) && s.Direction != "" && s.Direction != egress {
		c.add(at.Field("direction").Problemf("the %s backend touches egress only", s.Backend), "write direction: egress, or backend: auto")
	}
	if s.Backend == bpfName {
		if why := bpfCannot(s); why != "" {
			c.add(at.Field("backend").Problemf("the bpf backend has no %s", why), "write backend: auto")
		}
	}
}

// interfaceName follows dev_valid_name() of the kernel, whose spaces are those of
// Latin-1.
func interfaceName(name string) bool {
	for _, b := range []byte(name) {
		if b == '/' || b == ':' || b == 0 || b == 0xa0 || b == ' ' || b >= '\t' && b <= '\r' {
			return false
		}
	}
	return len(name) <= maxInterfaceName && name != "." && name != ".."
}

// bpfCannot returns the keys that the bpf backend does not do, or nothing.
func bpfCannot(s *Spec) string {
	keys := s.shaping()
	if s.FourState != nil {
		keys = append(keys, "fourState")
	}
	if s.LossCorrelation > 0 {
		keys = append(keys, "lossCorrelation")
	}
	return strings.Join(keys, ", ")
}
