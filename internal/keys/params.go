package keys

import (
	"os"
	"time"
)

const (
	// maxKeyFile bounds what is read of a key file. A 16384-bit RSA key takes
	// 13 KB; the bound is there for a path that names something else entirely.
	maxKeyFile = 1 << 20

	// directoryMode and fileMode are what ssh asks of ~/.ssh and of a private key.
	directoryMode os.FileMode = 0o700
	fileMode      os.FileMode = 0o600

	// maxPassphraseTries is how often a wrong passphrase may be mended, as in ssh.
	maxPassphraseTries = 3

	// maxAgentKeys is how many keys of an ssh-agent are offered. OpenSSH's
	// server closes the connection at the sixth refused key (MaxAuthTries), so
	// five leave room for the agent's own key.
	maxAgentKeys = 5

	// agentListTimeout bounds the question which keys an ssh-agent holds. It
	// asks nobody, so a longer silence is a hung or forwarded and lost agent.
	agentListTimeout = 5 * time.Second

	// agentSignTimeout bounds one signature of an ssh-agent, which may have to
	// ask the user or wait for a touch of a token. OpenSSH's server gives a
	// login two minutes (LoginGraceTime); no later answer is of use.
	agentSignTimeout = 2 * time.Minute

	// maxAnswer bounds a line typed at a terminal, in bytes: the longest line a
	// Unix terminal delivers.
	maxAnswer = 4096
)
