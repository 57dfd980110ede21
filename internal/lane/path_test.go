package lane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/tcpio"
)

// answer is a healthy path of 20 ms.
func answer(acked uint64) tcpio.Info {
	return tcpio.Info{
		SRTT: 20 * time.Millisecond, RTTVar: 5 * time.Millisecond, MinRTT: 20 * time.Millisecond,
		BytesAcked: acked, DeliveryRate: 10 << 20,
	}
}

// late is when an acknowledgement on that path is late.
const late = 20*time.Millisecond + 4*5*time.Millisecond + stallSlack

func TestPathStandsStillWhenAnAcknowledgementIsLate(t *testing.T) {
	var p path
	p.judge(0, answer(0), 1000)
	p.judge(late, answer(0), 5000)
	require.False(t, p.troubled.Load())
	p.judge(late+1, answer(0), 5000)
	require.True(t, p.troubled.Load())
	// The first write is acknowledged; the second was made much later.
	p.judge(late+2, answer(1000), 4000)
	require.False(t, p.troubled.Load())
	p.judge(2*late+1, answer(1000), 4000)
	require.True(t, p.troubled.Load())
	p.judge(2*late+2, answer(5000), 0)
	require.False(t, p.troubled.Load())
	require.Equal(t, 2, p.take().stalls)
}

func TestPathAtRestIsNoStall(t *testing.T) {
	var p path
	p.judge(0, answer(1000), 0)
	p.judge(time.Hour, answer(1000), 0)
	require.False(t, p.troubled.Load())
	p.judge(time.Hour+1, answer(1000), 10)
	require.False(t, p.troubled.Load())
}

func TestPathWatchesABoundedNumberOfWrites(t *testing.T) {
	var p path
	for i := range 10 * maxMarks {
		p.judge(time.Duration(i)*time.Millisecond, answer(0), 100*(i+1))
	}
	require.Len(t, p.marks, maxMarks)
	require.Equal(t, mark{end: 1000 * maxMarks, at: (10*maxMarks - 1) * time.Millisecond}, p.marks[maxMarks-1])
}

func TestPathIsInTroubleWhenTCPSaysSo(t *testing.T) {
	for state, troubled := range map[tcpio.CongestionState]bool{
		tcpio.CongestionOpen: false, tcpio.CongestionCWR: false,
		tcpio.CongestionDisorder: true, tcpio.CongestionRecovery: true, tcpio.CongestionLoss: true,
	} {
		var p path
		info := answer(0)
		info.Congestion = state
		p.judge(0, info, 0)
		require.Equal(t, troubled, p.troubled.Load(), state.String())
	}
}

func TestPathCountsLossesSinceItBegan(t *testing.T) {
	var p path
	info := answer(0)
	info.DataSegsOut, info.TotalRetrans = 1000, 50 // of the login
	p.judge(0, info, 0)
	require.Zero(t, p.take())
	info.DataSegsOut, info.TotalRetrans = 1100, 53
	p.judge(1, info, 0)
	info.DataSegsOut, info.TotalRetrans, info.DSACKDups = 1200, 55, 2 // sent again for nothing
	p.judge(2, info, 0)
	require.Equal(t, pathCounts{sent: 200, again: 3}, p.take())
	require.Zero(t, p.take())
	info.DSACKDups = 4 // of what an earlier look counted
	p.judge(3, info, 0)
	require.Equal(t, pathCounts{again: -2}, p.take(), "sent again for nothing before")
}

func TestPathCountersWrap(t *testing.T) {
	var p path
	info := answer(0)
	info.DataSegsOut, info.TotalRetrans = 1<<32-10, 1<<32-1
	p.judge(0, info, 0)
	info.DataSegsOut, info.TotalRetrans = 10, 1
	p.judge(1, info, 0)
	require.Equal(t, pathCounts{sent: 20, again: 2}, p.take())
}

func TestHeldLimit(t *testing.T) {
	info := answer(0)
	product := float64(10<<20) * 0.020
	require.Equal(t, int(heldGain*product), heldLimit(info))
	info.DeliveryRate = 0
	require.Equal(t, heldLeast, heldLimit(info))
	info.DeliveryRate = 1 << 40
	require.Equal(t, heldMost, heldLimit(info))
}

func TestPathThatNobodyTellsAboutIsOpen(t *testing.T) {
	var p path // no socket to ask
	require.True(t, p.open(time.Second))
	p.look(time.Second)
	_, known := p.last()
	require.False(t, known)
	require.False(t, p.troubled.Load())
}
