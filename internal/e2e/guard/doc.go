// Package guard tests who may do what at a relay, and what it withstands, with
// the field's own programs where they can say it.
package guard
