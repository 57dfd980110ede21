package keep

import (
	"context"
	"slices"
	"sync"
	"time"
)

// hedge is one dial, and further ones beside it if it takes long or is kicked after
// it has reached the other end: the path may have died under it. The first line
// counts.
func (k *keeper[L]) hedge(ctx context.Context, kicked <-chan struct{}) (L, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &hedge[L]{keeper: k, ctx: ctx, reached: make(chan *attempt, maxHedge), results: make(chan result[L])}
	h.begin()
	var late <-chan time.Time // when the dial that reached the other end last has taken long
	var first result[L]
	for {
		select {
		case a := <-h.reached:
			a.reached = time.Now()
			late = time.After(hedgeAfter)
			continue
		case <-kicked:
			kicked = k.Kick()
			h.another(hedgeAfter)
			continue
		case <-late:
			late = time.After(hedgeAfter)
			h.another(stuckAfter)
			continue
		case first = <-h.results:
			h.running = slices.DeleteFunc(h.running, func(a *attempt) bool { return a == first.of })
		}
		if first.err == nil || k.Permanent(first.err) {
			break
		}
		if first.of == h.givenUp {
			h.givenUp = nil
			h.begin()
		} else if len(h.running) == 0 {
			break
		}
	}
	cancel()
	for range h.running {
		if other := <-h.results; other.err == nil {
			_ = other.line.Close()
		}
	}
	return first.line, first.err
}

// hedge is the dials that go on beside each other.
type hedge[L Line] struct {
	keeper  *keeper[L]
	ctx     context.Context // ends them all
	running []*attempt      // the oldest first
	givenUp *attempt        // of them, to make room for another; nil if there is room
	reached chan *attempt   // each once, if at all
	results chan result[L]  // each once
}

// attempt is one of them.
type attempt struct {
	giveUp  context.CancelFunc
	reached time.Time // when it had reached the other end; zero before
}

// result is what has become of an attempt.
type result[L Line] struct {
	dialled[L]
	of *attempt
}

func (h *hedge[L]) begin() {
	ctx, giveUp := context.WithCancel(h.ctx)
	a := &attempt{giveUp: giveUp}
	h.running = append(h.running, a)
	reached := sync.OnceFunc(func() {
		select {
		case h.reached <- a:
		case <-ctx.Done():
		}
	})
	go func() {
		defer giveUp()
		line, err := h.keeper.Dial(ctx, reached)
		h.results <- result[L]{dialled[L]{line, err}, a}
	}()
}

// another begins one more, if any has reached the other end. When there are as many
// as may be, and none has come further for stuck, the second oldest makes room: the
// oldest has all the time that a dial may take, for an end that is slow, and those
// that came behind it may all have lost their path.
func (h *hedge[L]) another(stuck time.Duration) {
	there := slices.ContainsFunc(h.running, func(a *attempt) bool { return !a.reached.IsZero() })
	newest := h.running[len(h.running)-1]
	switch {
	case !there || h.givenUp != nil || !h.keeper.Hedge():
	case len(h.running) < maxHedge:
		h.begin()
	case !newest.reached.IsZero() && time.Since(newest.reached) >= stuck:
		h.givenUp = h.running[1]
		h.givenUp.giveUp()
	}
}
