package flow

import "time"

// The order of idleness is kept exact to a grain: a flow in use moves to the
// front of its table once in that time and not with each datagram. The grain
// is a part of the idle time, and at most a second.
const (
	grainParts = 8
	maxGrain   = time.Second
)

// Table holds the flows of one session by number, bounded in size and ordered
// by when they were last used. F is what its owner keeps of a flow. It isn't
// safe for concurrent use: its owner's lock guards it.
type Table[F any] struct {
	max    int
	idle   time.Duration
	grain  time.Duration
	byID   map[uint32]*Entry[F]
	oldest *Entry[F]
	newest *Entry[F]
}

// Entry is one flow's place in a table.
type Entry[F any] struct {
	ID    uint32
	Value F
	used  time.Duration
	older *Entry[F]
	newer *Entry[F]
}

// NewTable makes a table for at most max flows, at least 1, that expire when
// idle for so long.
func NewTable[F any](max int, idle time.Duration) *Table[F] {
	return &Table[F]{
		max:   max,
		idle:  idle,
		grain: min(idle/grainParts, maxGrain),
		byID:  make(map[uint32]*Entry[F]),
	}
}

// Len is the number of flows.
func (t *Table[F]) Len() int { return len(t.byID) }

// Get is the entry with this number, or nil.
func (t *Table[F]) Get(id uint32) *Entry[F] { return t.byID[id] }

// Add adds a flow, used now: times are counted from whatever moment the owner
// likes, always the same. No flow of the table may have this number. If the table is full the flow idle the longest is
// removed and returned, for its owner to end.
func (t *Table[F]) Add(id uint32, value F, now time.Duration) (added, evicted *Entry[F]) {
	if len(t.byID) >= t.max {
		evicted = t.oldest
		t.Remove(evicted)
	}
	added = &Entry[F]{ID: id, Value: value, used: now}
	t.byID[id] = added
	t.link(added)
	return added, evicted
}

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
	t.unlink(e)
	t.link(e)
	return true
}

// Remove takes e out; nothing happens if it is out already.
func (t *Table[F]) Remove(e *Entry[F]) {
	if t.byID[e.ID] != e {
		return
	}
	delete(t.byID, e.ID)
	t.unlink(e)
}

// Expired removes and returns a flow that was idle for the table's idle time,
// or nil. It is never early, and late by the grain at most.
func (t *Table[F]) Expired(now time.Duration) *Entry[F] {
	e := t.oldest
	if e == nil || now-e.used < t.idle+t.grain {
		return nil
	}
	t.Remove(e)
	return e
}

// All calls f for each flow, the longest idle first. f may remove the entry it
// is given.
func (t *Table[F]) All(f func(e *Entry[F])) {
	for e := t.oldest; e != nil; {
		next := e.newer
		f(e)
		e = next
	}
}

func (t *Table[F]) link(e *Entry[F]) {
	e.older, e.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = e
	} else {
		t.oldest = e
	}
	t.newest = e
}

func (t *Table[F]) unlink(e *Entry[F]) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		t.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		t.newest = e.older
	}
	e.older, e.newer = nil, nil
}
