package probe

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestUploadThatStandsStill: the time counts in which nothing arrived any more.
func TestUploadThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		left := make(chan struct{})
		go func() {
			defer close(left)
			var direction [1]byte
			_, _ = io.ReadFull(server, direction[:])
			b, report := make([]byte, bulkFill), [8]byte{}
			for i := range 20 {
				_, _ = io.ReadFull(server, b)
				time.Sleep(bulkReport)
				binary.BigEndian.PutUint64(report[:], uint64(i+1)*bulkFill)
				_, _ = server.Write(report[:])
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		transfer, err := Bulk(ctx, client, Upload, 0)
		require.NoError(t, err)
		<-left
		// The first report begins it, and an interval may have been in the making.
		require.Equal(t, Transfer{Bytes: 19 * bulkFill, Duration: 10*time.Second - 2*bulkReport}, transfer)
	})
}
