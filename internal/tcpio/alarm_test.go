package tcpio

import (
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAlarmGoesOffOnceWhenEnoughHasMoved(t *testing.T) {
	raw, peer := tcpPair(t)
	conn := NewConn(raw)
	defer conn.Close()
	for _, alarm := range []*Alarm{conn.Alarm(), conn.Alarm()} { // the first one stays, unset
		write := func(n int) {
			_, err := conn.Write(make([]byte, n))
			require.NoError(t, err)
			_, err = io.ReadFull(peer, make([]byte, n))
			require.NoError(t, err)
		}
		read := func(n int) {
			_, err := peer.Write(make([]byte, n))
			require.NoError(t, err)
			_, err = io.ReadFull(conn, make([]byte, n))
			require.NoError(t, err)
		}
		write(1000)
		require.Empty(t, alarm.C, "it isn't set")
		alarm.Set(300)
		write(100)
		read(199)
		require.Empty(t, alarm.C)
		read(1)
		require.Len(t, alarm.C, 1)
		<-alarm.C
		write(1000)
		read(1000)
		require.Empty(t, alarm.C, "it went off before")
		alarm.Set(1)
		write(1)
		require.Len(t, alarm.C, 1)
		<-alarm.C
	}
}

func TestAlarmGoesOffOnceForManyWriters(t *testing.T) {
	raw, peer := tcpPair(t)
	conn := NewConn(raw)
	defer conn.Close()
	alarm := conn.Alarm()
	alarm.Set(4000)
	var writers, reader sync.WaitGroup
	reader.Go(func() { _, _ = io.Copy(io.Discard, peer) })
	for range 8 {
		writers.Go(func() {
			for range 100 {
				if _, err := conn.Write(make([]byte, 10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	<-alarm.C
	writers.Wait()
	require.Empty(t, alarm.C)
	require.NoError(t, conn.Close())
	reader.Wait()
}
