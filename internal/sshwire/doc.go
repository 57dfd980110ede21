// Package sshwire is what both ends of a link share: the messages of TCP/IP
// port forwarding (RFC 4254 §7), which algorithms to use, version strings,
// those of connections that outlive their link, channels that tell when the peer
// has closed them, and [Keepalive].
package sshwire
