package probe

import (
	"errors"
	"net"
	"sync"
)

// EchoUDP sends every datagram back to where it came from, until conn is closed.
func EchoUDP(conn *net.UDPConn) {
	// Best effort: the kernel caps it at net.core.rmem_max.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	b := newBatch(conn)
	for {
		if err := b.receive(); err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error that answers an echo
		}
		b.reply()
	}
}

// TCPServer serves connections until it is closed, and then waits for them.
type TCPServer struct {
	listener net.Listener
	serve    func(net.Conn)
	done     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{} // nil when closed
}

// EchoTCP sends back every byte of every connection at once. The server owns the
// listener.
func EchoTCP(listener net.Listener) *TCPServer { return newTCPServer(listener, echo) }

func newTCPServer(listener net.Listener, serve func(net.Conn)) *TCPServer {
	s := &TCPServer{listener: listener, serve: serve, conns: make(map[net.Conn]struct{})}
	s.done.Go(s.accept)
	return s
}

// Addr is where it listens.
func (s *TCPServer) Addr() net.Addr { return s.listener.Addr() }

// Close ends the listener and all connections.
func (s *TCPServer) Close() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	s.listener.Close()
	for conn := range conns {
		conn.Close()
	}
	s.done.Wait()
}

func (s *TCPServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.done.Go(func() {
			defer conn.Close()
			s.mu.Lock()
			open := s.conns != nil
			if open {
				s.conns[conn] = struct{}{}
			}
			s.mu.Unlock()
			if !open {
				return
			}
			s.serve(conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func echo(conn net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		if _, err := conn.Write(b[:n]); err != nil {
			return
		}
	}
}
