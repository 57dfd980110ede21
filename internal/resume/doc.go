// Package resume carries a forwarded TCP connection over SSH channels that may
// be lost under it: a [Conn] at each end keeps what it has sent until the other
// end has acknowledged it, and sends it again on the next channel. Every byte
// arrives once and in order, and so does the end of either direction.
// proto/RESUME.md is the text of what goes over the channels.
//
// The end that opens channels calls [Conn.Open] for the first, and for every
// later one [Conn.Detach], which says what to put into the offer, and
// [Conn.Resume], or [Conn.Gone] if the other end doesn't know the conn any more.
// The end that takes channels calls [Conn.Open] and [Conn.Answer].
//
// A channel of x/crypto/ssh lets 2 MiB a round trip through. A direction that is
// held back by that alone is given more by the other end, if [Options] has a
// [Spare], and sends its bytes in channel requests then.
package resume
