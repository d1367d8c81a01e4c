// Package guard compiles and evaluates the rules that admit, stop and judge a run.
//
// A rule is a CEL expression (https://cel.dev) that yields a bool. It reads windows
// over SLIs and does nothing else: no input, no output, a bounded cost. An SLI is a
// variable with methods:
//
//	checkout.p99("5s") > duration("800ms")
//	errors.mean("30s") < 2.0 * errors.baseline().mean()
//	checkout.okRatio("10s") > 0.99 && elapsed > duration("20s")
//
// Missing data is never false: a rule that needs an SLI without data has the outcome
// no data, unless the rest of it decides alone, as CEL's && and || have it. What that
// means for a run is [Watch]'s to say.
//
// It is the only package that imports CEL.
package guard
