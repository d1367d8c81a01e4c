// Package safety is the parent of what keeps an experiment from doing harm: the
// measurements that it watches (sli), the rules over them that stop it (guard), the
// undo log that outlives it (journal) and the process that reverts when nobody else
// can (deadman). It holds no code of its own.
package safety
