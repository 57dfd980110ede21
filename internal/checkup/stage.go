package checkup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"funnel/internal/agent"
	"funnel/internal/forward"
	"funnel/internal/probe"
)

// stage is all that a checkup needs to be up: the servers that are the targets,
// the agent that exposes them, and a link for test ports.
type stage struct {
	options Options
	test    *agent.TestLink
	tcp     *probe.TCPServer
	udp     *net.UDPConn
	stop    context.CancelFunc
	tasks   sync.WaitGroup

	public  map[Way]string  // where to connect; "" or missing if there is nowhere
	missing map[Way]string  // why
	broken  map[Way]bool    // those that gave nothing at rest
	ports   agent.TestPorts // the newest
	refused bool            // there are none
	noUDP   bool            // the relay can't carry it
	kernel  *Kernel
	notes   []string
}

// build logs in, and has the agent expose the servers.
func build(ctx context.Context, options Options) (*stage, error) {
	s := &stage{
		options: options, stop: func() {},
		public: make(map[Way]string), missing: make(map[Way]string), broken: make(map[Way]bool),
	}
	err := s.build(ctx)
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) build(ctx context.Context) (err error) {
	if s.test, err = agent.DialTest(ctx, s.options.Agent); err != nil {
		return err
	}
	s.noUDP = !s.test.IsFunnelRelay()
	if info, ok := s.test.Info(); ok {
		s.kernel = &Kernel{MinRTT: info.MinRTT, SRTT: info.SRTT}
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start an echo server here: %w", err)
	}
	s.tcp = probe.ServeEach(listener)
	if s.udp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		return fmt.Errorf("start an echo server here: %w", err)
	}
	s.tasks.Go(func() { probe.EchoUDP(s.udp) })
	return s.expose(ctx)
}

// close ends everything and waits.
func (s *stage) close() {
	s.stop()
	if s.test != nil {
		s.test.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.udp != nil {
		_ = s.udp.Close()
	}
	s.tasks.Wait()
}

// expose runs an agent with two forwards whose ports the relay chooses, and
// notes them.
func (s *stage) expose(ctx context.Context) error {
	config := s.options.Agent
	udp := s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	config.Forwards = []forward.Forward{
		{Network: forward.TCP, TargetHost: "127.0.0.1", TargetPort: s.tcp.Addr().(*net.TCPAddr).AddrPort().Port()},
		{Network: forward.UDP, TargetHost: "127.0.0.1", TargetPort: udp.Port()},
	}
	reports := make(chan agent.Report, 1)
	config.Report = func(r agent.Report) {
		if r.Waits() {
			return // for what isn't up yet
		}
		select {
		case reports <- r:
		default: // a later one changes nothing here
		}
	}
	a, err := agent.New(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	s.stop = cancel
	ended := make(chan error, 1)
	s.tasks.Go(func() { ended <- a.Run(ctx) })
	select {
	case report := <-reports:
		s.take(report)
		return nil
	case err := <-ended:
		if err == nil {
			err = context.Cause(ctx)
		}
		return err
	case <-time.After(upTime):
		return errors.New("the relay hasn't answered for the forwards within " + upTime.String())
	}
}

// take notes where the forwards are reached.
func (s *stage) take(report agent.Report) {
	for i, way := range []Way{FunnelTCP, FunnelUDP} {
		status := report.Forwards[i]
		if status.Err != nil {
			s.missing[way] = status.Err.Error()
			s.note("%s isn't measured: %v", way.title(), status.Err)
			continue
		}
		s.public[way] = s.address(status.Public)
	}
}

// address is a public address with the relay's name replaced by the address we
// reached it at, so that all ways take the same path.
func (s *stage) address(public string) string {
	host, port, err := net.SplitHostPort(public)
	if err != nil {
		return public
	}
	relay, _, _ := net.SplitHostPort(s.options.Agent.Address)
	if host != relay {
		return public
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return public
	}
	return netip.AddrPortFrom(s.test.Relay(), uint16(number)).String()
}

// dial connects and says what the connection is for.
func (s *stage) dial(ctx context.Context, network, address string, begin []byte) (net.Conn, error) {
	dialer := net.Dialer{Timeout: reachTime}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if len(begin) > 0 {
		if _, err := conn.Write(begin); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}
