package sli

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// TCP is an SLI that opens a connection and closes it at once. Its latency is that
// of the handshake, with the look-up of the host's name.
type TCP struct {
	Address string            `yaml:"address" required:"true" doc:"Host and port." example:"127.0.0.1:5432"`
	Limit   quantity.Duration `yaml:"timeout" doc:"The longest that one attempt may take, at most the sampling interval. The interval, but at most 5s, where this is left out." example:"500ms"`
}

// Unit is Latency.
func (t *TCP) Unit() Unit { return Latency }

// Timeout is the longest that one attempt may take, 0 where left out.
func (t *TCP) Timeout() time.Duration { return t.Limit.D() }

// Endpoint returns where the connections go.
func (t *TCP) Endpoint() (host string, port int) {
	host, port, _ = splitAddress(t.Address) // Check refused what can't be split
	return host, port
}

// Check reports what is wrong with the definition.
func (t *TCP) Check(at strict.Value) strict.Problems {
	problems := checkTimeout(t.Limit, at)
	if _, _, err := splitAddress(t.Address); err != nil {
		problems = append(problems, at.Field("address").Problemf("address: %v", err).WithHint("write `address: 127.0.0.1:5432`"))
	}
	return problems
}

// Open returns the sampler.
func (t *TCP) Open(Env) (Sampler, error) { return tcpSampler(t.Address), nil }

type tcpSampler string

func (s tcpSampler) Sample(ctx context.Context) Sample {
	start := time.Now()
	dialer := net.Dialer{KeepAlive: -1}
	connection, err := dialer.DialContext(ctx, "tcp", string(s))
	took := time.Since(start)
	switch {
	case err != nil && (ctx.Err() != nil || isTimeout(err)):
		return timedOut(ctx, start)
	case err != nil:
		if operation, ok := errors.AsType[*net.OpError](err); ok {
			err = operation.Err
		}
		return failed("cannot connect: %v", err)
	}
	_ = connection.Close() // the handshake is what was measured
	return Sample{Value: took.Seconds(), HasValue: true, OK: true}
}
