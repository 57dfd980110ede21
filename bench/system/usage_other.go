//go:build !linux

package system

func usage(int) Usage { return Usage{} }
