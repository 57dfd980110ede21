package sshwire

import (
	"bytes"
	"strings"
)

// What the version strings of funnel's programs begin with (RFC 4253 §4.2).
const (
	relayPrefix = "SSH-2.0-funnel_relay_"
	agentPrefix = "SSH-2.0-funnel_agent_"
)

// RelayVersion is the version string of a relay of the given version.
func RelayVersion(version string) string { return relayPrefix + token(version) }

// AgentVersion is the version string of an agent of the given version.
func AgentVersion(version string) string { return agentPrefix + token(version) }

// IsRelay says whether a version string is a funnel relay's.
func IsRelay(version []byte) bool { return bytes.HasPrefix(version, []byte(relayPrefix)) }

// IsAgent says whether a version string is a funnel agent's.
func IsAgent(version []byte) bool { return bytes.HasPrefix(version, []byte(agentPrefix)) }

// token makes a version fit for a version string, which excludes spaces, minus
// signs and what isn't printable ASCII (RFC 4253 §4.2).
func token(version string) string {
	const longest = 64 // the whole string may have 253 characters
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '-' {
			return '.'
		}
		return r
	}, version)
	if clean == "" {
		return "unknown"
	}
	return clean[:min(len(clean), longest)]
}
