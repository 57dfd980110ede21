package system

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc (proc(5), sysconf(_SC_CLK_TCK)),
// 100 a second on every architecture that Go knows.
const clockTick = time.Second / 100

// stat is what we want of /proc/PID/stat.
type stat struct {
	pid, parent int
	cpu         time.Duration // its own and that of its dead children
	memory      int64
}

// usage adds up the process and its descendants.
func usage(root int) Usage {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return Usage{}
	}
	children := make(map[int][]stat)
	var total Usage
	for _, path := range paths {
		s, err := readStat(path)
		if err != nil {
			continue // it has just ended
		}
		if s.pid == root {
			total = Usage{CPU: s.cpu, Memory: s.memory, Known: true}
		}
		children[s.parent] = append(children[s.parent], s)
	}
	for next := []int{root}; len(next) > 0; next = next[1:] {
		for _, s := range children[next[0]] {
			total.CPU += s.cpu
			total.Memory += s.memory
			next = append(next, s.pid)
		}
	}
	return total
}

func readStat(path string) (stat, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, may hold anything.
	before, _, _ := bytes.Cut(b, []byte(" ("))
	_, after, found := bytes.Cut(b[bytes.LastIndexByte(b, ')'):], []byte(") "))
	fields := strings.Fields(string(after))
	if !found || len(fields) < 22 {
		return stat{}, fmt.Errorf("%s: unknown format", path)
	}
	number := func(field int) int64 { // as proc(5) counts them
		n, _ := strconv.ParseInt(fields[field-3], 10, 64)
		return n
	}
	pid, err := strconv.Atoi(string(before))
	return stat{
		pid:    pid,
		parent: int(number(4)),
		cpu:    time.Duration(number(14)+number(15)+number(16)+number(17)) * clockTick,
		memory: number(24) * int64(os.Getpagesize()),
	}, err
}
