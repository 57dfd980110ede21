package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"funnel/internal/agent"
	"funnel/internal/keys"
	"funnel/internal/obs"
	"funnel/internal/trust"
)

// run does what the command line asks for until ctx ends, which isn't an error.
func (c *connectCommand) run(ctx context.Context, stdout, stderr io.Writer) error {
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
	err = c.expose(ctx, relay, verifier, identities, log, stdout)
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

func (c *connectCommand) keyOptions(relay relay, prompt keys.Prompt, log *slog.Logger) keys.Options {
	options := keys.Options{
		Files:       c.Identity,
		ConfigFiles: relay.identities,
		StateDir:    c.StateDir,
		AgentSocket: keys.AgentSocket(),
		Prompt:      prompt,
		Log:         log,
	}
	if options.StateDir == "" {
		directory, err := keys.StateDir("funnel-agent")
		if err != nil {
			log.Debug("no state directory", "error", err) // keys says so if it needs one
		}
		options.StateDir = directory
	}
	return options
}

// expose runs the agent.
func (c *connectCommand) expose(ctx context.Context, relay relay, verifier *trust.Verifier, identities *keys.Identities, log *slog.Logger, stdout io.Writer) error {
	forwards, err := c.forwards()
	if err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "" // it only helps to read the relay's log
	}
	a, err := agent.New(agent.Config{
		Address:              relay.address,
		User:                 relay.user,
		Auth:                 identities.AuthMethods(),
		HostKeys:             verifier,
		Forwards:             forwards,
		KeepaliveInterval:    c.KeepaliveInterval,
		KeepaliveCount:       c.KeepaliveCount,
		ExitOnForwardFailure: c.ExitOnForwardFailure,
		UDPIdle:              c.UDPIdle,
		MaxFlows:             c.MaxFlows,
		Lanes:                c.Lanes,
		Copies:               int(c.Copies),
		MaxDelay:             c.MaxDelay,
		BulkRate:             c.BulkRate,
		Name:                 name,
		Version:              programVersion(),
		Log:                  log,
		Report:               func(r agent.Report) { io.WriteString(stdout, r.String()) },
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// hintForKeys tells which keys the relay didn't take and what to do there.
func hintForKeys(identities *keys.Identities) string {
	var hint strings.Builder
	if offered := identities.Offered(); len(offered) > 0 {
		fmt.Fprintf(&hint, "Offered were:\n\n  %s\n\n", strings.Join(offered, "\n  "))
	}
	line, _ := identities.Own()
	if line == "" {
		line = "the line in the .pub file of one of them"
	}
	fmt.Fprintf(&hint, "To let this agent in, run on the relay:\n\n%s", authorizeCommand(line))
	return hint.String()
}

// authorizeCommand is what to type on the relay. A comment in the line may hold
// any character, so it is quoted for a POSIX shell.
func authorizeCommand(line string) string {
	return "  funnel-relay authorize '" + strings.ReplaceAll(line, "'", `'\''`) + "'\n"
}
