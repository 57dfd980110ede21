package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/crypto/ssh"

	"funnel/cmd/internal/cmdline"
	"funnel/internal/access"
	"funnel/internal/keys"
	"funnel/internal/lockdown"
	"funnel/internal/obs"
	"funnel/internal/relay"
)

// run serves until ctx ends, which isn't an error.
func (c *serveCommand) run(ctx context.Context, streams streams) error {
	if err := c.check(); err != nil {
		return &usageError{err}
	}
	// It goes on when nobody reads its greeting or its log any more.
	signal.Ignore(syscall.SIGPIPE)
	log, err := obs.NewLogger(streams.err, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	policy, err := access.ParsePolicy(c.AllowPorts, c.Bind)
	if err != nil {
		return &usageError{fmt.Errorf("--allow-ports, --bind: %w", err)}
	}
	hostKeys, err := c.hostKeys(ctx)
	if err != nil {
		return err
	}
	path, err := c.authorizedKeys()
	if err != nil {
		return err
	}
	if err := c.checkFiles(log); err != nil {
		return err
	}
	authorized := access.NewKeys(path, policy, log)
	authorized.TrustAuthorities(c.UserCAKeys, c.Principals)
	authorized.Revoke(c.RevokedKeys)
	var networks *access.Networks
	if c.ClientNetworks != "" {
		if networks, err = access.NewNetworks(c.ClientNetworks, log); err != nil {
			return fmt.Errorf("--client-networks: %w", err)
		}
	}
	limits, err := c.limits()
	if err != nil {
		return &usageError{err}
	}
	listeners, err := inherited()
	if err != nil {
		return err
	}
	r, err := relay.New(relay.Config{
		Listen:            c.Listen,
		Listeners:         listeners,
		HostKeys:          hostKeys,
		Keys:              authorized,
		Networks:          networks,
		Limits:            limits,
		KeepaliveInterval: c.KeepaliveInterval,
		KeepaliveCount:    c.KeepaliveCount,
		Grace:             c.Grace,
		UDPIdle:           c.UDPIdle,
		MaxFlows:          c.MaxFlows,
		MaxDelay:          c.MaxDelay,
		BulkRate:          c.BulkRate,
		Copies:            int(c.Copies),
		Version:           cmdline.Version(version),
		Log:               log,
	})
	if err != nil {
		return fmt.Errorf("--host-key: %w", err)
	}
	manager := dialManager(log)
	defer manager.close()
	if err := c.lockDown(path, log); err != nil {
		return err
	}
	addresses, err := r.Listen()
	if err != nil {
		return explainListen(err)
	}
	greeting := greeting{addresses: addresses, hostKeys: hostKeys, ports: policy.Ports, authorizedKeys: path, authorize: c.authorizeLine()}
	count, err := authorized.Count()
	if err != nil {
		log.Error("no key can log in", "error", err)
	}
	greeting.empty = err == nil && count == 0
	greeting.print(streams.out)
	manager.tell(daemon.SdNotifyReady)
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		manager.tell(daemon.SdNotifyStopping)
	})
	err = r.Run(ctx)
	if !stop() {
		<-told
	}
	return err
}

// checkFiles finds files that are named and not there, which is a slip unless
// somebody makes them later. Without --client-networks everybody would be let in.
func (c *serveCommand) checkFiles(log *slog.Logger) error {
	missing := func(path string) bool {
		_, err := os.Stat(path)
		return path != "" && errors.Is(err, fs.ErrNotExist)
	}
	if missing(c.ClientNetworks) {
		return fmt.Errorf("--client-networks: there is no file %s, and without it everybody would be let in; make it, if only an empty one", c.ClientNetworks)
	}
	if missing(c.UserCAKeys) {
		log.Warn("no certificate can log in: the file of --user-ca-keys isn't there", "file", c.UserCAKeys)
	}
	return nil
}

// hostKeys loads the host keys, and makes the default one if it isn't there.
func (c *serveCommand) hostKeys(ctx context.Context) ([]ssh.Signer, error) {
	if len(c.HostKey) == 0 {
		directory, err := c.directory()
		if err != nil {
			return nil, err
		}
		key, _, err := keys.LoadOrCreate(filepath.Join(directory, hostKeyFile))
		if err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		return []ssh.Signer{key}, nil
	}
	var signers []ssh.Signer
	for _, path := range c.HostKey {
		// A server can't be asked for a passphrase at each start.
		key, err := keys.Load(ctx, path, nil)
		if err != nil {
			return nil, fmt.Errorf("--host-key: %w", err)
		}
		signers = append(signers, key)
	}
	return signers, nil
}

// lockDown takes from the process what it doesn't need any more.
func (c *serveCommand) lockDown(authorizedKeys string, log *slog.Logger) error {
	if c.NoLockdown {
		return nil
	}
	files := lockdown.Files{Watched: []string{authorizedKeys, c.UserCAKeys, c.RevokedKeys, c.ClientNetworks}}
	if directory, err := c.directory(); err == nil { // whoever needs one has said so
		files.State = directory
	}
	if err := lockdown.Enter(files, log); err != nil {
		return fmt.Errorf("lock down: %w; --no-lockdown does without", err)
	}
	return nil
}

// explainListen says what to do about an address that can't be listened on.
func explainListen(err error) error {
	failed, ok := errors.AsType[*relay.ListenError](err)
	if !ok {
		return err
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--listen %s: the port is in use; name another, or stop the program that has it", failed.Address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("--listen %s: the system keeps this port for root or CAP_NET_BIND_SERVICE; name one above 1023", failed.Address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--listen %s: this machine has no such address", failed.Address)
	}
	return fmt.Errorf("--listen %s: want host:port, as in :2222 or 192.0.2.7:2222: %w", failed.Address, failed.Err)
}
