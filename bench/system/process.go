package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// stopTime is how long a program may take to end by itself before it is killed.
const stopTime = 5 * time.Second

// readyTime is how long a program may take to say that it is up.
const readyTime = 20 * time.Second

// Process is a program that was started. What it prints goes to a log.
type Process struct {
	name    string
	command *exec.Cmd
	log     *os.File
	cancel  context.CancelFunc
	exited  chan struct{}

	mu     sync.Mutex
	text   strings.Builder // the start of what it printed
	more   chan struct{}   // closed and renewed when it prints
	status error           // valid when exited is closed
}

// most is how much of what a program prints is kept to be searched.
const most = 64 << 10

// start runs the program in the host. Its log is named after it.
func start(place *Place, host Host, name, program string, args ...string) (*Process, error) {
	if err := os.MkdirAll(place.Logs, 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(place.Logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	// It is stopped by Stop, which asks first: the context only kills.
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{name: name, log: log, cancel: cancel, exited: make(chan struct{}), more: make(chan struct{})}
	p.command = host.Command(ctx, program, args...)
	p.command.Stdout, p.command.Stderr = p, p
	p.command.WaitDelay = time.Second // a grandchild may hold the pipe
	ownGroup(p.command)
	fmt.Fprintf(log, "$ %s %s\n", program, strings.Join(args, " "))
	if err := p.command.Start(); err != nil {
		cancel()
		log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		err := p.command.Wait()
		p.mu.Lock()
		p.status = err
		p.mu.Unlock()
		close(p.exited)
	}()
	return p, nil
}

// Write takes what the program prints.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text.Len() < most {
		p.text.Write(b)
		close(p.more)
		p.more = make(chan struct{})
	}
	return p.log.Write(b)
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.command.Process.Pid }

// Exited is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// waitFor waits until the program has printed what matches, and returns the
// match and its groups.
func (p *Process) waitFor(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("it wasn't up after %s", readyTime))
	defer cancel()
	for {
		p.mu.Lock()
		match, more := pattern.FindStringSubmatch(p.text.String()), p.more
		p.mu.Unlock()
		if match != nil {
			return match, nil
		}
		select {
		case <-more:
		case <-p.exited:
			return nil, p.explain(errors.New("it ended"))
		case <-ctx.Done():
			return nil, p.explain(context.Cause(ctx))
		}
	}
}

// explain is the error with what the program said last.
func (p *Process) explain(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.TrimSpace(p.text.String())
	if len(text) > 1000 {
		text = "…" + text[len(text)-1000:]
	}
	return fmt.Errorf("%s: %w; it said: %s", p.name, err, text)
}

// Stop ends the program and all it started, and returns when it is gone. Nil
// and a program that has ended are fine.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	terminate(p.command)
	select {
	case <-p.exited:
	case <-time.After(stopTime):
		fmt.Fprintf(p.log, "(killed: it didn't end within %s)\n", stopTime)
	}
	kill(p.command) // also what it left behind
	p.cancel()
	<-p.exited
	_ = p.log.Close()
}

var _ io.Writer = (*Process)(nil)
