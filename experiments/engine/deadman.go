package engine

import (
	"context"
	"time"
)

// Deadman is the process that reverts a run's journal when squall is gone or late.
type Deadman interface {
	// Release tells it that all is put back, and waits for its end.
	Release() error
	// Died is closed when it is gone without having been released.
	Died() <-chan struct{}
}

// StartDeadman starts a Deadman over a journal and returns once it watches. It acts
// at the latest when deadline has passed.
type StartDeadman func(ctx context.Context, journal string, deadline time.Duration) (Deadman, error)
