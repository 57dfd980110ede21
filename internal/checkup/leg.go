package checkup

import (
	"context"
	"errors"
	"net"
	"sync"

	"funnel/internal/probe"
	"funnel/internal/tcpio"
)

// leg is one way during one measurement.
type leg struct {
	measured Measured
	conn     net.Conn      // nil if there is none
	socket   *tcpio.Socket // nil for UDP
	kernel   *Kernel
}

func (l *leg) close() {
	if l.conn != nil {
		abort(l.conn)
	}
}

// open connects all ways, at once, and has an echo come back on each.
func (s *stage) open(ctx context.Context) []*leg {
	legs := make([]*leg, len(ways))
	var all sync.WaitGroup
	for i, way := range ways {
		legs[i] = &leg{measured: Measured{Way: way}}
		all.Go(func() { s.reach(ctx, legs[i]) })
	}
	all.Wait()
	return legs
}

// reach connects one way. What fails is noted in the leg.
func (s *stage) reach(ctx context.Context, l *leg) {
	way := l.measured.Way
	address := s.public[way]
	if address == "" {
		l.measured.Problem = s.missing[way]
		if l.measured.Problem == "" {
			l.measured.Problem = "the relay gives no port for it"
		}
		return
	}
	if s.broken[way] {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, errors.New("nothing came back for "+reachTime.String()))
	defer cancel()
	conn, err := s.connect(ctx, way, address)
	if err == nil {
		if way.udp() {
			err = probe.ReachUDP(ctx, conn, s.options.Profile.Size)
		} else if err = probe.ReachTCP(ctx, conn, s.options.Profile.Size); err == nil {
			l.socket = tcpio.NewSocket(conn)
		}
	}
	if err != nil {
		if conn != nil {
			abort(conn)
		}
		l.measured.Blocked = true
		l.measured.Problem = "no answer from " + address + ": " + err.Error()
		return
	}
	l.conn = conn
}

// connect opens a way's connection, or connected UDP socket, for an echo.
func (s *stage) connect(ctx context.Context, way Way, address string) (net.Conn, error) {
	switch way {
	case PlainTCP:
		return s.dial(ctx, "tcp", address, append(append([]byte(nil), s.ports.Token...), probe.Echo))
	case FunnelTCP:
		return s.dial(ctx, "tcp", address, []byte{probe.Echo})
	}
	conn, err := s.dial(ctx, "udp", address, nil)
	if err != nil || way == FunnelUDP {
		return conn, err
	}
	return newSigned(conn, s.ports.Token), nil
}

// run measures all legs at once.
func (s *stage) run(ctx context.Context, legs []*leg) {
	var all sync.WaitGroup
	for _, l := range legs {
		if l.conn != nil {
			all.Go(func() { s.runOne(ctx, l) })
		}
	}
	all.Wait()
}

func (s *stage) runOne(ctx context.Context, l *leg) {
	plan := probe.Plan{Rate: s.options.Profile.Rate, Size: s.options.Profile.Size, Duration: s.options.Duration, Grace: graceTCP}
	before, _ := l.socket.Info()
	var all []probe.Series
	var err error
	if l.measured.Way.udp() {
		plan.Grace = graceUDP
		all, err = probe.UDP(ctx, plan, l.conn)
	} else {
		var series probe.Series
		series, err = probe.TCP(ctx, plan, l.conn)
		all = []probe.Series{series}
	}
	if err != nil {
		l.measured.Problem = err.Error()
	}
	if after, ok := l.socket.Info(); ok {
		l.kernel = &Kernel{MinRTT: after.MinRTT, SRTT: after.SRTT}
		l.measured.Segments = after.DataSegsOut - before.DataSegsOut
		again, vain := after.TotalRetrans-before.TotalRetrans, after.DSACKDups-before.DSACKDups
		l.measured.Resent = again - min(again, vain)
	}
	summary := probe.Summarize(0, all...)
	l.measured.Summary, l.measured.Loss = &summary, summary.Loss()
	l.measured.histogram = probe.Histogram(all...)
}
