package replay

import (
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
	"funnel/internal/instance"
	"funnel/proto"
)

func TestGroupSaysWhoItIs(t *testing.T) {
	_, f := server(t)
	me := instance.Instance{Agent: instance.ID{4, 7, 1, 1}, Generation: 12, Run: instance.ID{9}}
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 2, Instance: me})
	var numbers []uint8
	for n := range 2 {
		_, hello := d.hello(proto.Welcome{Session: token})
		require.EqualValues(t, me.Agent, hello.Agent)
		require.EqualValues(t, me.Generation, hello.Generation)
		require.Equal(t, n > 0, hello.Session == token)
		numbers = append(numbers, hello.Lane)
	}
	require.ElementsMatch(t, []uint8{1, 2}, numbers)
}

// A forward that a later start of the agent has is not asked for again.
func TestGroupGivesUpWhatALaterStartHas(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f, f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(1)
	await(t, d.bound)
	bind, ok := await(t, r.messages).(proto.Bind)
	require.True(t, ok)
	outlived := &proto.Error{Code: proto.CodeOutlived}
	r.send(proto.Refused{Forward: bind.Forward, Code: proto.CodeOutlived, Text: "a later one has it"})
	require.ErrorIs(t, await(t, d.refused), outlived)
	r.send(proto.Unbound{Forward: 0, Code: proto.CodeOutlived, Text: "a later one has it"})
	require.ErrorIs(t, await(t, d.refused), outlived)
	d.askRefused()
	r.sync()
	require.Empty(t, r.messages)
}

// A lane in doubt stays until there is another, which says its number.
func TestGroupReplacesALaneInDoubt(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(5)
	await(t, d.bound)
	d.mu.Lock()
	line := d.lines[0]
	d.mu.Unlock()
	line.arise()
	conn, hello := d.hello(proto.Welcome{Session: token})
	require.Equal(t, token, hello.Session)
	require.EqualValues(t, 1, hello.Lane)
	_, more := <-r.messages
	require.False(t, more, "the lane before has ended")
	require.NoError(t, conn.Close())
}
