package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"funnel/internal/access"
)

// keysCommand is what there is to do with the keys that are authorized.
type keysCommand struct {
	List   listCommand   `cmd:"" help:"List the authorized keys."`
	Revoke revokeCommand `cmd:"" help:"Take a key out: its links end within two seconds."`
}

// listCommand is the flags of keys list.
type listCommand struct{ state }

// run prints a line for each key. What keeps all of them out goes to standard
// error, so that scripts find nothing but keys on standard output.
func (c *listCommand) run(_ context.Context, streams streams) error {
	path, err := c.authorizedKeys()
	if err != nil {
		return err
	}
	defer c.warn(streams.err)
	listed, err := access.List(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(streams.err, "no key may log in: %s doesn't exist\n", path)
		return nil
	case err != nil:
		return err
	case len(listed) == 0:
		fmt.Fprintf(streams.err, "no key may log in: there is none in %s\n", path)
		return nil
	}
	table := tabwriter.NewWriter(streams.out, 0, 0, 2, ' ', 0)
	for _, l := range listed {
		name := l.Name
		if name == "" {
			name = "-"
		}
		options := l.Options
		if options == "" {
			options = "-"
		}
		if l.Problem != "" {
			options = "skipped: " + l.Problem
		}
		fingerprint := l.Fingerprint
		if fingerprint == "" {
			fingerprint = fmt.Sprintf("line %d", l.Line)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", fingerprint, name, options)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := access.CheckFile(path); err != nil {
		fmt.Fprintf(streams.err, "funnel-relay: warning: no key can log in: %v\n", err)
	}
	return nil
}

// revokeCommand is the flags of keys revoke.
type revokeCommand struct {
	state
	RevokedKeys string   `name:"revoked-keys" placeholder:"FILE" group:"Files" help:"Add the key to this file of revoked keys, too, so that no certificate of it logs in. It must be given as a key, not by its name."`
	Key         []string `arg:"" name:"key" help:"Which one: its fingerprint, its name, the public key itself, a .pub file, or - to read it from standard input."`
}

// Help is shown below the flags.
func (*revokeCommand) Help() string {
	return `Links of the key end within two seconds, with all that goes through them.`
}

// run takes the key out.
func (c *revokeCommand) run(_ context.Context, streams streams) error {
	which, err := c.which(streams.in)
	if err != nil {
		return err
	}
	path, err := c.authorizedKeys()
	if err != nil {
		return err
	}
	defer c.warn(streams.err)
	if c.RevokedKeys != "" {
		key, comment, err := access.ParseKey(which)
		if err != nil {
			return &usageError{fmt.Errorf("--revoked-keys: %w", err)}
		}
		if err := access.AppendRevoked(c.RevokedKeys, key, comment); err != nil {
			return err
		}
		fmt.Fprintf(streams.out, "%s may not log in any more; it is in %s\n", describeKey(key, comment), c.RevokedKeys)
	}
	removed, err := access.Remove(path, which)
	if errors.Is(err, access.ErrNotListed) && c.RevokedKeys != "" {
		return nil
	}
	for _, l := range removed {
		fmt.Fprintf(streams.out, "%s (%s) may not log in any more; it was in line %d of %s\n", l.Fingerprint, l.Name, l.Line, path)
	}
	return err
}

// which is the key, fingerprint or name that the arguments mean.
func (c *revokeCommand) which(stdin io.Reader) (string, error) {
	if len(c.Key) == 1 && c.Key[0] != "-" && !strings.HasSuffix(c.Key[0], ".pub") {
		return c.Key[0], nil // a fingerprint or a name is no file
	}
	return (&authorizeCommand{Key: c.Key}).keyText(stdin)
}
