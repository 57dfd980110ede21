package relay

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
	"funnel/proto"
)

// rawLane is a lane of which each byte can be said.
type rawLane struct {
	ssh.Channel
	token proto.Token
	bound chan uint16 // ports, closed at the lane's end
}

// lane opens a lane, whose session is that of a token.
func (x *attacker) lane(token proto.Token) {
	channel := x.open(sshwire.ChannelSession, nil)
	if channel == nil {
		return
	}
	if ok, _ := channel.SendRequest(sshwire.RequestSubsystem, true, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem})); !ok {
		return
	}
	_, _ = channel.Write(proto.Hello{Version: proto.Version, Lowest: proto.LowestVersion, Session: token}.Append(nil))
	welcome, err := proto.ReadWelcome(channel)
	if err != nil || welcome.Err() != nil {
		return
	}
	l := &rawLane{Channel: channel, token: welcome.Session, bound: make(chan uint16, 64)}
	go l.read()
	l.say(commandSyn, controlStream, nil)
	l.say(commandPush, controlStream, []byte{byte(proto.KindControl)})
	l.say(commandSyn, recordStream, nil)
	l.say(commandPush, recordStream, []byte{byte(proto.KindRecords)})
	x.lanes = append(x.lanes, l)
}

// Frames, as SPEC.md has them in section 5.
const (
	commandSyn    = 0
	commandPush   = 2
	controlStream = 3
	recordStream  = 5
	frameSize     = 8
)

// say writes a frame.
func (l *rawLane) say(command byte, stream uint32, payload []byte) {
	if l.Channel == nil {
		return
	}
	b := binary.LittleEndian.AppendUint16([]byte{2, command}, uint16(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, stream)
	_, _ = l.Write(append(b, payload...))
}

// read reads the lane to its end and picks out the ports that were bound.
func (l *rawLane) read() {
	defer close(l.bound)
	var all []byte
	buffer := make([]byte, 2048)
	for {
		n, err := l.Channel.Read(buffer)
		if err != nil {
			return
		}
		for all = append(all, buffer[:n]...); len(all) >= frameSize; {
			size := frameSize + int(binary.LittleEndian.Uint16(all[2:]))
			if len(all) < size {
				break
			}
			if all[1] == commandPush && all[4] == controlStream {
				l.heard(all[frameSize:size])
			}
			all = all[size:]
		}
	}
}

// heard takes control messages, of which one isn't cut by frames.
func (l *rawLane) heard(messages []byte) {
	for r := bytes.NewReader(messages); r.Len() > 0; {
		message, err := proto.ReadMessage(r)
		if err != nil {
			return
		}
		port := uint16(0)
		if bound, ok := message.(proto.Bound); ok {
			port = bound.Port
		}
		select {
		case l.bound <- port:
		default:
		}
	}
}

// answer is the port in the next answer to a bind: 0 if there is none, as the
// lane may be broken by now, or the bind be refused.
func (l *rawLane) answer() uint16 {
	if l.bound == nil {
		return 0
	}
	select {
	case port := <-l.bound:
		return port
	case <-time.After(answerTime):
		return 0
	}
}

// answerTime is what an answer is waited for that needn't come: a busy machine
// may take longer, and then the program goes less deep.
const answerTime = 5 * time.Millisecond

// actOnLane does what takes a lane. Without one it does nothing.
func (x *attacker) actOnLane(op byte) {
	switch op {
	case linkLane:
		x.lane(proto.Token{})
	case linkJoins:
		token := proto.Token{1}
		if len(x.lanes) > 0 {
			token = x.lanes[0].token
		}
		x.lane(token)
	case linkFrames:
		l := x.theLane()
		command, stream, payload := x.byte(), x.byte(), x.bytes()
		l.say(command, uint32(stream), payload)
	case linkControls:
		x.theLane().say(commandPush, controlStream, x.bytes())
	case linkRecords:
		x.theLane().say(commandPush, recordStream, x.bytes())
	case linkBinds:
		l := x.theLane()
		l.say(commandPush, controlStream, proto.AppendMessage(nil, proto.Bind{Forward: uint32(x.byte()), Host: "127.0.0.1"}))
		if port := l.answer(); port != 0 {
			x.udp = port
		}
	case linkAnswers:
		l := x.theLane()
		flow, sequence := x.byte(), x.byte()
		l.say(commandPush, recordStream, proto.AppendDatagram(nil, uint32(flow)+1, uint32(sequence), x.bytes()))
	}
}

// theLane is one of those there are, or one that goes nowhere.
func (x *attacker) theLane() *rawLane {
	if len(x.lanes) == 0 {
		return &rawLane{}
	}
	return x.lanes[int(x.byte())%len(x.lanes)]
}
