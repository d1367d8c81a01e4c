package engine

import (
	"context"
	"time"
)

// Deadman is the process that reverts a run's journal when squall is gone or late.
type Deadman interface {
	// Extend moves the instant at which it acts to a deadline from now.
	Extend(deadline time.Duration) error
	// Release tells it that all is put back, and waits for its end.
	Release() error
	// Died is closed when it is gone without having been released.
	Died() <-chan struct{}
}

// StartDeadman starts a Deadman over a journal and returns once it watches. It acts
// at the latest when deadline has passed.
type StartDeadman func(ctx context.Context, journal string, deadline time.Duration) (Deadman, error)

// A run renews its deadman's lease all the time. A squall that hangs or is stopped
// can't, and the deadman acts when the lease is over; whatever happens, it acts when
// the run's hard deadline is.
const (
	lease = 15 * time.Second
	pulse = 3 * time.Second
)

// keepAlive renews a deadman's lease until ctx ends or the hard deadline is near. A
// renewal that fails means that the deadman is gone, which its Died says.
func keepAlive(ctx context.Context, deadman Deadman, hard time.Duration) {
	end := time.Now().Add(hard)
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		left := time.Until(end)
		if left <= 0 || deadman.Extend(min(lease, left)) != nil {
			return
		}
	}
}
