//go:build !linux

package udpio

// bufferScale is what the kernel's buffer sizes are multiplied by.
const bufferScale = 1

// batchSystem is what the system needs per batch: nothing.
type batchSystem struct{}

func (*batchSystem) init(*batch) {}

// senderSystem is what the system needs per Sender: nothing.
type senderSystem struct{}

func (*senderSystem) init(*Sender) {}

func newEngine(c *Conn, options Options) (engine, error) {
	return newPortableEngine(c, options)
}
