//go:build unix

package system

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the program into a process group of its own, so that a Ctrl-C
// at the terminal reaches us alone and all it starts can be ended with it.
func ownGroup(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
}

func terminate(command *exec.Cmd) { _ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }

func kill(command *exec.Cmd) { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
