// Package checkup is the bench for users: it measures the way to a relay, with
// and without the funnel, and says in words what the bottleneck is.
//
// The agent plays server and player. An echo on loopback is the target of two
// ordinary forwards, TCP and UDP, and the player connects to their public ports
// from the same machine: so what is sent through the funnel goes to the relay and
// back twice. The baselines are the relay's own test ports, see
// sshwire.RequestTestPorts. All ways are measured at once, so that they meet the
// same line: first with nothing else going on, then beside a transfer that fills
// it.
//
// [Run] measures, Result.WriteText and Result.WriteHTML show, [Judge] judges.
package checkup
