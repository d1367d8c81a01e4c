package sli

import (
	"testing"

	"go.uber.org/goleak"
)

// No sampler and no poller may leave a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
