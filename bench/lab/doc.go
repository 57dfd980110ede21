// Package lab runs the scenarios: it builds the path, starts what is compared,
// lets each have its turn in every round, and keeps what was seen.
package lab
