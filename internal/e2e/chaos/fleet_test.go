//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/agent"
	"funnel/internal/forward"
	"funnel/internal/instance"
	"funnel/internal/keys"
	"funnel/internal/trust"
)

// fleetAgents in the environment has the test binary be many agents: in a host
// of their own, where a goroutine of the test can't live.
const fleetAgents = "FUNNEL_CHAOS_FLEET"

// fleet is what it is told.
type fleet struct {
	Size        int
	Relay       string // its address
	Fingerprint string
	Identity    string // the file
	Directory   string // of their states
}

// startFleet starts many agents, each with a public port of its own that leads
// to the echo server.
func (w *world) startFleet(size int) {
	w.t.Helper()
	f := fleet{Size: size, Relay: w.relayAddress(), Fingerprint: w.fingerprint(), Identity: w.identity(), Directory: w.t.TempDir()}
	text, err := json.Marshal(f)
	require.NoError(w.t, err)
	self, err := os.Executable()
	require.NoError(w.t, err)
	start(w.t, w.three.Home, []string{fleetAgents + "=" + string(text)}, self)
}

// beFleet runs the agents until the process is killed.
func beFleet() {
	var f fleet
	err := json.Unmarshal([]byte(os.Getenv(fleetAgents)), &f)
	if err == nil {
		err = f.run()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (f *fleet) run() error {
	key, err := keys.Load(context.Background(), f.Identity, nil)
	if err != nil {
		return err
	}
	verifier, err := trust.New(trust.Options{Pinned: []string{f.Fingerprint}})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	errs := make([]error, f.Size)
	var agents sync.WaitGroup
	for i := range f.Size {
		forwards, err := forward.Parse(forward.TCP, fmt.Sprintf("%d:%s", fleetPort+i, localhost(echoPort)))
		if err != nil {
			return err
		}
		which, err := instance.Next(filepath.Join(f.Directory, strconv.Itoa(i)))
		if err != nil {
			return err
		}
		a, err := agent.New(agent.Config{
			Instance: which, TCPResume: time.Minute,
			Address: f.Relay, User: "funnel", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeys: verifier,
			Forwards: forwards, KeepaliveInterval: 5 * time.Second, KeepaliveCount: 3, Name: fmt.Sprint("agent ", i), Log: log,
		})
		if err != nil {
			return err
		}
		agents.Go(func() { errs[i] = a.Run(context.Background()) })
	}
	agents.Wait()
	return fmt.Errorf("all agents have ended: %w", errs[0])
}
