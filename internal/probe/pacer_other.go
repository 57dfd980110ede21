//go:build !linux

package probe

import (
	"runtime"
	"time"
)

func lockThread() { runtime.LockOSThread() }

func sleep(d time.Duration) { time.Sleep(d) }
