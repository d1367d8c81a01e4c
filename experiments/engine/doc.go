// Package engine plans and runs experiments: documents become a plan, and a plan
// becomes a result.
//
// # One way back
//
// A run can end because its time is up, a guard fires, a signal arrives, a
// deadline passes, an apply fails or the code panics. All of them lead to the same
// rollback: every step whose intent is in the journal is reverted, in reverse
// order, and verified gone.
//
// # What happens before an effect
//
// The deadman is started, the step's undo record is journaled and synced, and only
// then is the effect made, from that record alone.
package engine
