//go:build !linux

package steady

import "time"

func sleeper() (doze func(d time.Duration), done func()) { return time.Sleep, func() {} }
