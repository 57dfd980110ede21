package wan_test

import (
	"context"
	"net"
	"net/netip"
	"os/exec"

	"funnel/internal/wan"
)

// The interface is the same on every system: this compiles or it isn't.
var (
	_ func() error                                                            = wan.Available
	_ func(wan.Options) (*wan.World, error)                                   = wan.New
	_ func(wan.Options) (*wan.Three, error)                                   = wan.NewThree
	_ func(*wan.World, string) (*wan.Host, error)                             = (*wan.World).Host
	_ func(*wan.World, *wan.Host, *wan.Host, netip.Prefix) (*wan.Link, error) = (*wan.World).Link
	_ func(*wan.World) error                                                  = (*wan.World).Close
	_ func(*wan.Host) string                                                  = (*wan.Host).Name
	_ func(*wan.Host, func() error) error                                     = (*wan.Host).Do
	_ func(*wan.Host, string, string) (net.Listener, error)                   = (*wan.Host).Listen
	_ func(*wan.Host, string, string) (net.PacketConn, error)                 = (*wan.Host).ListenPacket
	_ func(*wan.Host, context.Context, string, string) (net.Conn, error)      = (*wan.Host).DialContext
	_ func(*wan.Host, context.Context, string, ...string) *exec.Cmd           = (*wan.Host).Command
	_ func(*wan.Host, string, string) error                                   = (*wan.Host).Sysctl
	_ func(*wan.Host, netip.Prefix, *wan.Link) error                          = (*wan.Host).AddRoute
	_ func(*wan.Host, *wan.Link) error                                        = (*wan.Host).DefaultVia
	_ func(*wan.Link, wan.Conditions, wan.Conditions) error                   = (*wan.Link).Set
	_ func(*wan.Link, wan.Conditions) error                                   = (*wan.Link).SetBoth
	_ func(*wan.Link) (wan.Conditions, wan.Conditions)                        = (*wan.Link).Conditions
	_ func(*wan.Link)                                                         = (*wan.Link).Cut
	_ func(*wan.Link)                                                         = (*wan.Link).Restore
	_ func(*wan.Link, *wan.Host) netip.Addr                                   = (*wan.Link).Addr
	_ func(*wan.Link, *wan.Host) (netip.Addr, error)                          = (*wan.Link).Rebind
	_ func(*wan.Link)                                                         = (*wan.Link).Forget
	_ func(*wan.Link) wan.Stats                                               = (*wan.Link).Stats
)
