package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"

	"funnel/internal/agent"
	"funnel/internal/inspect"
	"funnel/internal/instance"
)

// run exposes servers until ctx ends, which isn't an error.
func (c *connectCommand) run(ctx context.Context, stdout, stderr io.Writer) error {
	forwards, err := c.forwards()
	if err != nil {
		return err
	}
	// It goes on when nobody reads its reports any more, as in funnel-agent | head.
	signal.Ignore(syscall.SIGPIPE)
	flags := connectionFlags{c.relayArgument, c.identityFlags, c.keepaliveFlags, c.tuningFlags, c.logFlags}
	return flags.with(ctx, stderr, func(config agent.Config) error {
		config.Forwards = forwards
		config.ExitOnForwardFailure = c.ExitOnForwardFailure
		config.UDPIdle = c.UDPIdle
		config.MaxFlows = c.MaxFlows
		config.TCPResume = c.TCPResume
		directory := flags.stateDir(config.Log)
		if config.Instance, err = instance.Next(directory); err != nil {
			config.Log.Warn("the relay will not know this agent when it starts again, and ports stay taken for a while then", "error", err)
		}
		config.Report = func(r agent.Report) { io.WriteString(stdout, r.String()) }
		a, err := agent.New(config)
		if err != nil {
			return err
		}
		door, err := inspect.Open(directory, func() any { return a.State() })
		if err != nil {
			config.Log.Debug("funnel-agent status will not know this agent", "error", err)
			return a.Run(ctx)
		}
		defer door.Close()
		return a.Run(ctx)
	})
}
