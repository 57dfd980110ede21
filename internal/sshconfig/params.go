package sshconfig

const (
	// maxFile bounds one configuration file, in bytes; real ones have some KB.
	maxFile = 1 << 20

	// maxDepth is how deep files may include each other, as in OpenSSH.
	maxDepth = 16

	// maxFiles bounds the files read in one look-up. Depth alone would let a
	// file that includes itself several times take for ever.
	maxFiles = 512
)
