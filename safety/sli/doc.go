// Package sli measures what users of a service would notice: service level
// indicators.
//
// A [Spec] comes from a document and says what is measured. It opens a [Sampler],
// which takes one [Sample] at a time. [Poll] samples on a clock of its own and fills
// a [Series], which answers questions about windows of the samples: "the p99 of the
// last five seconds", "the ratio of good samples since the phase began".
//
// Missing data is an answer of its own, never a number: a question about a window
// without samples, or about an SLI whose newest sample is too old, returns a
// [*NoDataError].
package sli
