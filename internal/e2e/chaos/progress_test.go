//go:build linux

package chaos

import (
	"fmt"
	"sync"
	"time"
)

// progress is how far the answers to a player or a stream have come: numbers
// are sent, and answered.
type progress struct {
	name  string
	world *world

	mu       sync.Mutex
	sent     uint64 // guarded by mu: the number to be sent next
	answered uint64 // guarded by mu: all before it are answered or behind it
	last     time.Time
	longest  time.Duration // guarded by mu: between two answers
	unfair   time.Duration // guarded by mu: the longest wait for an answer while nothing was wrong
	waiting  []*waiter     // guarded by mu
	err      error         // guarded by mu: no more answers will come
}

// noteworthy is a pause longer than what is promised of any one fault that
// itself lasts no longer.
const noteworthy = 4 * time.Second

// waiter waits for an answer.
type waiter struct {
	number uint64
	done   chan struct{}
	at     time.Time // when it came; valid once done is closed
	err    error     // why it doesn't; likewise
}

// send takes the next n numbers.
func (p *progress) send(n uint64) (first uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = p.sent
	p.sent += n
	return first
}

// answer notes that all numbers below next need not be waited for.
func (p *progress) answer(next uint64) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() {
		pause := now.Sub(p.last)
		p.longest = max(p.longest, pause)
		if well, since := p.world.faulty.well(); well {
			p.unfair = max(p.unfair, min(pause, now.Sub(since)))
		}
		if pause >= noteworthy {
			p.world.note(fmt.Sprintf("%s: nothing came for %s", p.name, seconds(pause)))
		}
	}
	p.last = now
	if next <= p.answered {
		return
	}
	p.answered = next
	p.release(now)
}

// fail ends the waiting: no more will be answered.
func (p *progress) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.release(time.Time{})
}

func (p *progress) release(now time.Time) {
	rest := p.waiting[:0]
	for _, w := range p.waiting {
		if w.number >= p.answered && p.err == nil {
			rest = append(rest, w)
			continue
		}
		w.at, w.err = now, p.err
		close(w.done)
	}
	p.waiting = rest
}

// next returns one that waits for the answer to what is sent from now on.
func (p *progress) next() *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &waiter{number: p.sent, done: make(chan struct{})}
	if p.err != nil {
		w.err = p.err
		close(w.done)
		return w
	}
	p.waiting = append(p.waiting, w)
	return w
}

// wait returns when the answer came.
func (p *progress) wait(w *waiter) (time.Time, error) {
	select {
	case <-w.done:
		if w.err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", p.name, w.err)
		}
		return w.at, nil
	case <-time.After(patience):
		return time.Time{}, fmt.Errorf("%s: no answer within %v", p.name, patience)
	}
}
