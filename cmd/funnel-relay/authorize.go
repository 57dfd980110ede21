package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
)

// maxKeyText bounds what is read as a public key: RSA keys of 16,384 bits take
// under 3 KiB, certificates some more.
const maxKeyText = 64 << 10

// run adds the key to the authorized keys.
func (c *authorizeCommand) run(_ context.Context, streams streams) error {
	var permits []access.Permit
	for _, text := range c.Permit {
		permit, err := access.ParsePermit(text)
		if err != nil {
			return &usageError{fmt.Errorf("--permit: %w", err)}
		}
		permits = append(permits, permit)
	}
	path, err := c.authorizedKeys()
	if err != nil {
		return err
	}
	defer c.warn(streams.err)
	key, comment, err := c.key(path, streams.in)
	if err != nil {
		return err
	}
	if c.Name != "" {
		comment = c.Name
	}
	var before access.Listed
	if c.Replace {
		before, err = access.Replace(path, key, comment, permits)
	} else {
		_, _, err = access.Append(path, key, comment, permits)
	}
	if err != nil {
		return err
	}
	if err := access.CheckFile(path); err != nil {
		return fmt.Errorf("the key is in %s now, but no key in it can log in: %w", path, err)
	}
	fmt.Fprintf(streams.out, "%s may log in and expose %s; it is in %s\n",
		describeKey(key, comment), describePermits(permits), path)
	if before.Line > 0 {
		fmt.Fprintf(streams.out, "line %d says nothing else now; its options were: %s\n", before.Line, cmp.Or(before.Options, "none"))
	}
	return nil
}

// key is the key that the arguments mean, and its comment. One that is to be
// replaced may be meant by what it is called in the file at path.
func (c *authorizeCommand) key(path string, stdin io.Reader) (ssh.PublicKey, string, error) {
	called := strings.Join(c.Key, " ")
	if c.Replace && called != "-" && !strings.HasSuffix(called, ".pub") {
		if _, _, err := access.ParseKey(called); err != nil {
			return access.Lookup(path, called)
		}
	}
	text, err := c.keyText(stdin)
	if err != nil {
		return nil, "", err
	}
	return access.ParseKey(text)
}

// keyText is the text of the key that the arguments name.
func (c *authorizeCommand) keyText(stdin io.Reader) (string, error) {
	if len(c.Key) != 1 {
		return strings.Join(c.Key, " "), nil // the words of an unquoted line
	}
	argument := c.Key[0]
	if argument == "-" {
		text, err := io.ReadAll(io.LimitReader(stdin, maxKeyText))
		if err != nil {
			return "", fmt.Errorf("read key from standard input: %w", err)
		}
		if strings.TrimSpace(string(text)) == "" {
			return "", errNoKey
		}
		return string(text), nil
	}
	if strings.ContainsAny(argument, " \t\n") {
		return argument, nil
	}
	file, err := os.Open(argument)
	switch {
	case errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(argument, `/\.`):
		return argument, nil // a key cut short, more likely than a file; ParseKey says what it wants
	case err != nil:
		return "", fmt.Errorf("read public key: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyText))
	if err != nil {
		return "", fmt.Errorf("read public key: %w", err)
	}
	return string(text), nil
}

func describeKey(key ssh.PublicKey, comment string) string {
	if comment == "" {
		return ssh.FingerprintSHA256(key)
	}
	return fmt.Sprintf("%s (%s)", ssh.FingerprintSHA256(key), comment)
}

func describePermits(permits []access.Permit) string {
	if len(permits) == 0 {
		return "all ports that the relay allows"
	}
	texts := make([]string, len(permits))
	for i, permit := range permits {
		texts[i] = permit.String()
	}
	return "port " + strings.Join(texts, ", ")
}
