// Package chaos tests that the funnel stays up: paths that freeze, links that
// are cut, programs that are killed and stopped, one after the other and all of
// it at random. The two programs run as processes in network namespaces, over
// links of internal/wan; players and servers run in the test and check every
// byte and every datagram. The programs are as they are released but for Go's
// package time, whose wall clock a test can set.
//
// go test runs a short form. FUNNEL_CHAOS=full, which make chaos sets, runs what
// the project promises, with its bounds. Either ends in a table of figures.
//
//	FUNNEL_CHAOS_TIME=15m   how long the random faults last
//	FUNNEL_CHAOS_SEED=1     which ones; printed, so that a run can be repeated
package chaos
