package flow

// windowSize is how far behind the newest a datagram may come and still be
// told from a second copy. 2048 covers 10,000 datagrams a second over the
// 200 ms after which a datagram counts as stale anyway, in 256 bytes a flow
// and direction.
const windowSize = 2048

// Window drops second copies: it remembers which of the last windowSize
// sequence numbers were seen, as the anti-replay windows of RFC 6479 do.
// Numbers wrap. The zero Window has seen nothing.
type Window struct {
	newest uint32
	begun  bool
	seen   [windowSize / 64]uint64 // a ring: number n is bit n%windowSize
}

// First reports whether sequence is seen for the first time, and remembers it.
// One too old to tell counts as seen.
func (w *Window) First(sequence uint32) bool {
	if !w.begun {
		w.begun = true
		w.newest = sequence
		w.set(sequence)
		return true
	}
	ahead := int32(sequence - w.newest) // #nosec G115 -- a difference that wraps, as sequence numbers do
	if ahead > 0 {
		w.advance(sequence, uint32(ahead))
		w.set(sequence)
		return true
	}
	if -int64(ahead) >= windowSize || w.has(sequence) {
		return false
	}
	w.set(sequence)
	return true
}

// advance makes sequence the newest and forgets the numbers whose place in
// the ring is now a newer one's.
func (w *Window) advance(sequence, ahead uint32) {
	switch {
	case ahead == 1: // nearly always
		w.clear(sequence)
	case ahead >= windowSize:
		w.seen = [windowSize / 64]uint64{}
	default:
		for n := w.newest + 1; n != sequence+1; n++ {
			w.clear(n)
		}
	}
	w.newest = sequence
}

func (w *Window) has(n uint32) bool { return w.seen[n/64%(windowSize/64)]&(1<<(n%64)) != 0 }
func (w *Window) set(n uint32)      { w.seen[n/64%(windowSize/64)] |= 1 << (n % 64) }
func (w *Window) clear(n uint32)    { w.seen[n/64%(windowSize/64)] &^= 1 << (n % 64) }
