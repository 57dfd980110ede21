package system

import "time"

// Usage is what a program and all that it started have used.
type Usage struct {
	CPU    time.Duration `json:"cpu_ns"` // user and system, since it started
	Memory int64         `json:"memory"` // bytes resident, now
	Known  bool          `json:"known"`  // false where the system doesn't tell
}

// Usage says what the process has used. Nil has used nothing.
func (p *Process) Usage() Usage {
	if p == nil {
		return Usage{}
	}
	return usage(p.Pid())
}
