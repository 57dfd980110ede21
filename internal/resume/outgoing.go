package resume

// outgoing is the direction from local to the other end.
type outgoing struct {
	kept    kept
	read    uint64 // bytes taken from local
	ended   bool   // by local
	acked   uint64 // position that the other end has told last
	highest uint64 // position up to which anything was ever sent
	extra   uint64 // how many bytes are kept beyond Options.Buffer, out of Options.Spare
}

// position is up to where there is something to send: the end counts as one.
func (o *outgoing) position() uint64 { return positionOf(o.read, o.ended) }

// release notes that the other end has everything before position.
func (o *outgoing) release(position uint64) {
	o.acked = position
	o.kept.release(min(position, o.read))
}

// said says whether the end was sent, over whichever channel.
func (o *outgoing) said() bool { return o.ended && o.highest == o.position() }

// confirmed says whether the other end has everything.
func (o *outgoing) confirmed() bool { return o.ended && o.acked == o.position() }

// incoming is the direction from the other end to local.
type incoming struct {
	received uint64 // bytes taken from channels
	handing  bool   // the last of them are being written to local
	ended    bool   // by the other end, after total
	total    uint64
	told     uint64 // position that the other end was told, unless the channel was lost meanwhile
	closing  bool   // the end is passed on to local, or was
	closed   bool   // it was
}

// position is up to where everything was received: the end counts as one.
func (i *incoming) position() uint64 { return positionOf(i.received, i.complete()) }

// complete says whether everything and the end were received.
func (i *incoming) complete() bool { return i.ended && i.received == i.total }

// forget takes back an end that was told before its last bytes were there. The
// other end will tell it again.
func (i *incoming) forget() { i.ended = i.complete() }

func positionOf(bytes uint64, ended bool) uint64 {
	if ended {
		return bytes + 1
	}
	return bytes
}
