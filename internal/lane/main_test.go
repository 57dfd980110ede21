package lane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/flow"
	"funnel/internal/mux"
	"funnel/internal/obs"
	"funnel/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come before it fails.
const patience = 20 * time.Second

func newFlow(id uint32) *flow.Flow {
	return flow.New(proto.FlowHeader{Flow: id, Client: netip.MustParseAddrPort("203.0.113.9:50000")}, true)
}

// records collects what a Decoder finds.
type records struct {
	t         testing.TB
	headers   []uint32
	gone      []uint32
	datagrams []datagram
}

type datagram struct {
	flow, sequence uint32
	size           int
}

func (r *records) Datagram(id, sequence uint32, payload []byte) {
	r.datagrams = append(r.datagrams, datagram{id, sequence, len(payload)})
}
func (r *records) Flow(h proto.FlowHeader)            { r.headers = append(r.headers, h.Flow) }
func (r *records) Gone(id uint32, _ proto.GoneReason) { r.gone = append(r.gone, id) }
func (r *records) Mark(uint64)                        {}
func (r *records) Echo(uint64)                        {}

// decode takes b apart, which must hold whole records.
func decode(t testing.TB, b []byte) *records {
	t.Helper()
	r := &records{t: t}
	var d proto.Decoder
	require.NoError(t, d.Decode(b, r))
	return r
}

// flows is which flows the datagrams are of, in order.
func (r *records) flows() []uint32 {
	var list []uint32
	for _, d := range r.datagrams {
		list = append(list, d.flow)
	}
	return list
}

// bareLane is a lane without an SSH connection, for what happens before.
func bareLane(slot int, drops *obs.Drops) *Lane {
	return &Lane{
		config:    Config{Slot: slot, Drops: drops, MaxDelay: time.Hour},
		handed:    make(chan struct{}, 1),
		scheduler: newScheduler(slot, drops),
		batch:     make([]byte, mux.FrameSpace),
		written:   mux.FrameSpace,
	}
}
