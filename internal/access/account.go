package access

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"golang.org/x/time/rate"
)

// Account is what one identity uses at the moment, over all its links and
// sessions. Safe for concurrent use.
type Account struct {
	forwards, conns, flows atomic.Int64

	toTarget, toClient Meter
	newFlows           bucket
}

// Meter bounds bandwidth in one direction. The zero Meter bounds nothing.
type Meter struct{ bucket bucket }

// bucket is a token bucket whose rate may change, also to none.
type bucket struct {
	mu      sync.Mutex
	perS    float64                 // guarded by mu
	limiter atomic.Pointer[limiter] // nil: no limit
}

// limiter is a rate.Limiter for which one waits at a time: what it has been
// promised it can give back as a whole, which it couldn't if others had been
// promised what comes after.
type limiter struct {
	*rate.Limiter
	turn chan struct{} // 1 slot: taken by who waits
}

// wait returns when n may pass, at most a burst, or with ctx's error, and nothing
// taken.
func (l *limiter) wait(ctx context.Context, n int) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
		return l.WaitN(ctx, n)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set changes the rate; 0 is none.
func (b *bucket) set(perSecond float64, burst int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.perS == perSecond {
		return
	}
	b.perS = perSecond
	if perSecond == 0 {
		b.limiter.Store(nil)
		return
	}
	b.limiter.Store(&limiter{rate.NewLimiter(rate.Limit(perSecond), burst), make(chan struct{}, 1)})
}

// set changes the bandwidth in bits a second.
func (m *Meter) set(bits int64) {
	bytes := float64(bits) / 8
	m.bucket.set(bytes, max(int(bytes)/burstParts, minBurst))
}

// Pass says whether n bytes may pass now, and counts them if so: what can be
// lost is lost.
func (m *Meter) Pass(n int) bool {
	limiter := m.bucket.limiter.Load()
	return limiter == nil || limiter.AllowN(time.Now(), n)
}

// Wait returns when n bytes may pass: what can't be lost waits. An error says
// that ctx ended.
func (m *Meter) Wait(ctx context.Context, n int) error {
	for n > 0 {
		limiter := m.bucket.limiter.Load()
		if limiter == nil {
			return nil
		}
		part := min(n, limiter.Burst())
		if err := limiter.wait(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// limited says whether the meter bounds anything.
func (m *Meter) limited() bool { return m.bucket.limiter.Load() != nil }

// apply makes the limits of a grant hold.
func (a *Account) apply(l Limits) {
	a.toTarget.set(l.Bandwidth)
	a.toClient.set(l.Bandwidth)
	a.newFlows.set(float64(l.NewFlows), l.NewFlows)
}

// accounts are those in use, by fingerprint: an account lives for as long as a
// grant does.
type accounts struct {
	mu    sync.Mutex
	known map[string]weak.Pointer[Account]
}

func (a *accounts) of(fingerprint string) *Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	if account := a.known[fingerprint].Value(); account != nil {
		return account
	}
	if a.known == nil {
		a.known = make(map[string]weak.Pointer[Account])
	}
	account := new(Account)
	pointer := weak.Make(account)
	a.known[fingerprint] = pointer
	runtime.AddCleanup(account, func(fingerprint string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.known[fingerprint] == pointer {
			delete(a.known, fingerprint)
		}
	}, fingerprint)
	return account
}

// Lease is a grant as it is now: it follows the files that it rests on. What a
// login uses is taken through it. Safe for concurrent use.
type Lease struct {
	keys    *Keys
	current atomic.Pointer[Grant]
}

// Lease returns a lease of what a login was granted.
func (k *Keys) Lease(grant *Grant) *Lease {
	l := &Lease{keys: k}
	l.current.Store(grant)
	grant.account.apply(grant.Limits)
	return l
}

// Grant is what is granted now; another pointer than before if that may have
// changed.
func (l *Lease) Grant() *Grant { return l.current.Load() }

// Renew asks anew what the login may do, if that may have changed since: the
// files are at version, see Keys.Version, or something has expired. The error
// says that it may do nothing any more, and why: ErrExpired if that is its
// certificate's time, and nothing else.
func (l *Lease) Renew(version uint64, now time.Time) error {
	old := l.current.Load()
	expired := !old.until.IsZero() && now.After(old.until)
	if !expired && old.rules.version >= version { // a login may have read what doesn't count yet
		return nil
	}
	grant, err := l.keys.decide(l.keys.since(old.rules), old.login, now)
	if err != nil {
		return err
	}
	l.current.Store(grant)
	grant.account.apply(grant.Limits)
	return nil
}

// Bind is Grant.Bind of what is granted now.
func (l *Lease) Bind(network, host string, port uint16, try func(host string, port uint16) (uint16, error)) (uint16, error) {
	return l.Grant().Bind(network, host, port, try)
}

// MayBind is Grant.MayBind of what is granted now.
func (l *Lease) MayBind(network, host string, port uint16) error {
	return l.Grant().MayBind(network, host, port)
}

// TakeForward counts one more bound port, until release is called.
func (l *Lease) TakeForward() (release func(), err error) {
	grant := l.Grant()
	if !take(&grant.account.forwards, grant.Limits.Forwards) {
		return nil, &Denied{Limit: LimitKey, text: fmt.Sprintf("this key may have %d forwarded ports at a time and has them", grant.Limits.Forwards)}
	}
	return sync.OnceFunc(func() { grant.account.forwards.Add(-1) }), nil
}

// TakeConn counts one more connection, until release is called; false if the
// key may have no more.
func (l *Lease) TakeConn() (release func(), ok bool) {
	grant := l.Grant()
	if !take(&grant.account.conns, grant.Limits.Conns) {
		return nil, false
	}
	return sync.OnceFunc(func() { grant.account.conns.Add(-1) }), true
}

// NewFlow says whether a UDP flow may begin now; false if the key begins them too
// fast.
func (l *Lease) NewFlow() bool {
	limiter := l.Grant().account.newFlows.limiter.Load()
	return limiter == nil || limiter.Allow()
}

// TakeFlow counts one more UDP flow, until GiveFlow is called; false if the key
// may have no more.
func (l *Lease) TakeFlow() bool {
	grant := l.Grant()
	return take(&grant.account.flows, grant.Limits.Flows)
}

// GiveFlow gives a flow back that was taken.
func (l *Lease) GiveFlow() { l.Grant().account.flows.Add(-1) }

// take counts one more unless there are as many as may be; most 0 is no limit.
func take(count *atomic.Int64, most int) bool {
	if n := count.Add(1); most == 0 || n <= int64(most) {
		return true
	}
	count.Add(-1)
	return false
}

// Meters are the bandwidth limits on one forward: the key's and its own.
type Meters struct {
	key, own *Meter
}

// Pass says whether a datagram of n bytes may pass now.
func (m Meters) Pass(n int) bool {
	return (m.own == nil || m.own.Pass(n)) && (m.key == nil || m.key.Pass(n))
}

// Wait returns when n bytes of a stream may pass, or with ctx's error.
func (m Meters) Wait(ctx context.Context, n int) error {
	for _, meter := range []*Meter{m.own, m.key} {
		if meter != nil {
			if err := meter.Wait(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Limited says whether there is a limit at the moment.
func (m Meters) Limited() bool {
	return m.key != nil && m.key.limited() || m.own != nil && m.own.limited()
}

// Meter returns the limits of a new forward in both directions.
func (l *Lease) Meter() (toTarget, toClient Meters) {
	grant := l.Grant()
	toTarget = Meters{key: &grant.account.toTarget, own: new(Meter)}
	toClient = Meters{key: &grant.account.toClient, own: new(Meter)}
	l.Adjust(toTarget, toClient)
	return toTarget, toClient
}

// Adjust makes a forward's limits those that are granted now.
func (l *Lease) Adjust(meters ...Meters) {
	bits := l.Grant().Limits.ForwardBandwidth
	for _, m := range meters {
		m.own.set(bits)
	}
}
