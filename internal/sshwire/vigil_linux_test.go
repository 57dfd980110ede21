package sshwire

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/tcpio"
)

// TestAnswerTimeGoesByTheKernel has a question answered late, as if it had been
// lost on its way, on a link whose round trip the kernel knows to be short.
func TestAnswerTimeGoesByTheKernel(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	raw, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = raw.Close() }()

	transport := tcpio.NewConn(raw)
	v := NewVigil(transport, nil, time.Minute, time.Hour)
	v.rtt = 2 * time.Second
	w := &watch{Vigil: v}
	require.Less(t, w.answerTime(), answerLeast+time.Second)
}
