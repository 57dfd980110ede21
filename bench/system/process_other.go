//go:build !unix

package system

import "os/exec"

func ownGroup(*exec.Cmd) {}

func terminate(command *exec.Cmd) { _ = command.Process.Kill() }

func kill(command *exec.Cmd) { _ = command.Process.Kill() }
