package netwatch

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// groups are the messages asked for. Those about neighbours aren't among them.
const groups = unix.RTMGRP_LINK |
	unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// netlink is a source that the kernel feeds.
type netlink struct {
	file *os.File // the socket that hears of changes
	told chan hint
	done chan struct{}
	task sync.WaitGroup
}

// openNetlink subscribes to the changes of the calling thread's network
// namespace. Whoever takes snapshots must be in it, too.
func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	n := &netlink{file: os.NewFile(uintptr(fd), "netlink"), told: make(chan hint), done: make(chan struct{})}
	n.task.Go(n.listen)
	return n, nil
}

func (n *netlink) hints() <-chan hint { return n.told }

func (n *netlink) close() {
	close(n.done)
	n.file.Close()
	n.task.Wait()
}

// listen hands on hints until the source is closed or the socket fails.
func (n *netlink) listen() {
	defer close(n.told)
	h := hearing{links: make(map[uint32]link)}
	// The kernel makes such messages of 8 KiB at most (NLMSG_GOODSIZE); the
	// rest is room for links with much to say.
	buffer := make([]byte, 32<<10)
	for {
		size, err := n.receive(buffer)
		var heard hint
		switch {
		case errors.Is(err, unix.ENOBUFS), size > len(buffer):
			heard.lost = true
			clear(h.links)
		case err != nil:
			return
		case !h.matters(buffer[:size]):
			continue
		}
		select {
		case n.told <- heard:
		case <-n.done:
			return
		}
	}
}

// receive waits for a packet of the kernel's, and returns its size, which may
// be more than the buffer holds.
func (n *netlink) receive(buffer []byte) (size int, err error) {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		var from unix.Sockaddr
		var failed error
		err = conn.Read(func(fd uintptr) bool {
			size, from, failed = unix.Recvfrom(int(fd), buffer, unix.MSG_TRUNC)
			return failed != unix.EAGAIN
		})
		if err = errors.Join(err, failed); errors.Is(err, unix.EINTR) {
			continue
		}
		// Any process may send to the socket: the kernel has number 0.
		if sender, ok := from.(*unix.SockaddrNetlink); err == nil && (!ok || sender.Pid != 0) {
			continue
		}
		return size, err
	}
}

// hearing decides which messages are worth a look.
type hearing struct {
	links map[uint32]link // as last heard
}

// matters reports whether one of the messages in b may change the state.
func (h *hearing) matters(b []byte) bool {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return true
	}
	worth := false
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWLINK:
			// Wi-Fi says so for every scan.
			if index, l, ok := parseLink(&m); ok && h.links[index] != l {
				h.links[index] = l
				worth = true
			}
		case unix.RTM_DELLINK:
			if index, _, ok := parseLink(&m); ok {
				delete(h.links, index)
				worth = true
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			_, _, ok := parseAddress(&m)
			worth = worth || ok
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			_, ok := parseRoute(&m)
			worth = worth || ok
		}
	}
	return worth
}

// snapshot asks the kernel anew instead of adding up what was heard: it doesn't
// say which routes go with a link or an address, and some may be lost.
func (n *netlink) snapshot() (state, error) {
	var dumps [3][]byte
	for i, question := range []int{unix.RTM_GETLINK, unix.RTM_GETADDR, unix.RTM_GETROUTE} {
		b, err := syscall.NetlinkRIB(question, unix.AF_UNSPEC)
		if err != nil {
			return state{}, os.NewSyscallError("netlink", err)
		}
		dumps[i] = b
	}
	return parseState(dumps[0], dumps[1], dumps[2])
}

// parseState reads the answers about all links, addresses and routes.
func parseState(links, addresses, routes []byte) (state, error) {
	s := newState()
	known := make(map[uint32]link)
	used := func(index uint32) {
		if l, ok := known[index]; ok && !l.loopback {
			s.links[l.name] = l.up
		}
	}
	leads := make(map[string][]string)
	for _, dump := range [][]byte{links, addresses, routes} {
		messages, err := syscall.ParseNetlinkMessage(dump)
		if err != nil {
			return s, os.NewSyscallError("netlink", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWLINK:
				if index, l, ok := parseLink(&m); ok {
					known[index] = l
				}
			case unix.RTM_NEWADDR:
				if index, addr, ok := parseAddress(&m); ok && !known[index].loopback {
					s.addresses[address{addr, interfaceName(known, index)}] = true
					used(index)
				}
			case unix.RTM_NEWROUTE:
				if r, ok := parseRoute(&m); ok {
					leads[r.name] = append(leads[r.name], r.leads)
					used(r.link)
				}
			}
		}
	}
	for name, all := range leads {
		// Their order says nothing.
		slices.Sort(all)
		s.routes[name] = strings.Join(all, "\n")
	}
	return s, nil
}
