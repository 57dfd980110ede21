//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"funnel/internal/steady"
)

// measureTime is how long a measurement is made again on a machine that is busy:
// where everything must be tested, until the other packages' tests are over.
func measureTime() time.Duration {
	if os.Getenv("FUNNEL_REQUIRE_ALL") == "1" {
		return 10 * time.Minute
	}
	return time.Minute
}

// measure runs f, which asserts what it measured, until it has nothing to object
// to. It has failed when it had while the machine kept up, three times; on a
// machine that never does, nothing is proved either way.
func measure(t *testing.T, f func(t testing.TB)) {
	t.Helper()
	err := steady.Measure(3, measureTime(), t.Log, func() string { return try(t, f) })
	if errors.Is(err, steady.ErrBusy) {
		lack(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// attempt is a test that may fail without an end of the real one, whose cleanups
// and logs are its own.
type attempt struct {
	testing.TB
	wrong []string
}

func (a *attempt) Errorf(format string, args ...any) {
	a.wrong = append(a.wrong, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// FailNow ends the attempt, in its own goroutine.
func (a *attempt) FailNow() { panic(a) }

// try runs f as an attempt and returns what it objected to.
func try(t *testing.T, f func(t testing.TB)) string {
	a := &attempt{TB: t}
	func() {
		defer func() {
			if end := recover(); end != nil && end != a {
				panic(end)
			}
		}()
		f(a)
	}()
	return strings.Join(a.wrong, "\n")
}
