// Package inspect lets a program be asked how it fares while it runs. Each has a
// unix socket in its state directory, and tells whoever connects there in one JSON
// object. Nothing is asked and nothing can be changed that way.
package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Door is where a program tells how it fares. It costs a descriptor and a
// goroutine that sleeps.
type Door struct {
	path     string
	listener *net.UnixListener
	state    func() any
	closing  context.Context
	close    context.CancelFunc
	serving  sync.WaitGroup
}

// Open makes the socket of this process in directory, which is made if it isn't
// there, and removes those of programs that have ended. Only the user of this
// process, and root, may connect. State is called for each who asks, one at a
// time, and returns what encoding/json can encode. Close must be called.
func Open(directory string, state func() any) (*Door, error) {
	if directory == "" {
		return nil, errors.New("there is no state directory")
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	path, err := free(directory)
	if err != nil {
		return nil, err
	}
	// Whoever looks for sockets finds one that is listened on, or takes it for
	// what a dead program left.
	unready := filepath.Join(directory, fmt.Sprintf(".%d.sock", os.Getpid()))
	_ = os.Remove(unready) // fails unless a process of this number died half-way
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: unready, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // it has another name by then
	if err = os.Chmod(unready, 0o600); err == nil {
		err = os.Rename(unready, path)
	}
	if err != nil {
		_ = listener.Close()
		_ = os.Remove(unready)
		return nil, err
	}
	d := &Door{path: path, listener: listener, state: state}
	d.closing, d.close = context.WithCancel(context.Background())
	d.serving.Go(d.serve)
	return d, nil
}

// free is a path for the socket of this process. A number that is in use twice
// is told apart by a second one.
func free(directory string) (string, error) {
	taken := make(map[string]bool)
	paths, err := sockets(directory)
	if err != nil {
		return "", err
	}
	for _, path := range paths {
		conn, err := dial(context.Background(), path)
		if err == nil {
			_ = conn.Close() // it is alive, which is all there is to know
		}
		if !gone(path, err) {
			taken[path] = true
		}
	}
	path := filepath.Join(directory, fmt.Sprintf("%s%d%s", prefix, os.Getpid(), suffix))
	for twin := 2; taken[path] && twin <= maxTwins; twin++ {
		path = filepath.Join(directory, fmt.Sprintf("%s%d-%d%s", prefix, os.Getpid(), twin, suffix))
	}
	if taken[path] {
		return "", fmt.Errorf("%d programs of this number are there already", maxTwins)
	}
	return path, nil
}

// Close removes the socket, and waits until nobody is told any more.
func (d *Door) Close() {
	d.close()
	_ = os.Remove(d.path) // fails only if somebody else has
	_ = d.listener.Close()
	d.serving.Wait()
}

// serve tells one after the other. It ends with Close.
func (d *Door) serve() {
	for {
		conn, err := d.listener.AcceptUnix()
		if err == nil {
			d.tell(conn)
			continue
		}
		select {
		case <-d.closing.Done():
			return
		case <-time.After(acceptPause):
		}
	}
}

// tell answers one who asks. Errors mean that he is gone, or doesn't read.
func (d *Door) tell(conn *net.UnixConn) {
	defer conn.Close()
	stop := context.AfterFunc(d.closing, func() { conn.Close() })
	defer stop()
	if conn.SetDeadline(time.Now().Add(tellTime)) == nil {
		_ = json.NewEncoder(conn).Encode(d.state())
	}
}
