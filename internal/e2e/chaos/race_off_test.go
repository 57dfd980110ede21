//go:build linux && !race

package chaos

// raceEnabled tells whether the tests run with the race detector.
const raceEnabled = false
