package flow

import "time"

// The order of idleness is kept exact to a grain: a flow in use moves to the
// front of its table once in that time and not with each datagram. The grain
// is a part of the idle time, and at most a second.
const (
	grainParts = 8
	maxGrain   = time.Second
)

// PendingIdle is for how long a pending flow may be idle: Linux forgets a UDP
// mapping that saw one direction alone after 30 s, and two thirds of that are
// still several tries of any game's client.
const PendingIdle = 20 * time.Second

// Table holds the flows of one session by number, bounded in size and ordered
// by when they were last used. F is what its owner keeps of a flow. It isn't
// safe for concurrent use: its owner's lock guards it.
//
// Flows are established or, for owners that don't know yet whether there is
// anybody at the other end, pending. Pending ones give way first, and end
// sooner: so forged sources cost the flows of those who are there nothing.
type Table[F any] struct {
	max         int
	idle        time.Duration
	pendingIdle time.Duration
	grain       time.Duration
	byID        map[uint32]*Entry[F]
	established queue[F]
	pending     queue[F]
}

// Entry is one flow's place in a table.
type Entry[F any] struct {
	ID      uint32
	Value   F
	pending bool
	used    time.Duration
	older   *Entry[F]
	newer   *Entry[F]
}

// NewTable makes a table for at most max flows, at least 1, that expire when
// idle for so long.
func NewTable[F any](max int, idle time.Duration) *Table[F] {
	return &Table[F]{
		max:         max,
		idle:        idle,
		pendingIdle: min(idle, PendingIdle),
		grain:       min(idle/grainParts, maxGrain),
		byID:        make(map[uint32]*Entry[F]),
	}
}

// Len is the number of flows.
func (t *Table[F]) Len() int { return len(t.byID) }

// Get is the entry with this number, or nil.
func (t *Table[F]) Get(id uint32) *Entry[F] { return t.byID[id] }

// Add adds a flow, used now: times are counted from whatever moment the owner
// likes, always the same. No flow of the table may have this number. If the
// table is full a pending flow is removed and returned, for its owner to end,
// or else an established one: the one idle the longest.
func (t *Table[F]) Add(id uint32, value F, now time.Duration) (added, evicted *Entry[F]) {
	return t.add(id, value, now, false)
}

// AddPending adds a flow that is pending until Establish. If the table is full
// of established flows, none of which has been idle for longer than a pending
// one may be, nothing is added: those who are there go first.
func (t *Table[F]) AddPending(id uint32, value F, now time.Duration) (added, evicted *Entry[F]) {
	if len(t.byID) >= t.max && t.pending.oldest == nil && now-t.established.oldest.used <= t.pendingIdle+t.grain {
		return nil, nil
	}
	return t.add(id, value, now, true)
}

// EvictPending removes and returns the pending flow that was idle the longest, for
// its owner to end; nil if none is pending.
func (t *Table[F]) EvictPending() *Entry[F] {
	e := t.pending.oldest
	if e != nil {
		t.Remove(e)
	}
	return e
}

// Pending is the number of pending flows.
func (t *Table[F]) Pending() int { return t.pending.length }

func (t *Table[F]) add(id uint32, value F, now time.Duration, pending bool) (added, evicted *Entry[F]) {
	if len(t.byID) >= t.max {
		evicted = t.pending.oldest
		if evicted == nil {
			evicted = t.established.oldest
		}
		t.Remove(evicted)
	}
	added = &Entry[F]{ID: id, Value: value, used: now, pending: pending}
	t.byID[id] = added
	t.queue(added).push(added)
	return added, evicted
}

// Establish makes a pending flow an established one, used now.
func (t *Table[F]) Establish(e *Entry[F], now time.Duration) {
	if t.byID[e.ID] != e || !e.pending {
		return
	}
	t.pending.remove(e)
	e.pending, e.used = false, now
	t.established.push(e)
}

// Pending reports whether e is a pending flow.
func (e *Entry[F]) Pending() bool { return e.pending }

// Touch notes that e was used now. It reports false if e is no longer in the
// table: e was evicted or expired since its owner looked it up.
func (t *Table[F]) Touch(e *Entry[F], now time.Duration) bool {
	if t.byID[e.ID] != e {
		return false
	}
	if now-e.used < t.grain {
		return true
	}
	e.used = now
	q := t.queue(e)
	q.remove(e)
	q.push(e)
	return true
}

// Grain is how precisely Touch notes when a flow was used: more often than once
// in that time it changes nothing.
func (t *Table[F]) Grain() time.Duration { return t.grain }

// Remove takes e out; nothing happens if it is out already.
func (t *Table[F]) Remove(e *Entry[F]) {
	if t.byID[e.ID] != e {
		return
	}
	delete(t.byID, e.ID)
	t.queue(e).remove(e)
}

// Expired removes and returns a flow that was idle for the table's idle time
// or, while pending, for PendingIdle if that is less; nil if there is none. It
// is never early, and late by the grain at most.
func (t *Table[F]) Expired(now time.Duration) *Entry[F] {
	e := t.pending.oldest
	if e == nil || now-e.used < t.pendingIdle+t.grain {
		e = t.established.oldest
		if e == nil || now-e.used < t.idle+t.grain {
			return nil
		}
	}
	t.Remove(e)
	return e
}

// All calls f for each flow, the pending ones first and of each kind the longest
// idle first. f may remove the entry it is given.
func (t *Table[F]) All(f func(e *Entry[F])) {
	for _, first := range []*Entry[F]{t.pending.oldest, t.established.oldest} {
		for e := first; e != nil; {
			next := e.newer
			f(e)
			e = next
		}
	}
}

func (t *Table[F]) queue(e *Entry[F]) *queue[F] {
	if e.pending {
		return &t.pending
	}
	return &t.established
}

// queue holds entries in the order of their use.
type queue[F any] struct {
	oldest, newest *Entry[F]
	length         int
}

// push adds e as the one used last.
func (q *queue[F]) push(e *Entry[F]) {
	q.length++
	e.older, e.newer = q.newest, nil
	if q.newest != nil {
		q.newest.newer = e
	} else {
		q.oldest = e
	}
	q.newest = e
}

func (q *queue[F]) remove(e *Entry[F]) {
	q.length--
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		q.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		q.newest = e.older
	}
	e.older, e.newer = nil, nil
}
