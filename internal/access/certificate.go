package access

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Names in certificates that mean something here (OpenSSH's PROTOCOL.certkeys).
const (
	optionSource     = "source-address"
	optionCommand    = "force-command"
	optionVerify     = "verify-required"
	extensionForward = "permit-port-forwarding"
	extensionNoTouch = "no-touch-required"
)

// ErrExpired says that a certificate's time is over, while its authority and
// whatever else it rests on are as good as before.
var ErrExpired = errors.New("it expired")

// certified is what a certificate grants: it is valid by itself, and an
// authority that may has signed it for who logs in.
func (k *Keys) certified(r *rules, l login, c *ssh.Certificate, now time.Time) (*Grant, error) {
	describe := func(err error) error { return fmt.Errorf("certificate %s: %w", describeCertificate(c), err) }
	if c.CertType != ssh.UserCert {
		return nil, describe(errors.New("it is a host certificate: log in with one made by ssh-keygen -s without -h"))
	}
	err := fmt.Errorf("%w: its authority %s is in neither the user CA keys nor a cert-authority line",
		ErrUnknownKey, ssh.FingerprintSHA256(c.SignatureKey))
	authority := c.SignatureKey.Marshal()
	for _, source := range []struct {
		entries []*entry
		global  bool
	}{{r.authorities.authorities[string(authority)], true}, {r.authorized.authorities[string(authority)], false}} {
		for _, e := range source.entries {
			var principals []string
			if source.global {
				principals = k.principals
			}
			refusal := e.admit(l.remote, now)
			if refusal == nil {
				refusal = e.admitPrincipals(c, l.user, principals, source.global)
			}
			if refusal == nil {
				return certificateGrant(e, l, c, now, source.global, describe)
			}
			err = refusal
		}
	}
	return nil, describe(err)
}

// certificateGrant is what an authority's line grants to who has the
// certificate: what both permit.
func certificateGrant(e *entry, l login, c *ssh.Certificate, now time.Time, global bool, describe func(error) error) (*Grant, error) {
	if err := checkCertificate(c, l.remote, now); err != nil {
		return nil, describe(err)
	}
	grant := e.grant()
	if name := cleanName(c.KeyId); name != "" {
		grant.Name = name
	}
	grant.Authority = ssh.FingerprintSHA256(c.SignatureKey)
	grant.Serial = c.Serial
	_, forwarding := c.Extensions[extensionForward]
	grant.forwarding = grant.forwarding && forwarding
	if !forwarding {
		grant.unforwarded = "this certificate has no extension permit-port-forwarding"
	}
	_, noTouch := c.Extensions[extensionNoTouch]
	grant.NoTouchRequired = noTouch && (global || grant.NoTouchRequired) // as sshd has it
	if until := certificateEnd(c); !until.IsZero() && (grant.until.IsZero() || until.Before(grant.until)) {
		grant.until = until
	}
	return grant, nil
}

// admitPrincipals is nil if a certificate is for who logs in. An authority of
// the operator's file must say for whom a certificate is; one of the authorized
// keys needn't (sshd(8), TrustedUserCAKeys and cert-authority).
func (e *entry) admitPrincipals(c *ssh.Certificate, user string, accepted []string, must bool) error {
	if e.options.principals != nil {
		accepted = e.options.principals
	}
	if len(c.ValidPrincipals) == 0 {
		if must || e.options.principals != nil {
			return errors.New("it names no principals: make it with ssh-keygen -n")
		}
		return nil
	}
	if len(accepted) == 0 {
		accepted = []string{user}
	}
	for _, principal := range accepted {
		if slices.Contains(c.ValidPrincipals, principal) {
			return nil
		}
	}
	return fmt.Errorf("its principals %s do not include %s", quoteList(c.ValidPrincipals), quoteList(accepted))
}

// checkCertificate is nil if a user certificate holds by itself: validity,
// critical options, signature.
func checkCertificate(c *ssh.Certificate, remote netip.Addr, now time.Time) error {
	unix := uint64(max(now.Unix(), 0))
	switch {
	case unix < c.ValidAfter:
		return fmt.Errorf("it is not valid before %s", certificateTime(c.ValidAfter))
	case unix >= c.ValidBefore:
		return fmt.Errorf("%w at %s", ErrExpired, certificateTime(c.ValidBefore))
	}
	for name, value := range c.CriticalOptions {
		switch name {
		case optionSource:
			if err := checkSource(value, remote); err != nil {
				return err
			}
		case optionCommand:
			// sshd would run the command instead of any other and still let
			// ssh -N forward ports. The relay can't run it, and what is
			// critical must be refused by who can't obey it.
			return errors.New("it demands force-command and the relay runs no commands: make one without, with ssh-keygen -O clear -O permit-port-forwarding")
		case optionVerify:
			return errors.New("it demands verify-required, which is not supported yet")
		default:
			return fmt.Errorf("it demands %s, which is not known here", quote(name))
		}
	}
	if err := checkStrength(c.SignatureKey); err != nil {
		return fmt.Errorf("its authority: %w", err)
	}
	if c.Signature == nil || c.Signature.Format == ssh.KeyAlgoRSA || c.Signature.Format == typeDSA {
		return errors.New("it is signed with SHA-1, which can be forged: sign it anew with ssh-keygen -t rsa-sha2-512 -s")
	}
	// Everything else has been looked at: this is about the signature.
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{optionSource},
		Clock:                    func() time.Time { return now },
	}
	principal := ""
	if len(c.ValidPrincipals) > 0 {
		principal = c.ValidPrincipals[0]
	}
	if err := checker.CheckCert(principal, c); err != nil {
		return errors.New("its signature does not verify")
	}
	return nil
}

// checkSource is nil if a list of addresses and prefixes has the remote one.
func checkSource(list string, remote netip.Addr) error {
	remote = plain(remote)
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil {
				return fmt.Errorf("its source-address %s is not a list of addresses", quote(list))
			}
			prefix = single(addr)
		}
		if remote.IsValid() && prefix.Contains(remote) {
			return nil
		}
	}
	return fmt.Errorf("it may not be used from %s but from %s", remote, quote(list))
}

// certificateEnd is when a certificate expires, zero if it never does.
func certificateEnd(c *ssh.Certificate) time.Time {
	if c.ValidBefore == ssh.CertTimeInfinity || c.ValidBefore > 1<<62 {
		return time.Time{}
	}
	return time.Unix(int64(c.ValidBefore), 0) // #nosec G115 -- below 1<<62
}

// certificateTime is a certificate's time, for a sentence.
func certificateTime(seconds uint64) string {
	return time.Unix(int64(min(seconds, 1<<40)), 0).UTC().Format(time.RFC3339) // #nosec G115 -- bounded
}

// describeCertificate names a certificate in a log, as sshd does.
func describeCertificate(c *ssh.Certificate) string {
	return fmt.Sprintf("%s of key %s (serial %d)", quote(cleanName(c.KeyId)), ssh.FingerprintSHA256(c.Key), c.Serial)
}

// quoteList repeats names in a sentence.
func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return list(quoted)
}
