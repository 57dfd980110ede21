//go:build linux

package e2e

import (
	"fmt"
	"net"
)

// runEchoes is a role: a TCP and a UDP server on one port, which it prints. All
// comes back as it is, but that to a datagram that begins with a question mark
// the address is added that it came from: so a player knows which flow his is to
// the server.
func runEchoes([]string) error {
	listener, udp, err := listenBoth()
	if err != nil {
		return err
	}
	_ = udp.SetReadBuffer(8 << 20) // what the system gives
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go echoPlainly(conn)
		}
	}()
	go echoWithAddress(udp)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	untilTold()
	return nil
}

// listenBoth opens a TCP and a UDP port of one number, which a flow of somebody's
// may have.
func listenBoth() (listener net.Listener, udp *net.UDPConn, err error) {
	for range 100 {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(listener.Addr().(*net.TCPAddr).AddrPort()))
		if err == nil {
			return listener, udp, nil
		}
		listener.Close()
	}
	return nil, nil, err
}

// echoPlainly is echoTCP with a buffer that ten thousand may have, and without
// the pipe that the kernel would copy through.
func echoPlainly(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func echoWithAddress(conn *net.UDPConn) {
	buffer := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		answer := buffer[:n]
		if n > 0 && answer[0] == '?' {
			answer = append(append(answer[:n:n], '|'), from.String()...)
		}
		_, _ = conn.WriteToUDPAddrPort(answer, from)
	}
}
