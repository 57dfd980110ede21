// Package pace keeps a bulk transfer from standing in the way of play.
//
// TCP fills the queue of the slowest link on its path until it drops something,
// and whatever shares that link waits in the queue: a tenth of a second on many
// home lines. Datagrams have SSH connections of their own, but the link is the
// same. So the connection that carries TCP forwards uses a congestion control
// that aims at an empty queue where the kernel lets it, and while
// datagrams flow a [Governor] watches how long its segments wait, and has the
// kernel send more slowly when that is too long.
package pace

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"time"

	"funnel/internal/tcpio"
)

// Socket is what the kernel is asked of the connection; see tcpio.Socket.
type Socket interface {
	Info() (tcpio.Info, bool)
	SetPacingRate(bytesPerSecond uint64) error
	SetNotSentLowat(bytes int) error
	SetCongestion(name string) error
}

// Config is what a Governor needs to know.
type Config struct {
	Socket  Socket
	Playing func() bool // datagrams flow beside the transfer; called often while there is one
	Log     *slog.Logger

	// Rate is a fixed bound, 0 for none.
	Rate Rate
	// Transport is what writes to Socket.
	Transport Transport
}

// Transport is the program's own part of the connection; see tcpio.Conn.
type Transport interface {
	SetRate(bytesPerSecond uint64)
	SetGather(bytes int)
	Alarm() *tcpio.Alarm
}

// Governor holds one connection back while it makes play wait.
type Governor struct {
	config     Config
	controller controller
	set        uint64    // the rate that the kernel has now
	room       int       // bytes that may wait, in Transport and again unsent in the kernel
	past       []reading // the last looks at a transfer, lateLooks at most, the latest at the end
}

// reading is what a look at the connection found.
type reading struct {
	at    time.Duration
	acked uint64 // bytes
}

// since is how many bytes a second were acknowledged after the reading before.
func (r reading) since(before reading) float64 {
	return float64(r.acked-before.acked) / max(r.at-before.at, 1).Seconds()
}

// New makes a Governor; Run starts it.
func New(config Config) *Governor { return &Governor{config: config, set: unlimited} }

// Run governs until ctx ends or the connection does. With a fixed rate, or where
// the system tells nothing about connections, there is nothing to do after the
// first moment.
func (g *Governor) Run(ctx context.Context) {
	// That the system lacks this control, or keeps it from this user, is
	// nothing to worry about: the Governor does what it can without.
	if err := g.config.Socket.SetCongestion(congestion); err != nil {
		g.config.Log.Debug("choose congestion control", "error", err)
	}
	if g.config.Rate > 0 {
		g.setRoom(roomFor(float64(g.config.Rate)))
		if err := g.apply(uint64(g.config.Rate)); err != nil {
			g.config.Transport.SetRate(uint64(g.config.Rate))
		}
		return
	}
	g.setRoom(roomMost)
	alarm := g.config.Transport.Alarm()
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for begun := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		alarm.Set(stirBytes)
		info, ok := g.config.Socket.Info()
		if !ok {
			return
		}
		if g.look(info, time.Since(begun)) {
			continue
		}
		ticker.Stop()
		select {
		case <-ctx.Done():
			return
		case <-alarm.C:
		}
		ticker.Reset(lookInterval)
		info, _ = g.config.Socket.Info()
		g.past = append(g.past[:0], reading{at: time.Since(begun), acked: info.BytesAcked})
	}
}

// look takes the kernel's view of the connection and sets the rate that follows.
// It reports whether there is a transfer to keep an eye on.
func (g *Governor) look(info tcpio.Info, now time.Duration) (busy bool) {
	present := reading{at: now, acked: info.BytesAcked}
	if len(g.past) == 0 {
		g.past = append(g.past, reading{})
	}
	busy = present.since(g.past[len(g.past)-1]) > bulkRate
	rate := present.since(g.past[0])
	if len(g.past) == lateLooks {
		g.past = slices.Delete(g.past, 0, 1)
	}
	g.past = append(g.past, present)
	room := roomMost
	if busy {
		// What the path delivers now: a transfer may have begun a moment ago.
		rate = max(rate, float64(info.DeliveryRate))
		room = roomFor(rate)
	}
	g.setRoom(room)
	rate = g.controller.step(sample{
		now:     now,
		rate:    rate,
		rtt:     info.SRTT,
		queue:   info.SRTT - info.MinRTT,
		playing: busy && info.MinRTT > 0 && g.config.Playing(),
	})
	wanted := unlimited
	if rate > 0 {
		wanted = uint64(rate)
	}
	if wanted != g.set {
		if err := g.apply(wanted); err != nil {
			g.config.Log.Debug("pace the connection", "error", err)
		}
	}
	return busy || wanted != unlimited
}

// roomFor is what may wait of a transfer at rate bytes a second.
func roomFor(rate float64) int { return int(min(max(rate*roomTime.Seconds(), roomLeast), roomMost)) }

// setRoom bounds what waits where it can't be overtaken: conns that share the
// link with a transfer wait for no more than that.
func (g *Governor) setRoom(bytes int) {
	if bytes > g.room/2 && bytes < 2*g.room { // near enough
		return
	}
	g.room = bytes
	g.config.Transport.SetGather(bytes)
	if err := g.config.Socket.SetNotSentLowat(bytes); err != nil {
		g.config.Log.Debug("bound what waits to be sent", "error", err)
	}
}

func (g *Governor) apply(rate uint64) error {
	if err := g.config.Socket.SetPacingRate(rate); err != nil {
		return err
	}
	g.set = rate
	return nil
}

const unlimited = uint64(math.MaxUint64)
