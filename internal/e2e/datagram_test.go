//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgramsCarryEverySizeOfDatagram(t *testing.T) {
	r := startRelay(t)
	target := udpEcho(t).String()
	a := r.startAgent(t, "--udp", "0:"+target)
	conn := dialUDP(t, a.public("udp", target))
	for _, size := range []int{65507, 0, 1, 1200} {
		payload := bytes.Repeat([]byte{byte(size)}, size)
		exchange(t, conn, payload)
	}
}

func TestProgramsKeepClientsApart(t *testing.T) {
	r := startRelay(t)
	target := udpEcho(t).String()
	public := r.startAgent(t, "--udp", "0:"+target).public("udp", target)
	const clients, rounds = 500, 4
	var all sync.WaitGroup
	failed := make(chan error, clients)
	for i := range clients {
		conn := dialUDP(t, public)
		all.Go(func() {
			for round := range rounds {
				if err := askOnce(conn, fmt.Sprintf("client %d round %d", i, round), fmt.Sprintf("client %d ", i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
}

// askOnce sends text until it comes back, and wants nothing to come that
// doesn't begin with own.
func askOnce(conn net.Conn, text, own string) error {
	b := make([]byte, 2048)
	for range 40 {
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		for {
			n, err := conn.Read(b)
			if err != nil {
				break
			}
			if !bytes.HasPrefix(b[:n], []byte(own)) {
				return fmt.Errorf("%q got %q", own, b[:n])
			}
			if string(b[:n]) == text {
				return nil
			}
		}
	}
	return fmt.Errorf("no reply to %q", text)
}

func TestProgramsReplyFromTheAddressSpokenTo(t *testing.T) {
	r := startRelay(t)
	target := udpEcho(t).String()
	public := netip.MustParseAddrPort(r.startAgent(t, "--udp", "0:"+target).public("udp", target))
	client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer client.Close()
	b := make([]byte, 64)
	for _, host := range []string{"127.0.0.2", "127.0.0.1", "127.0.0.3"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), public.Port())
		require.Eventually(t, func() bool {
			_, err := client.WriteToUDPAddrPort([]byte(host), to)
			require.NoError(t, err)
			require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Second)))
			for {
				n, from, err := client.ReadFromUDPAddrPort(b)
				if err != nil {
					return false
				}
				require.Equal(t, string(b[:n]), from.Addr().String())
				if from == to {
					return true
				}
			}
		}, patience, time.Millisecond)
	}
}

func TestProgramsSurviveAServerThatIsDown(t *testing.T) {
	r := startRelay(t)
	target := "127.0.0.1:" + freePort(t)
	conn := dialUDP(t, r.startAgent(t, "--udp", "0:"+target).public("udp", target))
	address := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(target))
	for range 2 { // down, up, down, up
		for range 20 {
			_, err := conn.Write([]byte("is anybody there"))
			require.NoError(t, err)
			time.Sleep(10 * time.Millisecond) // for the ICMP message to come back
		}
		server, err := net.ListenUDP("udp", address)
		require.NoError(t, err)
		var task sync.WaitGroup
		task.Go(func() {
			b := make([]byte, 2048)
			for {
				n, from, err := server.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				_, _ = server.WriteToUDPAddrPort(b[:n], from)
			}
		})
		err = askOnce(conn, "now", "")
		server.Close()
		task.Wait()
		require.NoError(t, err)
	}
}

func TestProgramsKeepTheOrder(t *testing.T) {
	r := startRelay(t, "--copies", "1")
	target := udpEcho(t).String()
	conn := dialUDP(t, r.startAgent(t, "--lanes", "1", "--copies", "1", "--udp", "0:"+target).public("udp", target))
	exchange(t, conn, []byte("first"))
	const batch = 50 // few enough to be in every queue at once
	b := make([]byte, 64)
	var last, received uint32
	// A busy machine may be late with much of it, which is dropped then.
	for next, begun := uint32(1), time.Now(); next <= 2000 || received <= 1000 && time.Since(begun) < patience; {
		for range batch {
			_, err := conn.Write(binary.BigEndian.AppendUint32(nil, next))
			require.NoError(t, err)
			next++
		}
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		for range batch {
			n, err := conn.Read(b)
			if err != nil {
				break
			}
			if n != 4 {
				continue // of the exchange
			}
			number := binary.BigEndian.Uint32(b)
			require.Greater(t, number, last)
			last = number
			received++
		}
	}
	require.Greater(t, received, uint32(1000))
}
