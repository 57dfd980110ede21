package resume

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// app is what talks at one end of a connection.
type app struct {
	conn        *net.TCPConn
	sends, gets []byte
	slow        bool // to read
	resets      int  // after so many bytes; -1 for never
}

// run returns an error if what came isn't what was sent.
func (a *app) run(seed uint64) error {
	defer a.conn.Close()
	_ = a.conn.SetDeadline(time.Now().Add(patience))
	var tasks sync.WaitGroup
	var wrong error
	tasks.Go(func() { a.write(rand.New(rand.NewPCG(seed, 1))) })
	tasks.Go(func() { wrong = a.read(rand.New(rand.NewPCG(seed, 2))) })
	tasks.Wait()
	return wrong
}

func (a *app) write(random *rand.Rand) {
	sent := 0
	for sent < len(a.sends) {
		n := min(1+random.IntN(1<<random.IntN(18)), len(a.sends)-sent)
		if a.resets >= 0 && sent+n > a.resets {
			_ = a.conn.SetLinger(0)
			a.conn.Close()
			return
		}
		if _, err := a.conn.Write(a.sends[sent : sent+n]); err != nil {
			return
		}
		sent += n
		if random.IntN(8) == 0 {
			time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
		}
	}
	_ = a.conn.CloseWrite()
}

func (a *app) read(random *rand.Rand) error {
	buffer := make([]byte, 1<<16)
	got := 0
	for {
		n, err := a.conn.Read(buffer[:1+random.IntN(len(buffer))])
		if n > len(a.gets)-got || !bytes.Equal(buffer[:n], a.gets[got:got+n]) {
			return errors.New("other bytes than were sent")
		}
		got += n
		switch {
		case err == io.EOF && got < len(a.gets):
			return errors.New("an end before the last byte")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if a.slow && random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		}
	}
}
