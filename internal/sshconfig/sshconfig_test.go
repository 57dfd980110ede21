package sshconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// write makes a configuration file and returns its path.
func write(t testing.TB, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func config(t testing.TB, text string) string {
	return write(t, filepath.Join(t.TempDir(), "config"), text)
}

// setHome gives the test a home of its own.
func setHome(t *testing.T) string {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	return home
}

// look expects no warnings.
func look(t *testing.T, alias string, files ...string) Host {
	t.Helper()
	host, warnings, err := Lookup(alias, files...)
	require.NoError(t, err)
	require.Empty(t, warnings)
	return host
}

func TestHostBlocks(t *testing.T) {
	home := setHome(t)
	path := config(t, `
# comment
User first
Host relay other
	HostName relay.example.com
	Port 2222
	User second
	IdentityFile ~/.ssh/id_relay
Host !relay *
	Port 3333
HOST = "rela?" # the same
    identityfile=~/.ssh/id_too
	UserKnownHostsFile ~/.ssh/known_relay "/etc/known hosts"
	Port 4444
Host *
	IdentityFile /keys/last
`)
	require.Equal(t, Host{
		HostName: "relay.example.com", Port: 2222, User: "first",
		IdentityFiles:       []string{filepath.Join(home, ".ssh/id_relay"), filepath.Join(home, ".ssh/id_too"), "/keys/last"},
		UserKnownHostsFiles: []string{filepath.Join(home, ".ssh/known_relay"), "/etc/known hosts"},
	}, look(t, "relay", path))
	require.Equal(t, Host{
		HostName: "elsewhere", Port: 3333, User: "first", IdentityFiles: []string{"/keys/last"},
	}, look(t, "elsewhere", path))
}

func TestUserFileThenSystemFile(t *testing.T) {
	home := setHome(t)
	user := config(t, "Host relay\n User mine\n IdentityFile /keys/user\n UserKnownHostsFile none\n")
	system := config(t, "Port 2222\nUser theirs\nIdentityFile /keys/system\nUserKnownHostsFile /etc/known\n")
	require.Equal(t, Host{
		HostName: "relay", Port: 2222, User: "mine",
		IdentityFiles: []string{"/keys/user", "/keys/system"}, UserKnownHostsFiles: []string{},
	}, look(t, "relay", user, system))

	write(t, filepath.Join(home, ".ssh", "config"), "Host relay\n User found\n")
	host, _, err := Lookup("relay") // the machine's own file may have warnings
	require.NoError(t, err)
	require.Equal(t, "found", host.User)
}

func TestNoConfiguration(t *testing.T) {
	setHome(t)
	host, _, err := Lookup("relay.example.net")
	require.NoError(t, err)
	require.Equal(t, "relay.example.net", host.HostName)
	_, _, err = Lookup("relay", filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestUnreadableConfigurationIsAWarning(t *testing.T) {
	home := setHome(t)
	require.NoError(t, os.MkdirAll(filepath.Join(home, ".ssh", "config"), 0o700))
	host, warnings, err := Lookup("relay")
	require.NoError(t, err)
	require.Equal(t, "relay", host.HostName)
	require.Contains(t, join(warnings), "ssh configuration not used")
}

func join(warnings []Warning) string {
	return fmt.Sprint(warnings)
}

func TestTokens(t *testing.T) {
	home := setHome(t)
	t.Setenv("KEYS", "/keys")
	path := config(t, `
IdentityFile %d/%n/%h/%r/%p
IdentityFile ${KEYS}/100%%
Host relay
	HostName %h.example.com
	User tunnel
	Port 2222
	UserKnownHostsFile ~/%k
`)
	host := look(t, "relay", path)
	require.Equal(t, "relay.example.com", host.HostName)
	require.Equal(t, []string{home + "/relay/relay.example.com/tunnel/2222", "/keys/100%"}, host.IdentityFiles)
	require.Equal(t, []string{filepath.Join(home, "relay.example.com")}, host.UserKnownHostsFiles)

	local := currentEnvironment().user
	require.NotEmpty(t, local)
	host = look(t, "other", config(t, "IdentityFile /%u/%r/%p\nIdentityFile none\n"))
	require.Equal(t, []string{"/" + local + "/" + local + "/22"}, host.IdentityFiles)
}

func TestTokensThatAreWrong(t *testing.T) {
	path := config(t, `HostName %z
IdentityFile /a/%C
IdentityFile /a%
IdentityFile ${FUNNEL_NOT_SET}/a
IdentityFile ${HOME
IdentityFile ~nobody-of-this-name/a
IdentityFile /good
UserKnownHostsFile %z
`)
	host, warnings, err := Lookup("relay", path)
	require.NoError(t, err)
	require.Equal(t, Host{HostName: "relay", IdentityFiles: []string{"/good"}, UserKnownHostsFiles: []string{}}, host)
	require.Len(t, warnings, 7)
	require.Contains(t, join(warnings), "%C, which funnel does not know")
}

func TestMatchBlocks(t *testing.T) {
	local := currentEnvironment().user
	for name, test := range map[string]struct {
		match string
		want  uint16 // 1 when the block counts
	}{
		"all":             {"all", 1},
		"host":            {"host relay.example.com", 1},
		"host list":       {"host a,*.example.com", 1},
		"host negated":    {"host *.example.com,!relay.*", 0},
		"alias":           {"originalhost relay", 1},
		"alias is not it": {"host relay", 0},
		"not":             {"!host a,b", 1},
		"not this":        {"!originalhost relay", 0},
		"both":            {"host *.com originalhost relay", 1},
		"one of both":     {"host *.com originalhost other", 0},
		"equals":          {"host=*.com originalhost=relay", 1},
		"local user":      {"localuser " + local, 1},
		"no such user":    {"localuser " + local + "x", 0},
		"no, then exec":   {"originalhost other exec true", 0},
		"exec, then no":   {"exec true originalhost other", 0},
		"letters":         {"OriginalHost relay ALL", 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := config(t, "Host relay\n HostName relay.example.com\nMatch "+test.match+"\n Port 1\nHost relay\n User after\n")
			host := look(t, "relay", path)
			require.Equal(t, test.want, host.Port)
			require.Equal(t, "after", host.User)
		})
	}
}

func TestMatchThatOnlySSHDecides(t *testing.T) {
	for _, match := range []string{
		"exec true", `exec "test -f /x"`, "final all", "final", "canonical all", "user bob", "host relay user bob", "tagged x", "unheard-of y", "!final",
	} {
		path := config(t, "Host relay\n User before\nMatch "+match+"\n Port 1\n HostName wrong\nHost relay\n Port 2222\n")
		host, warnings, err := Lookup("relay", path)
		require.NoError(t, err)
		require.Equal(t, Host{HostName: "relay", User: "before", Port: 2222}, host, match)
		require.Len(t, warnings, 1, match)
		require.Contains(t, join(warnings), path+":3", match)
		require.Contains(t, join(warnings), "block is skipped")
	}
}

func TestMatchWithoutAnythingOfOurs(t *testing.T) {
	// So do Fedora and its relatives in every machine's configuration.
	directory := t.TempDir()
	path := write(t, filepath.Join(directory, "config"), "Match final all\n Include "+directory+"/crypto\n GSSAPIAuthentication yes\n")
	write(t, filepath.Join(directory, "crypto"), "Ciphers aes256-gcm@openssh.com\n")
	look(t, "relay", path)

	write(t, filepath.Join(directory, "crypto"), "Ciphers x\nHost relay\n Port 1\nHost other\n Port 2\nMatch all\n Port 3\n")
	host, warnings, err := Lookup("relay", path)
	require.NoError(t, err)
	require.Zero(t, host.Port)
	require.Len(t, warnings, 1)
	require.Contains(t, join(warnings), path+":1")
}

func TestInclude(t *testing.T) {
	home := setHome(t)
	write(t, filepath.Join(home, ".ssh", "conf.d", "10-a"), "Host relay\n Port 1\nHost other\n Port 2\n")
	write(t, filepath.Join(home, ".ssh", "conf.d", "20-b"), "Port 3\nUser second\n")
	write(t, filepath.Join(home, ".ssh", "nested"), "Include conf.d/*\n")

	top := config(t, "Include nested absent-*\nHost *\n User last\n")
	require.Equal(t, Host{HostName: "relay", Port: 1, User: "second"}, look(t, "relay", top))
	require.Equal(t, Host{HostName: "x", Port: 3, User: "second"}, look(t, "x", top))

	within := config(t, "Host relay\n Include ~/.ssh/nested\n IdentityFile /still-relay\nHost *\n User last\n")
	require.Equal(t, Host{HostName: "relay", Port: 1, User: "second", IdentityFiles: []string{"/still-relay"}}, look(t, "relay", within))
	require.Equal(t, Host{HostName: "other", User: "last"}, look(t, "other", within), "not even a Host block of the included file")

	quoted := config(t, `Include "`+write(t, filepath.Join(t.TempDir(), "a b", "c"), "Port 9\n")+`"`)
	require.Equal(t, uint16(9), look(t, "relay", quoted).Port)
}

func TestIncludeWithoutEnd(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "config")
	write(t, path, strings.Repeat("Include "+path+"\n", 3)+"Port 7\n")
	host, warnings, err := Lookup("relay", path)
	require.NoError(t, err)
	require.Equal(t, uint16(7), host.Port)
	require.Contains(t, join(warnings), "deep")
	require.Equal(t, 1, strings.Count(join(warnings), "more than 512 files"))
}

func TestIncludeThatFails(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, "is-a-directory"), 0o700))
	path := config(t, "Include "+directory+"/*\nInclude [\nInclude %z\nPort 5\n")
	host, warnings, err := Lookup("relay", path)
	require.NoError(t, err)
	require.Equal(t, uint16(5), host.Port)
	require.Len(t, warnings, 3)
}

func TestBrokenLinesCostThemselves(t *testing.T) {
	path := config(t, `Port 99999
Port
Port zero
IdentityFile "/not closed
Host "relay
	User wrong
Match
	User wrong
Match host
	User wrong
Host
	User wrong
Host relay
	Unheard of
	RemoteCommand echo "it's
	Port 2222
`+"\x00\xff\tx\n")
	host, warnings, err := Lookup("relay", path)
	require.NoError(t, err)
	require.Equal(t, Host{HostName: "relay", Port: 2222}, host)
	for _, line := range []string{":1:", ":2:", ":3:", ":4:", ":5:", ":7:", ":9:", ":11:"} {
		require.Equal(t, 1, strings.Count(join(warnings), path+line), line)
	}
	require.Len(t, warnings, 8)
}

func TestKeywordsThatAreNotUsed(t *testing.T) {
	path := config(t, `Host relay
	ProxyJump bastion
	ProxyJump other
	ProxyCommand ssh -W "%h:%p' bastion
	HostKeyAlias alias
	IdentityAgent ~/agent.sock
Host direct
	ProxyJump none
Host *
	ProxyJump bastion
`)
	_, warnings, err := Lookup("relay", path)
	require.NoError(t, err)
	require.Len(t, warnings, 4)
	require.Contains(t, join(warnings), path+":2: proxyjump is not used")
	require.Contains(t, join(warnings), path+":4: proxycommand is not used")
	look(t, "direct", path)
}

func TestFileThatIsTooLarge(t *testing.T) {
	_, _, err := Lookup("relay", config(t, strings.Repeat("#", maxFile+1)))
	require.ErrorContains(t, err, "no ssh configuration")
}

func TestSystemFile(t *testing.T) {
	require.Equal(t, "ssh_config", filepath.Base(systemFile()))
	r := &reader{env: environment{home: "/home/u"}}
	require.Equal(t, filepath.Dir(systemFile()), r.baseOf(systemFile(), systemFile()))
	if runtime.GOOS != "windows" {
		require.Equal(t, "/home/u/.ssh", r.baseOf("/x/config", systemFile()))
	}
	_, err := environment{}.expandHome("~/x")
	require.ErrorContains(t, err, "home directory")
}
