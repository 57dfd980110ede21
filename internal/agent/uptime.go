package agent

import (
	"errors"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"
)

// uptime knows since when there is a link to the relay, or since when there is
// none and why. It says when a link is missing, and not again for each of the many
// tries until there is one, and when there is one again. Safe for concurrent use.
//
// The links that count are those of the TCP forwards if there are any, else the
// lanes. A link that may be dead doesn't count when another one ends.
type uptime struct {
	log *slog.Logger

	mu      sync.Mutex
	links   map[uplink]time.Time // and since when each is up; guarded by mu, as all below
	since   time.Time            // there is a link, or none
	outages []outage             // the last ones, the oldest first
	count   int                  // of all outages that are over
	away    bool                 // the last one isn't
	reason  string               // why there is no link, as last said, without addresses
	said    time.Time            // when; zero if it wasn't in this outage
	told    bool                 // that it is over, since it was last said
}

// uplink is a link as far as its being up goes.
type uplink interface {
	// doubtedSince is since when it may be dead; false if nothing speaks for that.
	doubtedSince() (time.Time, bool)
}

// outage is a time without a link that works.
type outage struct {
	began, ended time.Time // ended is zero if it isn't over
	cause        error
}

func newUptime(log *slog.Logger) *uptime {
	return &uptime{log: log, links: make(map[uplink]time.Time), since: time.Now()}
}

// Why links end, where the error of the link doesn't say it to a person.
var (
	errNoSign = errors.New("no sign of life from the relay")
	errClosed = errors.New("the relay closed the connection")
)

// describe is why a link ended, or couldn't be made.
func describe(err error) error {
	if err == nil || err == io.EOF { // wrapped it says more
		return errClosed
	}
	return err
}

// up notes a link. It must come before its down.
func (u *uptime) up(l uplink) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	first := len(u.links) == 0 && len(u.outages) == 0
	u.links[l] = now
	switch {
	case u.away:
		last := &u.outages[len(u.outages)-1]
		last.ended = now
		u.away, u.since = false, now
		u.count++
		away := now.Sub(last.began).Round(time.Millisecond)
		if u.told {
			u.log.Debug("connected to the relay again", "away", away, "cause", last.cause)
		} else {
			u.log.Info("connected to the relay again", "away", away, "cause", last.cause)
		}
		u.told = true
	case first:
		if !u.said.IsZero() {
			u.log.Info("connected to the relay", "away", now.Sub(u.since).Round(time.Millisecond))
		}
		u.since = now
	}
}

// down notes that a link has ended, if it was up, and why.
func (u *uptime) down(l uplink, cause error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.links[l]; !known {
		return
	}
	delete(u.links, l)
	if u.away || u.sound() {
		return
	}
	began := time.Now()
	if since, doubted := l.doubtedSince(); doubted {
		began, cause = since, errNoSign
	} else {
		cause = describe(cause)
	}
	u.away = true
	if n := len(u.outages); n > 0 && began.Sub(u.since) < settled { // that one isn't over
		last := &u.outages[n-1]
		last.ended, last.cause = time.Time{}, cause
		u.since = last.began
		u.count--
		return
	}
	if len(u.outages) == maxOutages {
		u.outages = slices.Delete(u.outages, 0, 1)
	}
	u.outages = append(u.outages, outage{began: began, cause: cause})
	u.since = began
	u.reason, u.said, u.told = "", time.Time{}, false
}

// works says whether there is a link that nothing speaks against.
func (u *uptime) works() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sound()
}

// sound is works. It is locked.
func (u *uptime) sound() bool {
	for l := range u.links {
		if _, doubted := l.doubtedSince(); !doubted {
			return true
		}
	}
	return false
}

// lost tells why there is no link, and when the next one is dialled.
func (u *uptime) lost(err error, retry time.Duration) {
	err = describe(err)
	reason := addresses.ReplaceAllLiteralString(err.Error(), "")
	u.mu.Lock()
	again := u.sound() || reason == u.reason && time.Since(u.said) < outageRepeat
	if !again {
		u.reason, u.said, u.told = reason, time.Now(), false
	}
	u.mu.Unlock()
	arguments := []any{"error", err}
	if retry = retry.Round(time.Millisecond); retry > 0 {
		arguments = append(arguments, "retry_in", retry)
	}
	if again {
		u.log.Debug("no link to the relay", arguments...)
	} else {
		u.log.Warn("no link to the relay", arguments...)
	}
}

// addresses are those with a port in the errors of package net: our own port is
// another one at each try, and the relay's address may be one of several.
var addresses = regexp.MustCompile(`(\d+(\.\d+){3}|\[[^\]\s]*:[^\]\s]*\]):\d+`)
