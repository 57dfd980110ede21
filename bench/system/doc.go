// Package system starts and stops what is compared: nothing at all, tunnels, and
// the programs that a user describes. Everything it starts lives in hosts, which
// are network namespaces or this machine itself.
package system
