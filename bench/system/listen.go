package system

import (
	"net"
	"net/netip"
)

// tryListen is an error if the TCP address is taken.
func tryListen(address netip.AddrPort) error {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	return listener.Close()
}
