//go:build !linux

package probe

import (
	"runtime"
	"time"
)

func lockThread() { runtime.LockOSThread() }

func unlockThread() { runtime.UnlockOSThread() }

func sleep(d time.Duration) { time.Sleep(d) }
