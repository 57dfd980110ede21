package lane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCopiesFollowTheLosses(t *testing.T) {
	c := newCopies(0)
	at := func(now time.Duration, seen pathCounts) int {
		c.update(seen, 0, now)
		return int(c.level.Load())
	}
	require.Equal(t, 1, at(time.Second, pathCounts{sent: 1000}))
	require.Equal(t, 1, at(2*time.Second, pathCounts{sent: 1000, again: 1}), "it may have been for nothing")
	require.Equal(t, 2, at(2*time.Second+dsackWait, pathCounts{sent: 10}))
	gone := 2*lossSpan + 3*time.Second // when the loss has left both windows
	require.Equal(t, 2, at(lossSpan+2*time.Second, pathCounts{sent: 1000}))
	require.Equal(t, 2, at(gone, pathCounts{sent: 1000}))
	require.Equal(t, 2, at(lossSpan+2*time.Second+copiesHold-1, pathCounts{sent: 1000}), "losses come in company")
	require.Equal(t, 1, at(gone+copiesHold, pathCounts{sent: 1000}))
}

func TestCopiesForgetWhatWasSentAgainForNothing(t *testing.T) {
	c := newCopies(0)
	for i := range 100 {
		now := time.Second + time.Duration(i)*dsackWait
		c.update(pathCounts{sent: 10, again: 1}, 0, now)
		c.update(pathCounts{sent: 10, again: -1}, 0, now+dsackWait/2)
		require.EqualValues(t, 1, c.level.Load())
	}
}

func TestCopiesThreeWhereMuchIsLost(t *testing.T) {
	c := newCopies(0)
	c.update(pathCounts{sent: lossSample / 2, again: 1}, 0, 1)
	c.update(pathCounts{sent: 1}, 0, 1+dsackWait)
	require.EqualValues(t, 3, c.level.Load(), "too little to tell that it is little")
	c.update(pathCounts{sent: lossSample / 2}, 0, time.Second)
	require.EqualValues(t, 2, c.level.Load())
	c.update(pathCounts{again: 10}, 0, 2*time.Second)
	require.EqualValues(t, 3, c.level.Load())
	// The span before counts, the one before that doesn't.
	c.update(pathCounts{sent: 10}, 0, lossSpan+1)
	require.EqualValues(t, 3, c.level.Load())
	c.update(pathCounts{sent: lossSample}, 0, 2*lossSpan+2)
	require.EqualValues(t, 2, c.level.Load())
}

func TestCopiesAskedForByTheUser(t *testing.T) {
	c := newCopies(2)
	require.EqualValues(t, 2, c.level.Load())
	c.update(pathCounts{sent: 1000, again: 500}, 0, 0)
	require.EqualValues(t, 2, c.level.Load())
	for range 1000 {
		require.True(t, c.allow(65535, 0), "who asks gets them")
	}
}

// spent is how many datagrams of 1000 bytes get a copy at now.
func spent(c *copies, now time.Duration) int {
	n := 0
	for c.allow(1000, now) {
		n++
	}
	return n
}

func TestCopiesTakeTheirShare(t *testing.T) {
	c := newCopies(0)
	burst := int(copiesLeast * copiesBurst.Seconds() / 1000)
	require.Equal(t, burst, spent(c, time.Hour), "no more than a burst after a long rest")
	require.Zero(t, spent(c, time.Hour))
	require.InDelta(t, copiesLeast/10/1000, spent(c, time.Hour+100*time.Millisecond), 1)

	c.update(pathCounts{}, 100<<20, time.Hour+time.Second)
	require.InDelta(t, copiesShare*(100<<20)*copiesBurst.Seconds()/1000, spent(c, 2*time.Hour), 1)
}

// TestCopiesTimeNeverRunsBackwards: readers on several cores take the time
// before they take the lock.
func TestCopiesTimeNeverRunsBackwards(t *testing.T) {
	c := newCopies(0)
	require.True(t, c.allow(1000, time.Hour))
	require.True(t, c.allow(1000, time.Hour-time.Minute), "what is there isn't taken back")
	spent(c, time.Hour-time.Minute)
	require.Zero(t, spent(c, time.Hour))
}
