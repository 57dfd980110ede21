package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// report is cut from one of govulncheck's.
const report = `{"config": {"protocol_version": "v1.0.0"}}
{"progress": {"message": "Scanning"}}
{"finding": {"osv": "GO-2026-6600", "fixed_version": "v1.26.9", "trace": [{"module": "stdlib", "version": "v1.26.8"}]}}
{"finding": {"osv": "GO-2026-6600", "fixed_version": "v1.26.9", "trace": [{"module": "stdlib", "version": "v1.26.8", "package": "html/template", "function": "Execute"}, {"module": "funnel"}]}}
{"finding": {"osv": "GO-0000-0001", "fixed_version": "v1.2.3", "trace": [{"module": "example.com/m", "version": "v1.0.0"}]}}
`

func TestAudit(t *testing.T) {
	var said strings.Builder
	found, err := parse(strings.NewReader(report))
	require.NoError(t, err)
	require.NoError(t, judge(&said, found))
	require.Contains(t, said.String(), "GO-2026-6600: accepted: html/template")
	require.Contains(t, said.String(), "1 more are in what we build with")
	require.Contains(t, said.String(), "GO-2026-6599: accepted, but not found any more")

	called := `{"finding": {"osv": "GO-0000-0001", "fixed_version": "v1.2.3", "trace": [{"module": "example.com/m", "version": "v1.0.0", "package": "example.com/m/p", "function": "F"}]}}`
	found, err = parse(strings.NewReader(report + called))
	require.NoError(t, err)
	require.EqualError(t, judge(&said, found), "vulnerable: GO-0000-0001")
	require.Contains(t, said.String(), "GO-0000-0001: example.com/m/p.F of example.com/m v1.0.0, mended in v1.2.3")
}

func TestAuditWantsAReport(t *testing.T) {
	for _, text := range []string{"", "{}", "no JSON", report + `{"finding"`} {
		_, err := parse(strings.NewReader(text))
		require.Error(t, err, text)
	}
}
