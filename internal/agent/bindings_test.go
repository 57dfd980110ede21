package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
)

// The relay may open a channel for a port before our side has read which port
// it chose.
func TestFindWaitsForTheAnswerUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBindings()
		f := parse(t, forward.TCP, "0:127.0.0.1:80")[0]
		asked, answer := make(chan struct{}), make(chan uint16)
		go func() {
			_, _ = b.add(0, f, func() (uint16, error) {
				close(asked)
				return <-answer, nil
			})
		}()
		<-asked
		found := make(chan *binding)
		go func() {
			got, _ := b.find("", 40000)
			found <- got
		}()
		select {
		case answer <- 40000:
		case <-found:
			t.Fatal("find didn't wait")
		}
		require.Equal(t, f, (<-found).forward)
	})
}

func TestFindKnowsWhatWasSent(t *testing.T) {
	b := newBindings()
	add := func(spec string, port uint16) {
		f := parse(t, forward.TCP, spec)[0]
		_, err := b.add(0, f, func() (uint16, error) { return port, nil })
		require.NoError(t, err)
	}
	add("25565", 25565)
	add("localhost:0:10.0.0.1:80", 40000)
	_, err := b.add(0, parse(t, forward.TCP, "443:10.0.0.1:80")[0], func() (uint16, error) {
		return 0, errors.New("refused")
	})
	require.Error(t, err)

	found, err := b.find("localhost", 40000)
	require.NoError(t, err)
	require.Equal(t, "10.0.0.1:80", found.forward.Target())
	for _, wrong := range []listenKey{{"", 40000}, {"localhost", 25565}, {"127.0.0.1", 40000}, {"", 443}, {"", 25565 + 65536}} {
		_, err := b.find(wrong.host, wrong.port)
		require.Error(t, err, "%v", wrong)
	}
}

func TestDialIsBounded(t *testing.T) {
	b := newBindings()
	f := parse(t, forward.TCP, "80:127.0.0.1:"+target(t, echo))[0]
	_, err := b.add(0, f, func() (uint16, error) { return 80, nil })
	require.NoError(t, err)
	found, err := b.find("", 80)
	require.NoError(t, err)
	for range maxDials {
		found.dials <- struct{}{}
	}
	_, err = found.dial(context.Background())
	require.ErrorIs(t, err, errBusy)
	<-found.dials
	for range 3 { // the slot comes back each time
		conn, err := found.dial(context.Background())
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"port 25565 is taken":     "port 25565 is taken",
		"red \x1b[31malert\a":     "red [31malert",
		" two\r\nlines ":          "two lines",
		"half a \xc3 character":   "half a character",
		strings.Repeat("x", 1000): strings.Repeat("x", maxReason) + "...",
		"":                        "",
	} {
		require.Equal(t, want, printable(text))
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"": false, "0.0.0.0": false, "::": false, "192.0.2.1": false, "example.org": false,
	} {
		require.Equal(t, want, isLoopback(host), host)
	}
}

// The relay may take a port away before our side has read that it was bound. It
// may take so many that whoever waited here would keep the answer from coming.
func TestRemoveDoesNotWaitForTheAnswerUnderWay(t *testing.T) {
	b := newBindings()
	f := parse(t, forward.TCP, "0:127.0.0.1:80")[0]
	port, err := b.add(5, f, func() (uint16, error) {
		for port := range uint32(2 * maxEarly) {
			b.remove("elsewhere", port)
		}
		return 1, nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, port)
	require.Empty(t, b.takeLost())
	_, err = b.find("", 1)
	require.NoError(t, err)

	_, err = b.add(6, f, func() (uint16, error) {
		b.remove("", 40000)
		return 40000, nil
	})
	require.NoError(t, err)
	<-b.some
	require.Equal(t, []int{6}, b.takeLost())
	_, err = b.find("", 40000)
	require.Error(t, err)

	b.remove("", 1)
	<-b.some
	require.Equal(t, []int{5}, b.takeLost())
}
