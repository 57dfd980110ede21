package keys

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
)

// dialAgent opens a named pipe, or a Unix socket as other agents for Windows
// offer.
func dialAgent(ctx context.Context, socket string) (io.ReadWriteCloser, error) {
	if strings.HasPrefix(socket, `\\`) {
		return os.OpenFile(socket, os.O_RDWR, 0)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", socket)
}
