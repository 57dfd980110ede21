//go:build !linux

package netwatch

import "time"

func newSleepClock() sleepClock { return newTickClock(time.Now) }
