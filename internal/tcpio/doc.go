// Package tcpio is what Funnel asks of a TCP socket beyond package net: settings
// for low latency, the lengths of the kernel's queues and its view of the path
// ([Socket]), and a connection that costs few system calls under SSH ([Conn]).
package tcpio
