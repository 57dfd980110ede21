package wan

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// wire carries the packets of a link, both ways, on a thread of its own: it
// sleeps in ppoll until a packet comes or one is due, to the kernel's
// high-resolution timers, which Go's are too coarse for.
type wire struct {
	link *Link
	wake int // eventfd that ends it
	done chan struct{}
	err  error // why it ended by itself; valid once done is closed

	// Owned by run.
	base       time.Time
	directions [2]*direction // of what a sends, of what b sends
	flights    [2]flight
	set        *[2]Conditions // what directions follow
	forgets    uint64         // how many of the link's it has followed
	known      connections
	free       []*[mtu]byte
	waking     waking
	arrival    nanoseconds // when what is read now came
	early      nanoseconds // how much before it is due a packet may be delivered now
}

// startWire starts the wire of the link, the world's number-th.
func startWire(l *Link, seed, number uint64) (*wire, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	w := &wire{link: l, wake: wake, done: make(chan struct{}), base: time.Now()}
	for i := range w.directions {
		w.directions[i] = newDirection(seed, 2*number+uint64(i))
	}
	addProcs(1)
	go w.run()
	return w, nil
}

// stop ends the wire and waits for it.
func (w *wire) stop() error {
	if _, err := unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return os.NewSyscallError("write eventfd", err)
	}
	<-w.done
	addProcs(-1)
	return errors.Join(w.err, unix.Close(w.wake))
}

// procs guards GOMAXPROCS.
var procs sync.Mutex

// addProcs lets n more threads run Go code. A wire must run as soon as its
// thread wakes; with as many threads as processors, a program that measures at
// full load would have it wait until the scheduler takes a turn from a
// goroutine, which is up to 10 ms.
func addProcs(n int) {
	procs.Lock()
	defer procs.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

func (w *wire) run() {
	defer close(w.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer preferThread()()
	if err := w.carry(); err != nil {
		w.err = fmt.Errorf("link of %s and %s: %w", w.link.ends[0].host.name, w.link.ends[1].host.name, err)
	}
}

// preferThread has the calling thread run before all others as soon as it
// wakes, and wake at the nanosecond asked for instead of 50 µs around it. It
// returns what takes that back. Without the right to, the wire is less precise
// on a busy machine, and nothing else.
func preferThread() (restore func()) {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	_ = setScheduler(unix.SCHED_FIFO, 1)
	return func() {
		_ = setScheduler(unix.SCHED_NORMAL, 0)
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0 is the default
	}
}

func setScheduler(policy, priority uint32) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}

// carry runs until the wire is stopped or a device fails.
func (w *wire) carry() error {
	ready := [3]unix.PollFd{
		{Fd: int32(w.link.ends[0].tun.fd), Events: unix.POLLIN},
		{Fd: int32(w.link.ends[1].tun.fd), Events: unix.POLLIN},
		{Fd: int32(w.wake), Events: unix.POLLIN},
	}
	for {
		if err := w.wait(ready[:]); err != nil {
			return err
		}
		if ready[2].Revents != 0 {
			return nil
		}
		w.follow()
		carried := 0
		for from := range w.flights {
			if ready[from].Revents != 0 {
				n, err := w.receive(from)
				if err != nil {
					return fmt.Errorf("device %s of host %s: %w", w.link.ends[from].tun.name, w.link.ends[from].host.name, err)
				}
				carried += n
			}
			ready[from].Revents = 0
		}
		for from := range w.flights {
			carried += w.deliver(from)
		}
		w.waking.carried(carried, w.now())
	}
}

func (w *wire) now() nanoseconds { return int64(time.Since(w.base)) }

// wait sleeps until a packet comes or is due, or, while there are many, until
// some have.
func (w *wire) wait(ready []unix.PollFd) error {
	w.early = 0
	if w.waking.busy() {
		return w.gather(ready)
	}
	asleep := w.now()
	due, flying := w.due()
	var timeout *unix.Timespec
	var sleep, until nanoseconds
	if flying {
		sleep, until = w.waking.timeout(asleep, due)
		t := unix.NsecToTimespec(sleep)
		timeout = &t
	}
	n, err := poll(ready, timeout)
	if err != nil {
		return err
	}
	now := w.now()
	w.arrival = now
	switch {
	case flying && sleep == 0:
		if n == 0 && due > now {
			w.waking.polled(now - asleep)
		}
	case n == 0:
		if flying {
			w.waking.woke(until, now)
		}
	default:
		w.arrival = w.waking.came(asleep, now)
	}
	return nil
}

// gather sleeps for a moment, whatever comes, and has both devices read.
func (w *wire) gather(ready []unix.PollFd) error {
	asleep := w.now()
	t := unix.NsecToTimespec(moderation)
	if _, err := poll(ready[2:], &t); err != nil {
		return err
	}
	ready[0].Revents, ready[1].Revents = unix.POLLIN, unix.POLLIN
	w.arrival = (asleep + w.now()) / 2
	w.early = moderation / 2
	return nil
}

// poll is ppoll, in which a signal counts as the time having passed.
func poll(ready []unix.PollFd, timeout *unix.Timespec) (int, error) {
	n, err := unix.Ppoll(ready, timeout, nil)
	if err == unix.EINTR {
		return 0, nil
	}
	return n, os.NewSyscallError("ppoll", err)
}

// due returns when the next packet is due, and whether there is any.
func (w *wire) due() (first nanoseconds, flying bool) {
	for i := range w.flights {
		if f := &w.flights[i]; f.len() > 0 && (!flying || f.first() < first) {
			first, flying = f.first(), true
		}
	}
	return first, flying
}

// follow takes over what the link's methods have set since.
func (w *wire) follow() {
	if set := w.link.conditions.Load(); set != w.set {
		w.set = set
		for i, d := range w.directions {
			d.set(set[i], w.now())
		}
	}
	if forgets := w.link.forgets.Load(); forgets != w.forgets {
		w.forgets = forgets
		w.known.forget()
	}
}

// receive takes packets that an end sends, and returns how many.
func (w *wire) receive(from int) (n int, err error) {
	count := &w.link.counters[from]
	for n = range batch {
		data := w.buffer()
		size, ok, err := w.link.ends[from].tun.read(data)
		if !ok {
			w.release(data)
			return n, err
		}
		count.in.Add(1)
		count.inBytes.Add(uint64(size))
		p := packet{data: data, size: size, cuts: w.link.cuts.Load()}
		var f fate
		if p.due, f = w.admit(from, &p); f != delivered {
			count.end(f, size)
			w.release(data)
			continue
		}
		w.flights[from].push(p)
	}
	return batch, nil
}

// admit decides what becomes of a packet that an end sends.
func (w *wire) admit(from int, p *packet) (due nanoseconds, f fate) {
	if p.cuts%2 == 1 {
		return 0, lostCut
	}
	if !w.translate(from, p.data[:p.size]) {
		return 0, lostNAT
	}
	if w.directions[from].NoUDP && isUDP(p.data[:p.size]) {
		return 0, lostFirewall
	}
	if w.flights[from].len() >= maxInFlight {
		return 0, lostQueue
	}
	return w.directions[from].admit(w.arrival, p.size)
}

// translate rewrites a packet as the link's NAT does, and reports whether it
// lets it pass. Connections are known by the hosts' own addresses.
func (w *wire) translate(from int, b []byte) bool {
	t := w.link.translation.Load()
	if t.identity() && w.known.begun == nil || !isIPv4(b) {
		return true
	}
	if !t.identity() && !t.arrive(b, 1-from) || !w.known.knows(b, from) {
		return false
	}
	t.leave(b, from)
	return true
}

// deliver gives the other end what an end sent and is due, and returns how many
// packets that was.
func (w *wire) deliver(from int) (n int) {
	flight, count, to := &w.flights[from], &w.link.counters[from], w.link.ends[1-from].tun
	for n = range batch {
		if flight.len() == 0 || flight.first() > w.now()+w.early {
			return n
		}
		p := flight.pop()
		f := delivered
		// Also lost if the cut is over by now. To a device that is down, nothing
		// can be delivered.
		if p.cuts != w.link.cuts.Load() || !to.write(p.data[:p.size]) {
			f = lostCut
		}
		count.end(f, p.size)
		w.release(p.data)
	}
	return batch
}

// buffer returns one for a packet.
func (w *wire) buffer() *[mtu]byte {
	if last := len(w.free) - 1; last >= 0 {
		b := w.free[last]
		w.free = w.free[:last]
		return b
	}
	return new([mtu]byte)
}

func (w *wire) release(b *[mtu]byte) { w.free = append(w.free, b) }
