package engine

import "time"

// SetLimits makes a run give up sooner than a person would want.
func (r *Run) SetLimits(apply, rollback time.Duration) {
	r.applyLimit, r.rollbackLimit = apply, rollback
}
