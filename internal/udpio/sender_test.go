package udpio

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// drain receives whatever comes to c, in a goroutine, until it has n datagrams.
func drain(t *testing.T, c *Conn, n int) <-chan []string {
	result := make(chan []string, 1)
	go func() {
		var all []string
		for len(all) < n {
			if err := c.Receive(func(messages []Message) {
				for _, m := range messages {
					all = append(all, string(m.Data))
				}
			}); err != nil {
				t.Error(err)
				break
			}
		}
		result <- all
	}()
	return result
}

func TestSenderKeepsTheOrderOfEachConn(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		const conns, rounds = 40, 37 // more messages than a Sender holds
		var clients []*Conn
		var results []<-chan []string
		want := make([][]string, conns)
		for range conns {
			server := listen(t, "udp4", loopback4, options)
			clients = append(clients, dial(t, server.LocalAddr(), options))
			results = append(results, drain(t, server, rounds))
		}
		s := NewSender()
		for round := range rounds {
			for i, client := range clients {
				// Runs of equal and of shorter lengths, and empty datagrams.
				payload := fmt.Sprintf("%0*d", (round/5+i)%7, round)
				if (round+i)%11 == 0 {
					payload = ""
				}
				want[i] = append(want[i], payload)
				s.Add(client, []byte(payload), netip.AddrPort{}, netip.Addr{})
			}
		}
		require.NotZero(t, s.Pending())
		sent, dropped := s.Flush()
		require.Equal(t, conns*rounds, sent)
		require.Zero(t, dropped)
		require.Zero(t, s.Pending())
		for i, result := range results {
			require.Equal(t, want[i], <-result)
		}
	})
}

func TestSenderOnOneSocketToManyClients(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp", anywhere, options)
		const clients, each = 30, 17
		var results []<-chan []string
		var addresses []netip.AddrPort
		want := make([][]string, clients)
		for i := range clients {
			network, address := "udp4", loopback4
			if i%2 == 0 {
				network, address = "udp6", loopback6
			}
			client := listen(t, network, address, options)
			addresses = append(addresses, client.LocalAddr())
			results = append(results, drain(t, client, each))
		}
		s := NewSender()
		for n := range each {
			for i, address := range addresses {
				for range 1 + (n+i)%3 { // runs to one client, of which the rest is cut below
					if len(want[i]) < each {
						payload := fmt.Sprintf("%d to %d", len(want[i]), i)
						want[i] = append(want[i], payload)
						local := loopback4
						if address.Addr().Is6() {
							local = loopback6
						}
						s.Add(server, []byte(payload), address, local)
					}
				}
			}
		}
		sent, dropped := s.Flush()
		require.Equal(t, clients*each, sent)
		require.Zero(t, dropped)
		for i, result := range results {
			require.Equal(t, want[i], <-result)
		}
	})
}

func TestSenderSkipsOnlyWhatIsRefused(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp4", loopback4, options)
		public := listen(t, "udp4", anywhere, options)
		tooLong := make([]byte, MaxDatagram+1)
		s := NewSender()
		add := func(data []byte, remote netip.AddrPort) { s.Add(public, data, remote, loopback4) }
		add([]byte("1"), server.LocalAddr())
		add(tooLong, server.LocalAddr())
		add([]byte("2"), server.LocalAddr())
		add([]byte("nowhere"), netip.AddrPort{})
		add([]byte("other family"), netip.AddrPortFrom(loopback6, server.LocalAddr().Port()))
		add([]byte("3"), server.LocalAddr())
		add(tooLong, server.LocalAddr())
		sent, dropped := s.Flush()
		require.Equal(t, 3, sent)
		require.Equal(t, 4, dropped)
		for i, got := range receive(t, server, 3) {
			require.Equal(t, fmt.Sprint(i+1), got.data)
		}
		sent, dropped = s.Flush()
		require.Zero(t, sent+dropped, "the counts are since the last Flush")
	})
}

func TestSenderNeverWaits(t *testing.T) {
	// Nobody reads; the smallest queues fill at once.
	options := Options{ReceiveBuffer: 1, SendBuffer: 1}
	server := listen(t, "udp4", loopback4, options)
	client := dial(t, server.LocalAddr(), options)
	s := NewSender()
	payload := bytes.Repeat([]byte("x"), 1200)
	total := 0
	for range 20 {
		for range 100 {
			s.Add(client, payload, netip.AddrPort{}, netip.Addr{})
			total++
		}
		sent, dropped := s.Flush()
		require.Equal(t, 100, sent+dropped)
	}
	require.Equal(t, 2000, total)
}

func TestSenderReleasesWhatItSent(t *testing.T) {
	server := listen(t, "udp4", loopback4, Options{})
	s := NewSender()
	for range 3 {
		s.Add(server, []byte("x"), server.LocalAddr(), netip.Addr{})
	}
	s.Flush()
	for _, m := range s.messages[:cap(s.messages)] {
		require.Nil(t, m.data)
	}
	for _, g := range s.groups[:cap(s.groups)] {
		require.Nil(t, g.conn)
	}
}

func TestSenderTableSurvivesItsCounter(t *testing.T) {
	server := listen(t, "udp4", loopback4, Options{})
	s := NewSender()
	s.round = ^uint32(0) // the next round is 0, which marks free entries
	for range 3 {
		s.Add(server, []byte("x"), server.LocalAddr(), netip.Addr{})
		sent, _ := s.Flush()
		require.Equal(t, 1, sent)
	}
	require.EqualValues(t, 3, s.round)
	require.Len(t, receive(t, server, 3), 3)
}
