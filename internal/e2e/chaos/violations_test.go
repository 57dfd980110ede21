//go:build linux

package chaos

import (
	"fmt"
	"sync"
	"time"
)

// violations are what the model saw and must not have seen.
type violations struct {
	begun time.Time

	mu    sync.Mutex
	count int      // guarded by mu
	texts []string // guarded by mu: of the first few
}

func (v *violations) add(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count++
	const most = 100
	if len(v.texts) < most {
		v.texts = append(v.texts, fmt.Sprintf("%.3fs: ", time.Since(v.begun).Seconds())+fmt.Sprintf(format, args...))
	}
}

func (v *violations) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.texts
}
