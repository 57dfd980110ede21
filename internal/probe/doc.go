// Package probe measures a path with the traffic of a game: messages of one
// size, sent at times that were fixed beforehand, echoed by the other end.
//
// Latency counts from the time a message was meant to be sent, so that a sender
// that was held up can't hide it (Gil Tene's "coordinated omission"). What is
// measured is kept as raw samples; every figure is a view of them.
//
// The package opens no sockets: it takes connections and listeners, so that the
// caller decides in which network they live.
package probe
