package wan

// waking learns how long the wire's thread takes to wake, 10 to 60 µs by how
// deep the processor slept, and makes up for it: a sleep ends that much early
// and the rest is spent polling, and a packet that woke the thread came that
// much before it is seen. Owned by the link's wire.
type waking struct {
	late    float64 // mean ns between the moment asked for and the thread running
	spread  float64 // mean deviation from it, ns
	allowed float64 // ns that may be spent polling
	at      nanoseconds

	// How busy the wire is: packets that came or went per ns, a mean over
	// some busyMean, and since when the latest are counted.
	rate  float64
	count int
	since nanoseconds
}

const (
	// wakeGain is the weight of a new observation in the means: RFC 6298's for
	// round-trip times, which are as noisy.
	wakeGain = 1. / 8

	// mostLate in ns is what is still taken for waking up. Beyond it the thread
	// had to wait for something else, of which the next time knows nothing.
	mostLate = 150e3

	// pollShare is the share of a processor that polling may take: a packet
	// every 0.5 ms is still released to the microsecond, and at 20,000 a second,
	// when there is hardly a sleep to wake from, nothing is wasted.
	pollShare = 1. / 20

	// busyRate in packets per ns, those that come and those that go, is the rate
	// from which the thread wakes for several at a time. 20 Mbit/s of full packets
	// and their acknowledgements are 5,000 a second and stay well below.
	busyRate = 20_000 / 1e9

	// busyMean in ns is how soon a change of the rate is noticed.
	busyMean = 2e6

	// moderation in ns is for how long a busy thread gathers packets, as network
	// cards do with interrupts. What it reads came half of that ago on average,
	// and what it delivers is early or late by at most that half.
	moderation = 60_000

	// pollBurst in ns is how much of the share may be saved up.
	pollBurst = 2e6
)

// timeout returns how long to sleep before the next packet is due, or 0 to
// poll, and the moment at which the thread should wake.
func (w *waking) timeout(now, due nanoseconds) (sleep, until nanoseconds) {
	w.allowed = min(pollBurst, w.allowed+float64(now-w.at)*pollShare)
	w.at = now
	until = due
	if w.allowed > 0 {
		until -= int64(w.late + w.spread)
	}
	return max(0, until-now), until
}

// polled notes that polling took time and brought nothing.
func (w *waking) polled(took nanoseconds) { w.allowed -= float64(took) }

// woke notes that the thread should have woken at until, and did now.
func (w *waking) woke(until, now nanoseconds) {
	observed := float64(now - until)
	if observed < 0 || observed > mostLate {
		return
	}
	difference := observed - w.late
	w.late += wakeGain * difference
	w.spread += wakeGain * (max(difference, -difference) - w.spread)
}

// came returns when the packet came that woke the thread now, from a sleep
// that began at asleep.
func (w *waking) came(asleep, now nanoseconds) nanoseconds {
	return max(asleep, now-int64(w.late))
}

// carried notes that n packets came or went by now.
func (w *waking) carried(n int, now nanoseconds) {
	w.count += n
	if elapsed := float64(now - w.since); elapsed >= busyMean/8 {
		weight := min(1, elapsed/busyMean)
		w.rate += weight * (float64(w.count)/elapsed - w.rate)
		w.count, w.since = 0, now
	}
}

// busy reports whether packets are to be gathered.
func (w *waking) busy() bool { return w.rate >= busyRate }
