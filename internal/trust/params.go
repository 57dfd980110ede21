package trust

import "os"

const (
	// maxFile bounds what is read of a known_hosts file, in bytes. It holds some
	// 100,000 hosts; the bound is there for a path that names something else.
	maxFile = 32 << 20

	// directoryMode and fileMode are what ssh gives ~/.ssh and known_hosts.
	directoryMode os.FileMode = 0o700
	fileMode      os.FileMode = 0o600
)
