// Package access decides what an authenticated identity may do: which keys may
// log in, and which ports and addresses each may bind, within the limits of
// the relay's operator.
//
// [Keys] reads the authorized keys file and turns a key into a [Grant]. Every
// public socket is opened through [Grant.Bind] and every outgoing connection
// asks [Grant.MayDial]. [Append] adds a key to the file, [Remove] takes it out.
//
// The file is OpenSSH's authorized_keys (sshd(8), "AUTHORIZED_KEYS FILE
// FORMAT"). The options that concern forwarding and logging in are obeyed, the
// others that sshd knows are accepted and mean nothing here, as there is no
// shell, and a line with an option that nobody knows is skipped. Beyond sshd:
//
//   - permitlisten takes ranges and lists, "27015-27020" or "80,443", and ends
//     in "/tcp" or "/udp" to permit one network alone; without, it permits both;
//   - without permitopen a key may not connect anywhere from the relay;
//   - max-forwards, max-connections, max-flows, max-new-flows, max-bandwidth and
//     max-forward-bandwidth bound what a key uses at a time, see [Limits].
//
// Certificates are OpenSSH's (PROTOCOL.certkeys), of authorities in a file of
// their own or in lines with cert-authority; what is revoked is in a KRL of
// ssh-keygen's or a list of keys.
//
// A [Lease] is a grant that follows its files: [Lease.Renew] says what became
// of it.
package access
