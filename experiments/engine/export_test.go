package engine

import "time"

// SetRollbackLimit makes a rollback give up sooner than a person would want.
func (r *Run) SetRollbackLimit(limit time.Duration) { r.rollbackLimit = limit }
