// Package limit holds what bounds strangers: sources, which are what belongs to
// one stranger, token buckets for any number of them in a fixed memory, and
// counters with an end.
package limit
