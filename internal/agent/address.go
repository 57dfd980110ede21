package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// lookup finds the addresses of a name, the best first.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// dialTCP connects to one of the addresses that address, a name or an IP
// address and a port, has now. Each gets connectStagger before the next is tried
// beside it, families in turn (RFC 8305 §4, §5), so that one that swallows what
// is sent to it costs no more than that. net.Dialer staggers only the two
// families, and lets the addresses of one wait for each other.
func dialTCP(ctx context.Context, find lookup, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	addrs, err := find(ctx, "ip", host)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("look up %s: DNS gave no answer within %s", host, connectTimeout)
	case err != nil:
		return nil, err
	case len(addrs) == 0:
		return nil, fmt.Errorf("look up %s: it has no address", host)
	}
	return dialFirst(ctx, inTurn(addrs), uint16(port)) // #nosec G115 -- looked up as a port
}

// inTurn orders addresses so that the families alternate for as long as there
// are both, beginning with that of the first.
func inTurn(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		other := 0
		if a.Is4() != addrs[0].Unmap().Is4() {
			other = 1
		}
		families[other] = append(families[other], a)
	}
	var ordered []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) && !slices.Contains(ordered, family[i]) {
				ordered = append(ordered, family[i])
			}
		}
	}
	return ordered
}

// errGivenUp is why an attempt ended that took longer than others are waited for.
// What the last ones end with says more.
var errGivenUp = errors.New("given up for another attempt")

// dialFirst connects to whichever address answers first. While none does, the
// next one is tried every connectStagger, all of them again and again: the kernel
// takes a second and longer before it repeats a SYN, in which the line may have
// come back. When it returns nothing of the other attempts is left. If all fail,
// the error is the first's.
func dialFirst(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	started, ended := 0, 0
	var giveUp []context.CancelCauseFunc // of the last maxConnects attempts
	next := func() {
		to := netip.AddrPortFrom(addrs[started%len(addrs)], port).String()
		attempt, end := context.WithCancelCause(ctx)
		if started++; started > maxConnects {
			giveUp[0](errGivenUp)
			giveUp = giveUp[1:]
		}
		giveUp = append(giveUp, end)
		go func() {
			dialer := net.Dialer{KeepAlive: -1}
			conn, err := dialer.DialContext(attempt, "tcp", to)
			if err != nil && context.Cause(attempt) == errGivenUp {
				err = errGivenUp
			}
			results <- result{conn, err}
		}()
	}
	defer func() {
		cancel()
		for ; ended < started; ended++ {
			if late := <-results; late.conn != nil {
				late.conn.Close()
			}
		}
	}()
	stagger := time.NewTicker(connectStagger)
	defer stagger.Stop()
	var first error
	next()
	for {
		select {
		case r := <-results:
			ended++
			if r.err == nil {
				return r.conn, nil
			}
			if first == nil && r.err != errGivenUp {
				first = r.err
			}
			if ended == started && started >= len(addrs) {
				return nil, first
			}
			// One that refuses lets the next begin at once.
			if started < len(addrs) {
				stagger.Reset(connectStagger)
				next()
			}
		case <-stagger.C:
			next()
		}
	}
}
