package lane

import "funnel/internal/flow"

// queue holds what waits for one flow on one lane, oldest first. It exists
// only while something waits.
type queue struct {
	flow    *flow.Flow
	ring    []*packet // its length is a power of two
	head    int
	length  int
	bytes   int
	deficit int // what the flow may still send in this turn
	next    *queue
}

// queueStart is the first ring of a queue: most flows have one or two
// datagrams waiting, if any.
const queueStart = 8

func (q *queue) full(p *packet) bool {
	return q.length == queueDatagrams || q.length > 0 && q.bytes+p.memory() > queueBytes
}

func (q *queue) push(p *packet) {
	if q.length == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.length)&(len(q.ring)-1)] = p
	q.length++
	q.bytes += p.memory()
}

func (q *queue) grow() {
	ring := make([]*packet, max(queueStart, 2*len(q.ring)))
	for i := range q.length {
		ring[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = ring, 0
}

// peek is the oldest packet; the queue must not be empty.
func (q *queue) peek() *packet { return q.ring[q.head] }

// pop takes the oldest packet, which is the caller's to release.
func (q *queue) pop() *packet {
	p := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.length--
	q.bytes -= p.memory()
	return p
}

// queues is a list of queues, first in first out.
type queues struct{ first, last *queue }

func (l *queues) add(q *queue) {
	q.next = nil
	if l.last == nil {
		l.first = q
	} else {
		l.last.next = q
	}
	l.last = q
}

// drop takes the first queue off.
func (l *queues) drop() {
	l.first = l.first.next
	if l.first == nil {
		l.last = nil
	}
}
