package forward

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePorts(t *testing.T) {
	for _, test := range []struct {
		text string
		want Ports
		back string
	}{
		{"443", Ports{{443, 443}}, "443"},
		{"1024-65535,443", Ports{{443, 443}, {1024, 65535}}, "443,1024-65535"},
		{"5,4,3,2,1", Ports{{1, 5}}, "1-5"},
		{"1-10,5-7,8-20,30", Ports{{1, 20}, {30, 30}}, "1-20,30"},
		{"65535,1-65534", Ports{{1, 65535}}, "*"},
		{"*", Ports{{1, 65535}}, "*"},
		{"80,*", Ports{{1, 65535}}, "*"},
	} {
		got, err := ParsePorts(test.text)
		require.NoError(t, err, test.text)
		require.Equal(t, test.want, got, test.text)
		require.Equal(t, test.back, got.String(), test.text)
	}
}

func TestParsePortsRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"":        `ports "": "" is not a port: want a number from 1 to 65535, as in 25565`,
		"0":       `port 0 cannot be listed`,
		"80,":     `"" is not a port`,
		",":       `"" is not a port`,
		"80, 443": `" 443" is not a port`,
		"http":    `"http" is not a port`,
		"70000":   `"70000" is not a port`,
		"2-1":     `range "2-1" ends before it starts: write 1-2`,
		"0-1":     `range "0-1" starts at 0`,
	} {
		got, err := ParsePorts(text)
		require.Nil(t, got)
		require.ErrorContains(t, err, says)
	}
}

func TestPorts(t *testing.T) {
	ports := Ports{{22, 22}, {80, 82}, {65535, 65535}}
	require.Equal(t, 5, ports.Len())
	require.Equal(t, 65535, Ports{EveryPort}.Len())
	var all []uint16
	for i := range ports.Len() {
		all = append(all, ports.At(i))
	}
	require.Equal(t, []uint16{22, 80, 81, 82, 65535}, all)
	require.Zero(t, ports.At(5))
	require.Zero(t, ports.At(-1))
	for _, port := range all {
		require.True(t, ports.Contains(port))
	}
	for _, port := range []uint16{0, 1, 21, 23, 79, 83, 65534} {
		require.False(t, ports.Contains(port))
	}
	require.Equal(t, Ports{{81, 82}}, ports.Intersect(Ports{{81, 100}}))
	require.Equal(t, ports, ports.Intersect(Ports{EveryPort}))
	require.Empty(t, ports.Intersect(nil))
	require.Equal(t, Ports{{22, 23}, {80, 82}, {65535, 65535}}, ports.Union(Ports{{23, 23}}))
	require.Equal(t, Ports{{22, 22}, {80, 82}, {65535, 65535}}, ports, "operands stay as they are")
	require.Equal(t, "", Ports(nil).String())
}

func FuzzParsePorts(f *testing.F) {
	for _, seed := range []string{"443", "1024-65535,443", "*", "", ",", "0", "1-2,2-3", "65535,65535-65535", "2-1", "99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ports, err := ParsePorts(text)
		if err != nil {
			require.Nil(t, ports)
			return
		}
		require.NotEmpty(t, ports)
		for i, r := range ports {
			require.NotZero(t, r.First)
			require.LessOrEqual(t, r.First, r.Last)
			if i > 0 {
				require.Greater(t, int(r.First), int(ports[i-1].Last)+1, "sorted and apart")
			}
		}
		again, err := ParsePorts(ports.String())
		require.NoError(t, err)
		require.Equal(t, ports, again)
	})
}
