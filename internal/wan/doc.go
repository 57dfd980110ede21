// Package wan emulates wide-area links between hosts that are network
// namespaces of this process. A link is two TUN devices and a thread that
// carries whole IP packets from one to the other after the time they would
// take, so what reacts to delay, loss, queues and cuts is the kernel's own TCP
// and UDP. It serves the tests of the whole and the laboratory.
//
// [NewThree] builds what most need: player, VPS and home, each side of the VPS
// on a link of its own. [New], [World.Host] and [World.Link] build anything else.
//
//	three, err := wan.NewThree(wan.Options{Seed: 1})
//	defer three.Close()
//	err = three.HomeLink.SetBoth(wan.Conditions{Delay: 20 * time.Millisecond, Loss: 0.01})
//	listener, err := three.Home.Listen("tcp", ":80")
//	conn, err := three.Player.DialContext(ctx, "tcp", three.HomeLink.Addr(three.Home).String()+":80")
//
// The package needs Linux and CAP_NET_ADMIN with CAP_SYS_ADMIN, which root has;
// without, it compiles and says so: [Available]. The namespaces have no name,
// so the kernel removes them, devices and all, when the process ends, however
// it ends.
package wan
