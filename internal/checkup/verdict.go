package checkup

import (
	"fmt"
	"math"
	"time"
)

// Fault is what stands between players and the server.
type Fault string

// The faults, the gravest first.
const (
	Refused     Fault = "refused"     // the relay gives no port to measure with
	Unreachable Fault = "unreachable" // no public port answers
	UDPBlocked  Fault = "udp-blocked" // TCP ports answer, UDP ports don't
	NoUDP       Fault = "no-udp"      // the relay isn't funnel-relay
	Loss        Fault = "loss"        // the line loses packets
	Uplink      Fault = "uplink"      // what this machine sends waits in a queue
	Downlink    Fault = "downlink"    // what is sent to it does
	Transfers   Fault = "transfers"   // play waits for transfers in the same tunnel
	Slow        Fault = "slow"        // the funnel adds more than it should
	Far         Fault = "far"         // the relay is far away
	None        Fault = "none"
)

// Verdict is what was found, the gravest first; never empty.
type Verdict []Sentence

// Sentence is one fault, and what to do about it.
type Sentence struct {
	Fault Fault  `json:"fault"`
	Text  string `json:"text"`
}

// Findings are the figures that the verdict rests on.
type Findings struct {
	TCP, UDP               bool // an answer came from a public port, with or without the funnel
	TCPBlocked, UDPBlocked bool // a port was there, and no answer came
	NoUDP                  bool // the relay can't carry UDP

	RTT           time.Duration // to the relay and back, at rest
	Lost          int           // messages
	Loss          float64       // share lost there and back, at rest
	LossThere     bool          // Loss is of the way there alone
	FunnelLoss    float64       // what UDP loses in the funnel's half of its way; negative: unknown
	Overhead      time.Duration // what the funnel adds at rest
	OverheadRatio float64

	Up, Down, Through Bottleneck
	// What play through the funnel waits longer beside Through; negative: unknown.
	PlayUDP, PlayTCP time.Duration

	Lanes, Copies int
	BulkRate      bool // there is one
}

// Bottleneck is what a transfer showed. The zero value is unknown.
type Bottleneck struct {
	Rate  float64       // bits a second
	Queue time.Duration // what a plain message waits longer beside it
}

// Judge says what the findings mean.
func Judge(f Findings) Verdict {
	if !f.TCP && !f.UDP {
		return Verdict{nothingAnswers(f)}
	}
	var v Verdict
	add := func(fault Fault, format string, values ...any) {
		v = append(v, Sentence{fault, fmt.Sprintf(format, values...)})
	}
	switch {
	case f.NoUDP:
		add(NoUDP, "the SSH server there isn't funnel-relay: it carries TCP, but no UDP. Run funnel-relay on the VPS to expose UDP servers")
	case f.UDPBlocked && !f.UDP:
		add(UDPBlocked, "UDP is blocked on the way to the relay's public ports, while TCP passes. If a firewall at the VPS does it, "+
			"perhaps its provider's, no player gets through: allow the UDP ports you expose there. If this network does it, the funnel doesn't mind, since it rides on TCP: "+
			"run this bench from another network to tell")
	}
	if f.TCPBlocked && !f.TCP {
		add(Unreachable, "TCP is blocked on the way to the relay's public ports, while UDP passes: allow the TCP ports you expose in the VPS's firewall")
	}
	if f.Lost >= lossCount && f.Loss >= lossShare {
		where := "there and back"
		if f.LossThere {
			where = "on the way there"
		}
		add(Loss, "the line to the relay loses packets, %s %s. %s", percent(f.Loss), where, adviceOnLoss(f))
	}
	if f.Up.Queue >= queueTime {
		add(Uplink, "your uplink is the bottleneck: it carries %s, and has %s of queue under load. %s", rate(f.Up.Rate), ms(f.Up.Queue), adviceOnUplink(f))
	}
	if f.Down.Queue >= queueTime {
		add(Downlink, "your downlink is a bottleneck: it carries %s, and has %s of queue under load. What others at home download delays play; "+
			"your router's queue management (SQM, CAKE or fq_codel) at %s, or slower downloads, keep it short", rate(f.Down.Rate), ms(f.Down.Queue), rate(bulkShare*f.Down.Rate))
	}
	// Where it is the downlink that has a queue, the player's half of the transfer
	// fills that: only players who share this line wait then.
	downlink := f.Up.Queue < queueTime && f.Down.Queue >= queueTime && f.Through.Queue >= queueTime
	if f.PlayUDP >= queueTime && f.Up.Queue < queueTime && !downlink && !f.BulkRate {
		add(Transfers, "a transfer through the funnel makes UDP through it wait %s longer; turn on --bulk-rate %s", ms(f.PlayUDP), bulkRate(f.Through.Rate))
	}
	if f.PlayTCP >= sharedTime && !downlink {
		add(Transfers, "TCP through the funnel waits %s longer beside a transfer through it, since both share one connection: "+
			"if you serve a game over TCP, expose downloads with a second funnel-agent of their own, and that one with --bulk-rate %s", ms(f.PlayTCP), bulkRate(f.Through.Rate))
	}
	if f.Overhead >= overheadTime && f.OverheadRatio >= overheadRatio {
		add(Slow, "the funnel adds %s to a path of %s, more than it should: look for a busy processor here or on the VPS", ms(f.Overhead), ms(2*f.RTT))
	}
	if f.RTT >= farTime {
		add(Far, "the relay is far away, %s there and back, which every player feels: a VPS nearer to you would help most", ms(f.RTT))
	}
	if len(v) == 0 {
		queue := ""
		if f.Up.Rate > 0 {
			queue = ", no queue to speak of beside a transfer"
		}
		add(None, "nothing is wrong: %s to the relay and back, next to nothing lost%s", ms(f.RTT), queue)
	}
	return v
}

// nothingAnswers says why there is nothing to judge.
func nothingAnswers(f Findings) Sentence {
	switch {
	case !f.TCPBlocked && !f.UDPBlocked:
		return Sentence{Refused, "the relay gives this key no port to measure with; why not stands above"}
	case f.NoUDP:
		return Sentence{Unreachable, "no public port of the SSH server answers: set GatewayPorts clientspecified in its sshd_config, " +
			"or a firewall at the VPS, perhaps its provider's, lets none through"}
	}
	return Sentence{Unreachable, "no public port of the relay answers: a firewall at the VPS, perhaps its provider's, lets none through. " +
		"Open the ports you expose there, for TCP and UDP; to measure with those alone, bind this agent's key to them, with " +
		"funnel-relay authorize --replace --permit PORTS NAME on the relay, where funnel-relay keys list says its NAME"}
}

// adviceOnLoss looks at the funnel's half of the way alone: with the other half,
// from the player to the relay, no funnel can help.
func adviceOnLoss(f Findings) string {
	switch {
	case f.FunnelLoss < 0:
		return "Behind Wi-Fi try a cable; TCP through the funnel waits for each loss"
	case f.FunnelLoss <= f.Loss/2:
		return fmt.Sprintf("UDP through the funnel loses %s on it, since what is lost comes again or over another lane: leave --copies at auto. "+
			"Behind Wi-Fi try a cable", percent(f.FunnelLoss))
	case f.Copies != 0:
		return fmt.Sprintf("UDP through the funnel loses %s on it: set --copies to auto", percent(f.FunnelLoss))
	}
	return fmt.Sprintf("UDP through the funnel still loses %s on it: try --copies 3 and --lanes %d, and a cable instead of Wi-Fi",
		percent(f.FunnelLoss), max(6, f.Lanes))
}

func adviceOnUplink(f Findings) string {
	limit := bulkRate(f.Up.Rate)
	others := fmt.Sprintf("Keep other uploads at home to %s, best with your router's queue management (SQM, CAKE or fq_codel)", rate(bulkShare*f.Up.Rate))
	switch {
	case f.BulkRate && f.PlayUDP >= queueTime:
		return fmt.Sprintf("UDP through the funnel waits %s longer beside a transfer through it: set --bulk-rate to %s or less. %s", ms(f.PlayUDP), limit, others)
	case f.BulkRate || f.PlayUDP < 0:
		return others
	case f.PlayUDP >= queueTime:
		return fmt.Sprintf("UDP through the funnel waits %s longer beside a transfer through it: turn on --bulk-rate %s. %s", ms(f.PlayUDP), limit, others)
	}
	return fmt.Sprintf("Beside a transfer through the funnel, which makes room, UDP waits only %s longer; if that is too long, turn on --bulk-rate %s. %s",
		ms(f.PlayUDP), limit, others)
}

// bulkRate is what --bulk-rate takes for a line of that many bits a second.
func bulkRate(bits float64) string {
	bits *= bulkShare
	if bits < 2e6 {
		return fmt.Sprintf("%.0fk", max(64, math.Floor(bits/1e5)*100))
	}
	return fmt.Sprintf("%.0fM", math.Floor(bits/1e6))
}

func rate(bits float64) string {
	if bits < 1e6 {
		return fmt.Sprintf("%.0f kbit/s", bits/1e3)
	}
	return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func ms(d time.Duration) string {
	value := d.Seconds() * 1000
	if math.Abs(value) < 10 {
		return fmt.Sprintf("%.1f ms", value)
	}
	return fmt.Sprintf("%.0f ms", value)
}
