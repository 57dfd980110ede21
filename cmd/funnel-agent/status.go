package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"funnel/internal/agent"
	"funnel/internal/inspect"
	"funnel/internal/keys"
)

// statusCommand is the flags of status.
type statusCommand struct {
	StateDir string `name:"state-dir" placeholder:"DIR" help:"The state directory of the agents that are meant. Default: the user's."`
	JSON     bool   `name:"json" help:"Print a JSON object for each agent, one a line."`
}

// Help is shown below the flags.
func (*statusCommand) Help() string {
	return `Each agent that runs with the state directory tells how it fares: whether it is
connected and since when, the last times it wasn't and why, round trips, where
each forward is reached or why it was refused, what it carries and what was lost.

A program gets the same from the agent's unix socket in that directory,
agent-PID.sock: it connects and reads one JSON object.

Exit status: 0 an agent runs, 1 none does, or any error, 80 wrong command line.`
}

func (*statusCommand) check() error { return nil }

// run asks the agents and prints what they tell.
func (c *statusCommand) run(ctx context.Context, stdout, stderr io.Writer) error {
	directory := c.StateDir
	if directory == "" {
		var err error
		if directory, err = keys.StateDir("funnel-agent"); err != nil {
			return err
		}
	}
	answers, err := inspect.Ask(ctx, directory)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; ask as root, or as the user whom the agent runs as", err)
	}
	switch {
	case len(answers) == 0 && err != nil:
		return err
	case len(answers) == 0:
		return fmt.Errorf("no agent runs with its state in %s; name another directory with --state-dir", directory)
	case err != nil:
		fmt.Fprintf(stderr, "funnel-agent: %v\n", err)
	}
	for i, answer := range answers {
		text, err := c.text(answer)
		if err != nil {
			return err
		}
		if i > 0 && !c.JSON {
			text = "\n" + text
		}
		if _, err := io.WriteString(stdout, text); err != nil {
			return err
		}
	}
	return nil
}

// text is an agent's answer as it is printed.
func (c *statusCommand) text(answer json.RawMessage) (string, error) {
	if c.JSON {
		var line bytes.Buffer
		if err := json.Compact(&line, answer); err != nil {
			return "", fmt.Errorf("read an agent's state: %w", err)
		}
		return line.String() + "\n", nil
	}
	var state agent.State
	if err := json.Unmarshal(answer, &state); err != nil {
		return "", errors.New("an agent of another version runs there; see --json")
	}
	return state.String(), nil
}
