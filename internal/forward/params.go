package forward

// Limits of what is taken from a person.
const (
	// MaxRange is the most ports one range of a forward may have. Each is a
	// public socket on the relay and more than 1024, the usual limit of open
	// files of a process, is a slip of the keyboard rather than a wish.
	MaxRange = 1024

	// maxHost is the longest bind address or target the wire carries; a domain
	// name has at most 253 characters (RFC 1035 §2.3.4).
	maxHost = 255

	// maxQuote bounds how much of a refused text an error repeats, so that the
	// error stays readable on one line of a terminal.
	maxQuote = 80
)
