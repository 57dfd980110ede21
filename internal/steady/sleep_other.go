//go:build !linux

package steady

import "time"

func sleeper() func(d time.Duration) { return time.Sleep }
