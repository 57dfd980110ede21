package result

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine is where a result comes from. It says what the numbers depend on, and
// not whose machine it is.
type Machine struct {
	System     string `json:"system"`
	Kernel     string `json:"kernel"`
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	Memory     string `json:"memory"`
	Go         string `json:"go"`
	OpenSSH    string `json:"openssh"`
	Commit     string `json:"commit"` // with -dirty if the tree was
	Congestion string `json:"congestion_control"`
}

// ThisMachine looks around. What can't be found out stays empty.
func ThisMachine() Machine {
	m := Machine{System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	m.Kernel = firstLine("/proc/sys/kernel/osrelease")
	m.Congestion = firstLine("/proc/sys/net/ipv4/tcp_congestion_control")
	m.Processor = field("/proc/cpuinfo", "model name")
	m.Memory = field("/proc/meminfo", "MemTotal")
	m.Commit = output("git", "describe", "--tags", "--always", "--dirty")
	m.OpenSSH = output("ssh", "-V")
	return m
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// field is the value of the first line "name : value".
func field(path, name string) string {
	b, _ := os.ReadFile(path)
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		key, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// output is what a program prints, on either stream: ssh -V uses the other one.
func output(program string, args ...string) string {
	b, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
