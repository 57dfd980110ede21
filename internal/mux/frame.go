package mux

import (
	"encoding/binary"
	"fmt"
)

// smux's frame header, version 2: version, command, and in little endian the
// length of the payload (uint16) and the stream (uint32). See proto/SPEC.md.
const frameHeader = 8

const frameVersion = 2

const (
	commandOpen    = 0 // SYN
	commandFinish  = 1 // FIN
	commandPush    = 2 // PSH
	commandNothing = 3 // NOP
	commandUpdate  = 4 // UPD
)

// updateLength is the payload of an update: bytes consumed since the stream
// began, modulo 2^32, and the window.
const updateLength = 8

type frame struct {
	command byte
	length  int
	stream  uint32
}

// parseFrame reads the header at the front of p, which must hold frameHeader
// bytes. What is wrong beyond the version smux finds by itself.
func parseFrame(p []byte) (frame, error) {
	if p[0] != frameVersion {
		return frame{}, fmt.Errorf("%w: smux frame of version %d, %d expected", ErrProtocol, p[0], frameVersion)
	}
	return frame{
		command: p[1],
		length:  int(binary.LittleEndian.Uint16(p[2:])),
		stream:  binary.LittleEndian.Uint32(p[4:]),
	}, nil
}

// putFrame writes f's header to the front of p.
func putFrame(p []byte, f frame) {
	p[0] = frameVersion
	p[1] = f.command
	binary.LittleEndian.PutUint16(p[2:], uint16(f.length)) // #nosec G115 -- at most MaxFrame
	binary.LittleEndian.PutUint32(p[4:], f.stream)
}
