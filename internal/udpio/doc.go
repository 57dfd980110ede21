// Package udpio moves UDP datagrams between sockets and the caller in batches.
//
// A [Conn] is a socket: a public one made by [Listen], or one connected to a
// single peer made by [Dial]. One goroutine per Conn calls [Conn.Receive], which
// hands over all datagrams of one system call. A [Sender] collects datagrams for
// any number of Conns and sends those of each Conn with as few system calls as
// the system allows.
//
// On Linux this is recvmmsg(2) and sendmmsg(2) with UDP segmentation offload; on
// other systems the same calls work one datagram at a time. Neither direction
// allocates memory per datagram on Linux, and a Conn that waits holds no buffer.
package udpio
