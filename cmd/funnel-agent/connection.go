package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"funnel/cmd/internal/cmdline"
	"funnel/internal/agent"
	"funnel/internal/keys"
	"funnel/internal/obs"
	"funnel/internal/trust"
)

// connectionFlags are what all commands that go to a relay have in common.
type connectionFlags struct {
	relayArgument
	identityFlags
	keepaliveFlags
	tuningFlags
	logFlags
}

// with resolves the relay, opens the identities, and calls use with what they
// make of an agent's configuration. An error that says that the relay takes none
// of the keys comes back with what to do about it.
func (c *connectionFlags) with(ctx context.Context, stderr io.Writer, use func(agent.Config) error) error {
	log, err := obs.NewLogger(stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	relay, err := c.relay(log)
	if err != nil {
		return err
	}
	prompt := keys.NewTerminal()
	verifier, err := trust.New(trust.Options{
		Files:     relay.knownHosts,
		AcceptNew: c.AcceptNew,
		Pinned:    c.HostKey,
		Prompt:    prompt,
		Log:       log,
	})
	if err != nil {
		return fmt.Errorf("--host-key: %w", err)
	}
	identities, err := keys.Open(ctx, c.keyOptions(relay, prompt, log))
	if err != nil {
		return fmt.Errorf("open identities: %w", err)
	}
	defer identities.Close()
	if line, created := identities.Own(); created {
		fmt.Fprintf(stderr, "This agent now has a key of its own. To let it in, run on the relay:\n\n%s\n", authorizeCommand(line))
	}
	name, err := os.Hostname()
	if err != nil {
		name = "" // it only helps to read the relay's log
	}
	err = use(agent.Config{
		Address:           relay.address,
		User:              relay.user,
		Auth:              identities.AuthMethods(),
		HostKeys:          verifier,
		KeepaliveInterval: c.KeepaliveInterval,
		KeepaliveCount:    c.KeepaliveCount,
		Lanes:             c.Lanes,
		Copies:            int(c.Copies),
		MaxDelay:          c.MaxDelay,
		BulkRate:          c.BulkRate,
		Name:              name,
		Version:           cmdline.Version(version),
		Log:               log,
	})
	if errors.Is(err, agent.ErrAuth) {
		return &hintedError{err, hintForKeys(identities)}
	}
	return err
}

// hintedError is an error and what to do about it, in several lines.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

func (c *connectionFlags) keyOptions(relay relay, prompt keys.Prompt, log *slog.Logger) keys.Options {
	return keys.Options{
		Files:       c.Identity,
		ConfigFiles: relay.identities,
		StateDir:    c.stateDir(log),
		AgentSocket: keys.AgentSocket(),
		Prompt:      prompt,
		Log:         log,
	}
}

// stateDir is where the agent keeps its files; empty if there is no such place.
func (c *connectionFlags) stateDir(log *slog.Logger) string {
	if c.StateDir != "" {
		return c.StateDir
	}
	directory, err := keys.StateDir("funnel-agent")
	if err != nil {
		log.Debug("no state directory", "error", err) // who needs one says so
	}
	return directory
}

// hintForKeys tells which keys the relay didn't take and what to do there.
func hintForKeys(identities *keys.Identities) string {
	var hint strings.Builder
	if offered := identities.Offered(); len(offered) > 0 {
		fmt.Fprintf(&hint, "Offered were:\n\n  %s\n\n", strings.Join(offered, "\n  "))
	}
	line, created := identities.Own()
	if created { // just now, and told then
		hint.WriteString("To let this agent in, run on the relay what stands above.\n")
		return hint.String()
	}
	line = cmp.Or(line, identities.Only(), "the line in the .pub file of one of them")
	fmt.Fprintf(&hint, "To let this agent in, run on the relay:\n\n%s", authorizeCommand(line))
	return hint.String()
}

// authorizeCommand is what to type on the relay. A comment in the line may hold
// any character, so it is quoted for a POSIX shell.
func authorizeCommand(line string) string {
	return "  funnel-relay authorize '" + strings.ReplaceAll(line, "'", `'\''`) + "'\n"
}
