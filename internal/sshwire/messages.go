package sshwire

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Names of global requests.
const (
	RequestForward   = "tcpip-forward"         // RFC 4254 §7.1: a ForwardRequest, answered by a ForwardReply
	RequestCancel    = "cancel-tcpip-forward"  // RFC 4254 §7.1: a ForwardRequest
	RequestKeepalive = "keepalive@openssh.com" // OpenSSH's PROTOCOL: no payload; any answer will do
)

// Types of channels.
const (
	ChannelSession   = "session"         // RFC 4254 §6.1
	ChannelForwarded = "forwarded-tcpip" // RFC 4254 §7.2: a Forwarded
	ChannelDirect    = "direct-tcpip"    // RFC 4254 §7.2: a Direct
)

// Names of requests on a session's channel.
const (
	RequestSubsystem  = "subsystem"   // RFC 4254 §6.5: a Subsystem
	RequestShell      = "shell"       // RFC 4254 §6.5
	RequestExec       = "exec"        // RFC 4254 §6.5
	RequestExitStatus = "exit-status" // RFC 4254 §6.10: an ExitStatus

	requestEndOfWrite = "eow@openssh.com" // OpenSSH's PROTOCOL §2.1: no payload, no answer
)

// ForwardRequest asks for a port to be forwarded, or not any more (RFC 4254
// §7.1). Address is the bind address in the words of the one who asks; port 0
// lets the other end choose. Encode it with ssh.Marshal.
type ForwardRequest struct {
	Address string
	Port    uint32
}

// ForwardReply answers a ForwardRequest whose port was 0; the answer to any
// other one is empty (RFC 4254 §7.1).
type ForwardReply struct {
	Port uint32
}

// Forwarded opens a channel for a connection to a forwarded port (RFC 4254
// §7.2). Address is what the ForwardRequest said, letter by letter, since the
// client finds its forward by it; Port is the port that was bound.
type Forwarded struct {
	Address       string
	Port          uint32
	OriginAddress string
	OriginPort    uint32
}

// Direct opens a channel that is to be connected to Address (RFC 4254 §7.2).
type Direct struct {
	Address       string
	Port          uint32
	OriginAddress string
	OriginPort    uint32
}

// Subsystem asks for a subsystem on a session's channel (RFC 4254 §6.5).
type Subsystem struct {
	Name string
}

// ExitStatus says how a command ended (RFC 4254 §6.10).
type ExitStatus struct {
	Status uint32
}

// ErrMalformed is what every error of the Parse functions is.
var ErrMalformed = errors.New("malformed message")

// ParseForwardRequest decodes the payload of RequestForward and RequestCancel.
// The port is at most 65535.
func ParseForwardRequest(payload []byte) (ForwardRequest, error) {
	var m ForwardRequest
	err := parse(payload, &m)
	if err == nil {
		err = check(m.Address, m.Port, 0)
	}
	return m, wrap(RequestForward, err)
}

// ParseForwardReply decodes the answer to a ForwardRequest for port 0. The port
// is from 1 to 65535.
func ParseForwardReply(payload []byte) (ForwardReply, error) {
	var m ForwardReply
	err := parse(payload, &m)
	if err == nil {
		err = checkPort(m.Port, 1)
	}
	return m, wrap("answer to "+RequestForward, err)
}

// ParseForwarded decodes the data of a ChannelForwarded. The port is from 1 to
// 65535, the origin's at most 65535.
func ParseForwarded(payload []byte) (Forwarded, error) {
	var m Forwarded
	err := parse(payload, &m)
	if err == nil {
		err = errors.Join(check(m.Address, m.Port, 1), check(m.OriginAddress, m.OriginPort, 0))
	}
	return m, wrap(ChannelForwarded, err)
}

// ParseDirect decodes the data of a ChannelDirect. The port is from 1 to 65535,
// the origin's at most 65535, and the address isn't empty.
func ParseDirect(payload []byte) (Direct, error) {
	var m Direct
	err := parse(payload, &m)
	if err == nil {
		err = errors.Join(check(m.Address, m.Port, 1), check(m.OriginAddress, m.OriginPort, 0))
	}
	if err == nil && m.Address == "" {
		err = errors.New("no address")
	}
	return m, wrap(ChannelDirect, err)
}

// ParseSubsystem decodes the payload of RequestSubsystem.
func ParseSubsystem(payload []byte) (Subsystem, error) {
	var m Subsystem
	err := parse(payload, &m)
	if err == nil {
		err = checkText(m.Name)
	}
	return m, wrap(RequestSubsystem, err)
}

// parse is strict: nothing may be missing and nothing may follow.
func parse(payload []byte, message any) error { return ssh.Unmarshal(payload, message) }

func check(address string, port, least uint32) error {
	if err := checkPort(port, least); err != nil {
		return err
	}
	return checkText(address)
}

func checkPort(port, least uint32) error {
	if port < least || port > maxPort {
		return fmt.Errorf("port %d is not from %d to %d", port, least, maxPort)
	}
	return nil
}

// checkText keeps out what no address or name has and a log or terminal should
// not see.
func checkText(text string) error {
	if len(text) > maxText {
		return fmt.Errorf("a text of %d bytes is longer than %d", len(text), maxText)
	}
	return checkCharacters(text)
}

func checkCharacters(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("a text has control characters")
	}
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("parse %s: %w: %w", what, ErrMalformed, err)
}
