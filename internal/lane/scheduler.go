package lane

import (
	"time"

	"funnel/internal/flow"
	"funnel/internal/obs"
	"funnel/proto"
)

// scheduler decides whose datagram goes next on a lane: deficit round robin
// between flows, and flows that have just begun to wait first, as FQ-CoDel
// has it (RFC 8290 §4). A flow that sends less than its share so never waits
// behind one that sends more. It isn't safe for concurrent use.
type scheduler struct {
	slot  int // the lane's, for flow headers
	drops *obs.Drops

	waiting map[*flow.Flow]*queue
	fresh   queues // flows that have just begun to wait
	rest    queues
	bytes   int
	spare   *queue // empty queues kept for the next flows, linked
	spares  int
}

// maxSpares bounds the empty queues kept: as many as flows take turns on a
// busy server.
const maxSpares = 64

func newScheduler(slot int, drops *obs.Drops) scheduler {
	return scheduler{slot: slot, drops: drops, waiting: make(map[*flow.Flow]*queue)}
}

func (s *scheduler) empty() bool { return s.fresh.first == nil && s.rest.first == nil }

// push takes over one reference to p. If p's flow has too much waiting its
// oldest datagrams make room, and those of a flow that sends much if the lane
// has: who sends little mustn't be kept out by who sends more.
func (s *scheduler) push(p *packet) {
	q := s.waiting[p.flow]
	if q == nil {
		q = s.newQueue(p.flow)
		s.waiting[p.flow] = q
		s.fresh.add(q)
	}
	for q.full(p) {
		s.dropOldest(q, obs.DropQueueFull)
	}
	for s.bytes+p.memory() > laneBytes {
		fat := s.fattest(q)
		if fat.length == 0 {
			s.drop(p, obs.DropLaneFull)
			return
		}
		s.dropOldest(fat, obs.DropLaneFull)
	}
	q.push(p)
	s.bytes += p.memory()
}

// fattest is the queue that holds the most bytes, of q and those whose turn is
// next: RFC 8290 §4.1 looks at all, which here may be thousands.
func (s *scheduler) fattest(q *queue) *queue {
	looks := fattestLooks
	for _, list := range []queues{s.rest, s.fresh} {
		for other := list.first; other != nil && looks > 0; other = other.next {
			if other.bytes > q.bytes {
				q = other
			}
			looks--
		}
	}
	return q
}

func (s *scheduler) drop(p *packet, reason obs.Drop) {
	s.drops.Add(reason, 1)
	p.release()
}

func (s *scheduler) dropOldest(q *queue, reason obs.Drop) {
	p := q.pop()
	s.bytes -= p.memory()
	s.drop(p, reason)
}

// gather appends to b the records of the datagrams whose turn it is, as long
// as b stays within limit; a datagram larger than that goes alone. Datagrams
// received before oldest are dropped.
func (s *scheduler) gather(b []byte, limit int, oldest time.Duration) []byte {
	empty := len(b)
	for {
		list := &s.fresh
		if list.first == nil {
			list = &s.rest
		}
		q := list.first
		if q == nil {
			return b
		}
		for q.length > 0 && q.peek().at < oldest {
			s.dropOldest(q, obs.DropStale)
		}
		switch {
		case q.length == 0:
			list.drop()
			// One that was fresh takes a last turn at the end of the rest, or
			// it could be fresh again at once and starve them.
			if list == &s.fresh && s.rest.first != nil {
				s.rest.add(q)
			} else {
				s.endQueue(q)
			}
		case q.deficit <= 0:
			q.deficit += quantum
			list.drop()
			s.rest.add(q)
		default:
			p := q.peek()
			if len(b) > empty && len(b)+p.size()+proto.MaxFlowRecord > limit {
				return b
			}
			b = append(b, q.flow.Header(s.slot)...)
			b = proto.AppendDatagram(b, q.flow.ID, p.sequence, p.payload)
			q.pop()
			s.bytes -= p.memory()
			q.deficit -= p.size()
			p.release()
		}
	}
}

// clear drops all that waits.
func (s *scheduler) clear(reason obs.Drop) {
	for _, list := range []*queues{&s.fresh, &s.rest} {
		for list.first != nil {
			q := list.first
			for q.length > 0 {
				s.dropOldest(q, reason)
			}
			list.drop()
			s.endQueue(q)
		}
	}
}

func (s *scheduler) newQueue(f *flow.Flow) *queue {
	q := s.spare
	if q == nil {
		q = &queue{}
	} else {
		s.spare = q.next
		s.spares--
	}
	q.flow, q.deficit, q.next = f, quantum, nil
	return q
}

// endQueue forgets an empty queue that is on no list.
func (s *scheduler) endQueue(q *queue) {
	delete(s.waiting, q.flow)
	q.flow = nil
	if s.spares < maxSpares && len(q.ring) <= queueStart {
		q.next = s.spare
		s.spare = q
		s.spares++
	}
}
