package conf

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
)

const tcpcopySynopsis = `Usage: tcpcopy -x ONLINE-TARGET[,...] [-s INTERCEPT[,...]] [-c CLIENTS] [flags]
       tcpcopy -i FILE[,...] -x ONLINE-TARGET[,...] [-s INTERCEPT[,...]] [-c CLIENTS] [flags]
       tcpcopy pcap-info FILE... -x ONLINE-TARGET[,...]
       tcpcopy --config tcpcopy.toml [flags]

tcpcopy copies the sessions of a production server to a system under test.

  tcpcopy -x 80-10.1.2.100-80 -s 10.1.2.30 -c 10.1.3.x -d

copies what reaches port 80 of this host to port 80 of 10.1.2.100; the clients
get addresses of 10.1.3.0/24, to which the answers are routed by way of
intercept on 10.1.2.30. Without -s the answers are to be routed to this host.

  tcpcopy -i s1.pcap -x 80-10.1.1.100

replays what tcpdump recorded.`

// rawTcpcopy is what the settings fill before it is understood as a whole.
type rawTcpcopy struct {
	Tcpcopy
	inputs     []string // interfaces, or files
	intercepts []string
	clients    []string
	port       int // of intercepts that name none
}

func tcpcopyDefaults() rawTcpcopy {
	return rawTcpcopy{
		Tcpcopy: Tcpcopy{
			CatchUp:           2,
			SnapLen:           maxSnapLen,
			Copies:            1,
			Percent:           100,
			Encrypted:         EncryptedSkip,
			NoResponseTimeout: 2 * time.Minute,
			Memory:            2 << 30,
			SendMode:          SendLink,
			ShutdownGrace:     5 * time.Second,
			Replay:            Replay{Speed: 1, Times: 1, MaxConcurrent: 1000},
		},
		port: DefaultPort,
	}
}

const (
	// maxSnapLen is above the super-packets that GRO and GSO make (64 KB).
	maxSnapLen = 262144
	// fullSnapLen keeps every packet of 64 KB whole.
	fullSnapLen = 65535
	// sessionBytes is what Memory reckons for a session when MaxSessions is
	// not set: its state, its place in the tables and the payload in flight.
	sessionBytes = 2 << 10
	// keepaliveOverResponse is how much longer than the no-response timeout a
	// quiet session lives, as in the C tool.
	keepaliveOverResponse = 2 * time.Minute

	// maxWorkers is how many rings a fanout group may have beside their spare
	// (PACKET_FANOUT_MAX of Linux before 5.10).
	maxWorkers = 255

	maxSpan = 30 * 24 * time.Hour
	// maxRecording is how long a recording may be.
	maxRecording = 10 * 365 * 24 * time.Hour
)

func (c *rawTcpcopy) settings() []*setting {
	return []*setting{
		{key: "transfer", flag: "transfer", short: "x", usage: "sessions to copy, `ONLINE-TARGET,...`: 80-10.1.2.100:80, or [fd00::5]:80-[fd00::1]:81", value: transferRows(&c.Transfers), live: true},
		{key: "intercept", flag: "intercept", short: "s", usage: "assistants that send the replies back, `ADDRESS[:PORT],...` (default: the replies are routed to this host)", value: interceptRows(&c.intercepts), live: true},

		{key: "capture.interfaces", flag: "interface", short: "i", usage: "`DEVICE,...` to capture on (default all); or FILE,... to replay: recordings of tcpdump, - for standard input", value: inputs(&c.inputs)},
		{key: "capture.filter", flag: "filter", short: "F", usage: "`FILTER` in tcpdump's language (default derived from -x)", value: filterText(&c.Filter)},
		{key: "capture.ring_size", flag: "ring-size", short: "B", usage: "`SIZE` of all capture rings together; a bare number is in MiB (default 128MiB, or 1/64 of the memory if that is less)", value: size(&c.RingBytes, 0, mostRings)},
		{key: "capture.snaplen", flag: "snaplen", short: "S", usage: "`BYTES` taken of each packet", value: whole{&c.SnapLen, 128, maxSnapLen}},
		{key: "capture.promiscuous", flag: "promiscuous", usage: "take frames for other hosts too, as on a mirror port", value: boolean{&c.Promiscuous}},
		{key: "capture.catch_up", flag: "catch-up", usage: "after a time without a CPU, packets go on at `N` times the rate at which they came, fractions too; 0: at once", value: catchUp(&c.CatchUp)},
		{key: "capture.reply_interface", flag: "reply-interface", usage: "`DEVICE` that the replies come in by where there is no -s, or any (default that of the route to the target)", value: replyDevice(&c.ReplyInterface)},

		{key: "replay.speed", flag: "accelerate", short: "a", usage: "replay `N` times as fast as it was recorded, fractions too; max: as fast as the target answers", value: speed{&c.Replay.Speed}},
		{key: "replay.max_gap", flag: "interval", short: "I", usage: "`TIME` that gaps between packets are cut to; a bare number is in ms (default none is cut)", value: span(&c.Replay.MaxGap, "ms", 0, maxSpan)},
		{key: "replay.times", flag: "times", short: "T", usage: "`NUMBER` of times to replay; 0: until stopped", value: whole{&c.Replay.Times, 0, 1 << 30}},
		{key: "replay.from", flag: "from", usage: "leave out this `TIME` at the beginning of the recording; a bare number is in s", value: span(&c.Replay.From, "s", 0, maxRecording)},
		{key: "replay.to", flag: "to", usage: "end this `TIME` after the beginning of the recording; a bare number is in s (default its end)", value: span(&c.Replay.To, "s", 0, maxRecording)},
		{key: "replay.max_concurrent", flag: "max-concurrent", usage: "`NUMBER` of sessions that may wait for the target at a time with -a max", value: whole{&c.Replay.MaxConcurrent, 1, 1 << 24}},
		{key: "replay.report", flag: "report", usage: "`FILE` for the summary of a replay as JSON", value: text(&c.Replay.Report)},

		{key: "session.clients", flag: "clients", short: "c", usage: "addresses that replace the clients', `LIST`: 10.1.3.x, 10.1.3.0/24, fd00:3::/64 or single ones (default: they stay)", value: texts(&c.clients)},
		{key: "session.loopback_client", flag: "loopback-client", short: "H", usage: "`ADDRESS` that replaces 127.0.0.1 and ::1 as a client", value: optionalAddr(&c.LoopbackClient)},
		{key: "session.percent", flag: "percent", short: "r", usage: "`PERCENT` of the sessions to copy, fractions too", value: percent(&c.Percent), live: true},
		{key: "session.ramp", flag: "ramp", short: "g", bare: "100s", usage: "`TIME` over which the share grows from 1 % to that of -r; a bare number is in s", value: span(&c.Ramp, "s", 0, maxSpan), live: true},
		{key: "session.max_session_rate", flag: "max-session-rate", usage: "`NUMBER` of new sessions a second, fractions too; above it more are left out (default no limit)", value: rate(&c.MaxSessionRate), live: true},
		{key: "session.max_byte_rate", flag: "max-byte-rate", usage: "`SIZE` of the payload a second; above it new sessions are left out; a bare number is in MiB (default no limit)", value: size(&c.MaxByteRate, 0, 1<<40), live: true},
		{key: "session.encrypted", flag: "encrypted", usage: "`WHAT` becomes of TLS and SSH, which cannot be replayed: skip, or copy blindly", value: choice(&c.Encrypted, EncryptedSkip, EncryptedCopy), live: true},
		{key: "session.only_complete", flag: "only-complete", short: "O", usage: "only sessions whose SYN was seen", value: boolean{&c.OnlyComplete}, live: true},
		{key: "session.no_wait", flag: "no-wait", short: "W", usage: "do not hold a request for the response to the one before", value: boolean{&c.NoWait}, live: true},
		{key: "session.rtt", flag: "rtt", short: "R", usage: "fixed round trip `TIME`; a bare number is in ms (default measured)", value: span(&c.RTT, "ms", 0, time.Minute), live: true},
		{key: "session.no_response_timeout", flag: "no-response-timeout", short: "t", usage: "give a session up after this `TIME` without the target's answer; a bare number is in s", value: span(&c.NoResponseTimeout, "s", time.Second, maxSpan), live: true},
		{key: "session.keepalive_timeout", flag: "keepalive-timeout", short: "k", usage: "give a quiet session up after this `TIME`; a bare number is in s (default 2m more than -t)", value: span(&c.KeepaliveTimeout, "s", 0, maxSpan+keepaliveOverResponse), live: true},
		{key: "session.memory", flag: "memory", short: "m", usage: "`SIZE` that sessions may take; over it the newest are shed; a bare number is in MiB", value: size(&c.Memory, 16<<20, 1<<40), live: true},
		{key: "session.max_sessions", flag: "max-sessions", usage: "`NUMBER` of sessions at a time (default one for each 2KiB of -m)", value: whole{&c.MaxSessions, 0, 1 << 29}, live: true},
		{key: "session.copies", flag: "copies", short: "n", usage: "`NUMBER` of copies of each session, up to 1023", value: whole{&c.Copies, 1, 1023}, live: true},

		{key: "send.mode", flag: "send-mode", usage: "`MODE`: link sends frames, raw uses the kernel's routing", value: choice(&c.SendMode, SendLink, SendRaw)},
		{key: "send.interface", flag: "output-interface", short: "o", usage: "`DEVICE` to send on (default from the route)", value: device(&c.OutInterface)},
		{key: "send.mtu", flag: "mtu", short: "M", usage: "largest packet to the target, in `BYTES` (default from the route)", value: whole{&c.MTU, 0, 65535}},
		{key: "send.syn_mss", flag: "mss", short: "D", usage: "MSS in `BYTES` of SYNs that no client sent (default from the route)", value: whole{&c.SynMSS, 0, 65495}},

		{key: "link.port", flag: "port", short: "p", usage: "`PORT` of intercepts that are named without", value: whole{&c.port, 1, 65535}},
		{key: "link.connections", flag: "connections", short: "C", usage: "`NUMBER` of connections to each intercept (default one for each worker)", value: whole{&c.ConnsPerIntercept, 0, 11}},

		{key: "process.workers", flag: "workers", usage: "`NUMBER` of workers (default one for each CPU, or for each of --cpu-affinity)", value: whole{&c.Workers, 0, maxWorkers}},
		{key: "process.cpu_affinity", flag: "cpu-affinity", usage: "`LIST` of CPUs, such as 2-5,8, to which the workers are bound one after the other (default they are not)", value: cpuList(&c.CPUs)},
		{key: "process.shutdown_grace", flag: "shutdown-grace", usage: "`TIME` that copied sessions get to close at the end", value: span(&c.ShutdownGrace, "s", 0, time.Hour), live: true},

		{flag: "port-shift", short: "f", usage: "accepted, without effect: `NUMBER` between instances", value: noted{&c.Notes, "-f has no effect: sessions get ports without collisions, give instances different -c"}},
		{flag: "session-pool", short: "U", usage: "accepted, without effect: `KB` of a session's pool", value: noted{&c.Notes, "-U has no effect: sessions take the memory they need, -m bounds it"}},
		{flag: "lonely", short: "L", usage: "accepted, always so: stay alive without intercepts", value: noted{&c.Notes, "-L has no effect: tcpcopy always waits for its intercepts to come back"}},
	}
}

func transferRows(p *[]Transfer) value {
	return rows[Transfer]{
		list: list[Transfer]{p: p, parse: ParseTransfer, print: Transfer.String},
		columns: []column[Transfer]{
			{"online", func(t *Transfer, s string) (err error) { t.Online, err = parseOnline(s); return err },
				func(t Transfer) string { return onlineString(t.Online) }},
			{"target", func(t *Transfer, s string) (err error) { t.Target, err = parseTarget(s, 0); return err },
				func(t Transfer) string { return t.Target.String() }},
			{"source_mac", func(t *Transfer, s string) (err error) { t.SourceMAC, err = parseMAC(s); return err },
				func(t Transfer) string { return t.SourceMAC.String() }},
			{"next_hop_mac", func(t *Transfer, s string) (err error) { t.NextHopMAC, err = parseMAC(s); return err },
				func(t Transfer) string { return t.NextHopMAC.String() }},
		},
		done: func(t *Transfer) error {
			switch {
			case t.Online.Port() == 0:
				return fmt.Errorf("lacks online; write the port that clients connect to, such as online = \"80\"")
			case !t.Target.Addr().IsValid():
				return fmt.Errorf("lacks target; write the system under test, such as target = \"10.1.2.100:80\"")
			case (t.SourceMAC == nil) != (t.NextHopMAC == nil):
				return fmt.Errorf("has one MAC address; write source_mac and next_hop_mac, or none")
			case t.Target.Port() == 0:
				t.Target = netip.AddrPortFrom(t.Target.Addr(), t.Online.Port())
			}
			return nil
		},
	}
}

func interceptRows(p *[]string) value {
	return rows[string]{
		list: texts(p),
		columns: []column[string]{{"address",
			func(t *string, s string) error { *t = s; return nil },
			func(t string) string { return t }}},
		done: func(t *string) error {
			if *t == "" {
				return fmt.Errorf("lacks address; write the assistant's, such as address = \"10.1.2.30\"")
			}
			return nil
		},
	}
}

// optionalAddr is an IP address; "" is none.
func optionalAddr(p *netip.Addr) value {
	return scalar[netip.Addr]{p: p,
		parse: func(s string) (netip.Addr, error) {
			if s == "" {
				return netip.Addr{}, nil
			}
			return parseAddr(s)
		},
		print: func(a netip.Addr) string {
			if !a.IsValid() {
				return ""
			}
			return a.String()
		},
	}
}

// ParseTcpcopy reads the command line args, without the program's name, and
// the file that it names. Help and printed configurations go to out.
func ParseTcpcopy(args []string, out io.Writer) (*Tcpcopy, error) {
	c := tcpcopyDefaults()
	p := newParser("tcpcopy", tcpcopySynopsis, &c.Process, c.settings())
	if err := p.run(args, out, c.finish); err != nil {
		return nil, err
	}
	return &c.Tcpcopy, nil
}

// finish understands the settings as a whole.
func (c *rawTcpcopy) finish(p *parser) error {
	if c.KeepaliveTimeout == 0 {
		c.KeepaliveTimeout = c.NoResponseTimeout + keepaliveOverResponse
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = int(c.Memory / sessionBytes)
	}
	if c.SnapLen < fullSnapLen {
		p.note("-S %d cuts longer packets, and cut requests are not copied: leave it out", c.SnapLen)
	}
	if c.Ramp > 0 && c.Percent <= 1 {
		p.note("-g has no effect: it begins with 1 %%, and -r is not above that")
	}
	for _, check := range []func(*parser) error{c.finishInputs, c.finishRings, c.finishIntercepts, c.finishReplay, c.finishTransfers, c.finishSend, c.finishClients, c.finishCopies} {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *rawTcpcopy) finishIntercepts(p *parser) error {
	c.Intercepts = nil
	for i, s := range c.intercepts {
		ap, err := resolve(s, uint16(c.port))
		switch {
		case err != nil:
			return p.errorf("intercept", "%v", err)
		case ap.Addr().IsUnspecified() || ap.Addr().IsMulticast():
			return p.errorf("intercept", "%v is no address of a host; name the assistant", ap.Addr())
		case slices.Contains(c.Intercepts, ap):
			return p.errorf("intercept", "%v is named twice; use -C for more connections", ap)
		}
		c.Intercepts = append(c.Intercepts, ap)
		c.intercepts[i] = ap.String()
	}
	return nil
}
