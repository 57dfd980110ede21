package agent

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/forward"
)

// slowly writes data in pieces, so that it takes some time, and ends it.
func slowly(conn *net.TCPConn, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), 64<<10)
		if _, err := conn.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		time.Sleep(5 * time.Millisecond)
	}
	return conn.CloseWrite()
}

func TestConnectionsGoOnThroughCutsAndFreezes(t *testing.T) {
	relay := newRealRelay(t).start()
	line := newLine(t, relay.address)
	const size = 16 << 20
	toTarget, toClient := make([]byte, size), make([]byte, size)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(toTarget)
	_, _ = random.Read(toClient)
	heard := make(chan [sha256.Size]byte, 1)
	bulk := target(t, func(conn *net.TCPConn) {
		var sending sync.WaitGroup
		sending.Go(func() { _ = slowly(conn, toClient) })
		data, _ := io.ReadAll(conn)
		sending.Wait()
		heard <- sha256.Sum256(data)
	})
	agent := run(t, relay.config(line.address, 1, "0:127.0.0.1:"+bulk, "0:127.0.0.1:"+target(t, echo)))
	report := agent.report()
	idle, public := dialPublic(t, report.Forwards[1].Public), report.Forwards[0].Public
	exchange(t, idle, "before")

	var transfers sync.WaitGroup
	conn := dialPublic(t, public)
	transfers.Go(func() {
		if err := slowly(conn, toTarget); err != nil {
			t.Error(err)
		}
	})
	var got [sha256.Size]byte
	transfers.Go(func() {
		data, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		got = sha256.Sum256(data)
	})
	for _, disturb := range []func(){line.cut, line.hiccup, line.cut, line.cut, line.hiccup} {
		require.Eventually(t, line.used, patience, time.Millisecond)
		time.Sleep(200 * time.Millisecond)
		disturb()
	}
	transfers.Wait()
	require.Equal(t, sha256.Sum256(toClient), got)
	require.Equal(t, sha256.Sum256(toTarget), <-heard)
	exchange(t, idle, "after")
	require.NoError(t, idle.CloseWrite())
	rest, err := io.ReadAll(idle)
	require.NoError(t, err)
	require.Empty(t, rest)
	agent.stop()
}

// A line that is frozen for good is left for another.
func TestALinkThatIsFrozenIsReplaced(t *testing.T) {
	relay := newRealRelay(t).start()
	line := newLine(t, relay.address)
	agent := run(t, relay.config(line.address, 1, "0:127.0.0.1:"+target(t, echo)))
	public := agent.report().Forwards[0].Public
	conn := dialPublic(t, public)
	exchange(t, conn, "before")
	line.freeze()
	meanwhile := dialPublic(t, public)
	_, err := io.WriteString(meanwhile, "hello")
	require.NoError(t, err)
	_, err = io.WriteString(conn, "through")
	require.NoError(t, err)
	time.Sleep(2500 * time.Millisecond) // longer than the agent's patience
	line.cut()
	line.thaw()
	b := make([]byte, 7)
	_, err = io.ReadFull(conn, b)
	require.NoError(t, err)
	require.Equal(t, "through", string(b))
	_, err = io.ReadFull(meanwhile, b[:5])
	require.NoError(t, err)
	require.Equal(t, "hello", string(b[:5]))
	agent.stop()
}

func TestWithoutResumeConnectionsEndWithTheLinkAndPortsDoNot(t *testing.T) {
	relay := newRealRelay(t).start()
	line := newLine(t, relay.address)
	config := relay.config(line.address, 1, "0:127.0.0.1:"+target(t, echo))
	config.TCPResume = 0
	agent := run(t, config)
	public := agent.report().Forwards[0].Public
	conn := dialPublic(t, public)
	exchange(t, conn, "before")
	line.cut()
	requireReset(t, conn)
	exchange(t, dialPublic(t, public), "after")
	require.Equal(t, UpAgain, agent.report().Event)
	agent.stop()
	requireClosed(t, public) // the agent has said goodbye
}

func TestAnAgentThatIsStoppedLeaves(t *testing.T) {
	relay := newRealRelay(t).start()
	received := make(chan error, 1)
	agent := run(t, relay.config(relay.address, 1, "0:127.0.0.1:"+target(t, func(conn *net.TCPConn) {
		_, err := io.Copy(conn, conn)
		received <- err
	})))
	public := agent.report().Forwards[0].Public
	conn := dialPublic(t, public)
	exchange(t, conn, "before")
	agent.stop()
	require.Error(t, <-received)
	requireReset(t, conn)
	requireClosed(t, public)
}

// The ports it had would take clients that nobody serves.
func TestAnAgentThatGivesUpLeaves(t *testing.T) {
	relay := newRealRelay(t).start()
	good, taken := freePort(t), freePort(t)
	squatter, err := net.Listen("tcp", ":"+taken)
	require.NoError(t, err)
	defer squatter.Close()
	config := relay.config(relay.address, 1, good+":127.0.0.1:"+target(t, echo), taken+":127.0.0.1:9")
	config.ExitOnForwardFailure = true
	require.ErrorIs(t, run(t, config).end(), ErrForward)
	requireClosed(t, "127.0.0.1:"+good)
}

// The relay has lost what it knew: both ends of each connection are told.
func TestConnectionsEndWhenTheRelayIsStartedAgain(t *testing.T) {
	relay := newRealRelay(t).start()
	received := make(chan error, 1)
	agent := run(t, relay.config(relay.address, 1, "0:127.0.0.1:"+target(t, func(conn *net.TCPConn) {
		_, err := io.Copy(conn, conn)
		select {
		case received <- err:
		default:
		}
	})))
	public := agent.report().Forwards[0].Public
	conn := dialPublic(t, public)
	exchange(t, conn, "before")
	relay.stop()
	requireReset(t, conn)
	relay.start()
	require.Error(t, <-received, "the target's end was reset")
	require.Equal(t, public, agent.report().Forwards[0].Public)
	exchange(t, dialPublic(t, public), "after")
	agent.stop()
}

// An agent is killed, so that it can't say goodbye, and started again.
func TestAnAgentStartedAgainHasItsPortsAtOnce(t *testing.T) {
	relay := newRealRelay(t).start()
	line := newLine(t, relay.address)
	port := target(t, echo)
	public := "127.0.0.1:" + freePort(t)
	first := run(t, relay.config(line.address, 1, public+":127.0.0.1:"+port))
	first.report()
	conn := dialPublic(t, public)
	exchange(t, conn, "before")
	line.freeze()
	first.cancel()
	waits := dialPublic(t, public)
	require.NoError(t, first.end())

	second := run(t, relay.config(relay.address, 2, public+":127.0.0.1:"+port))
	require.Equal(t, public, second.report().Forwards[0].Public)
	requireReset(t, conn)
	exchange(t, waits, "who came meanwhile")
	exchange(t, dialPublic(t, public), "who comes now")
	second.stop()
}

// The first agent is frozen while a second one is started; when it wakes it gives
// up rather than fight.
func TestAFrozenAgentThatWakesGivesUp(t *testing.T) {
	relay := newRealRelay(t).start()
	line := newLine(t, relay.address)
	port := target(t, echo)
	public := "127.0.0.1:" + freePort(t)
	first := run(t, relay.config(line.address, 1, public+":127.0.0.1:"+port))
	first.report()
	line.freeze()
	second := run(t, relay.config(relay.address, 2, public+":127.0.0.1:"+port))
	second.report()
	exchange(t, dialPublic(t, public), "the second's")
	line.thaw()
	err := first.end()
	require.ErrorIs(t, err, ErrOutlived)
	require.ErrorContains(t, err, "started again later")
	exchange(t, dialPublic(t, public), "still the second's")
	second.stop()
}

// Of two ports one goes to a later start: the first agent says so, and has the
// other still. What the operator takes away is told likewise.
func TestAnAgentKnowsOfThePortsThatAreTakenFromIt(t *testing.T) {
	relay := newRealRelay(t).start()
	to := ":127.0.0.1:" + target(t, echo)
	var publics []string
	for range 3 {
		publics = append(publics, "127.0.0.1:"+freePort(t))
	}
	first := run(t, relay.config(relay.address, 1, publics[0]+to, publics[1]+to, publics[2]+to))
	for _, f := range first.report().Forwards {
		require.NoError(t, f.Err)
	}
	second := run(t, relay.config(relay.address, 2, publics[0]+to))
	second.report()
	forwards := first.report().Forwards
	require.ErrorIs(t, forwards[0].Err, ErrOutlived)
	require.NoError(t, forwards[1].Err)
	conn := dialPublic(t, publics[1])
	exchange(t, conn, "the first's")

	permitted := `permitlisten="` + publics[0] + `",permitlisten="` + publics[1] + `" `
	require.NoError(t, os.WriteFile(relay.keys, append([]byte(permitted), ssh.MarshalAuthorizedKey(relay.key.PublicKey())...), 0o600))
	forwards = first.report().Forwards
	require.NoError(t, forwards[1].Err)
	require.Error(t, forwards[2].Err)
	exchange(t, conn, "still")
	second.stop()
	first.stop()
}

// What was refused for good keeps nobody from hearing that the rest is back.
func TestAForwardThatIsForbiddenIsKnownAfterACut(t *testing.T) {
	relay := newRealRelay(t)
	good, bad := freePort(t), freePort(t)
	key := append([]byte(fmt.Sprintf("permitlisten=%q ", good)), ssh.MarshalAuthorizedKey(relay.key.PublicKey())...)
	require.NoError(t, os.WriteFile(relay.keys, key, 0o600))
	relay.start()
	line := newLine(t, relay.address)
	config := relay.config(line.address, 1, good+":127.0.0.1:"+target(t, echo))
	for _, port := range []string{good, bad} {
		config.Forwards = append(config.Forwards, parse(t, forward.UDP, port+":127.0.0.1:9")...)
	}
	agent := run(t, config)
	report := agent.report()
	require.NoError(t, report.Forwards[1].Err)
	require.Error(t, report.Forwards[2].Err)
	for range 2 {
		line.cut()
		require.Equal(t, UpAgain, agent.report().Event)
		require.Eventually(t, func() bool { return agent.agent.State().Forwards[2].Final }, patience, time.Millisecond)
	}
	agent.stop()
}
