// Package conf turns a command line and a TOML file into one validated
// configuration, for tcpcopy and for intercept. The letters of the C tools
// keep their meaning; docs/configuration.md lists every key and flag.
//
// A setting exists once, in the table of its tool (tcpcopySettings,
// interceptSettings): the command line, the file, the printed configuration and
// the tests all go through that table.
package conf

import (
	"cmp"
	"errors"
	"net/netip"
	"runtime"
	"time"
)

// What the parsers return instead of a configuration when the command line
// asks for something else than a run. Every other error of theirs is one line
// for stderr that names the flag or the key, its place and the mend; the exit
// status is then 2.
var (
	// ErrHelp says that the help was written to out. Exit status 0.
	ErrHelp = errors.New("help was asked for")
	// ErrVersion says that the caller shall print its version. Exit status 0.
	ErrVersion = errors.New("the version was asked for")
	// ErrPrinted says that --print-config wrote the configuration to out. Exit
	// status 0.
	ErrPrinted = errors.New("only the configuration was asked for")
)

// DefaultPort is where intercept listens for tcpcopy, as in the C tools.
const DefaultPort = 36524

// Process holds what both tools have as processes.
type Process struct {
	LogFile   string // "": standard error
	LogLevel  string // debug, info, warn, error
	LogFormat string // text, json, logfmt; "": text on a terminal, else logfmt
	PidFile   string // "": none
	Daemon    bool
	WebListen string // host:port or :port of /metrics; "": none
	WebConfig string // file of Prometheus's exporter-toolkit with TLS and passwords for WebListen; "": none
	Pprof     bool   // also net/http/pprof on WebListen
	Name      string // what the other side of the link calls this process; default the host's name
	Secret    string // shared secret of the link, read from SecretFile; "": none

	SecretFile string
	Config     string   // path of the TOML file; "": none was given
	Check      bool     // only tell whether this host has what the configuration needs
	Notes      []string // what was accepted without its old effect, a line each, for the log

	shown []shown
}

// Tcpcopy is the configuration of tcpcopy.
type Tcpcopy struct {
	Process
	Transfers []Transfer // the first that matches a packet wins

	Interfaces  []string // empty: all
	Filter      string   // pcap-filter(7); "": derived from Transfers
	RingBytes   int64    // of all capture rings together
	CatchUp     float64  // times the recorded rate after a stall; 0: at once
	SnapLen     int      // bytes of each packet
	Promiscuous bool

	Replay Replay

	Clients           *Pool         // what replaces the clients' addresses; nil: they keep them
	LoopbackClient    netip.Addr    // replaces a loopback source; invalid: it stays
	Copies            int           // of each session, 1 to 1023
	Percent           float64       // of the sessions, (0,100]
	Ramp              time.Duration // over which the share grows from 1 % to Percent; 0: at once
	MaxSessionRate    float64       // new sessions a second, copies too; above it clients are left out; 0: no limit
	MaxByteRate       int64         // of payload a second, copies too; above it new sessions are left out; 0: no limit
	Encrypted         string        // EncryptedSkip or EncryptedCopy
	OnlyComplete      bool          // only sessions whose SYN was seen
	NoWait            bool          // do not hold a request for the answer to the one before
	RTT               time.Duration // 0: measured
	NoResponseTimeout time.Duration // a session that waits longer for the target is given up
	KeepaliveTimeout  time.Duration // a session that is idle longer is given up
	Memory            int64         // bytes that sessions and their payload may take
	MaxSessions       int

	SendMode     string // SendLink or SendRaw
	OutInterface string // "": from the route
	MTU          int    // towards the target; 0: from the route
	SynMSS       int    // of SYNs that no client sent; 0: from the route

	Intercepts        []netip.AddrPort // none: the replies come to this host
	ConnsPerIntercept int
	ReplyInterface    string // where replies come in if there are no Intercepts; "": from the route

	Workers       int           // 0: see WorkerCount
	CPUs          []int         // worker i is bound to the i-th of them, counted round; none: they are not bound
	ShutdownGrace time.Duration // for the copied sessions to close
}

// WorkerCount is how many workers there are: without a number one for each of
// CPUs, or one for each CPU of the process.
func (c *Tcpcopy) WorkerCount() int {
	return cmp.Or(c.Workers, len(c.CPUs), runtime.GOMAXPROCS(0))
}

// Replay says how recordings are replayed. Without Files packets are captured.
type Replay struct {
	Files         []string      // recordings; "-" is standard input
	Speed         float64       // of recorded time; +Inf: as fast as the target answers
	MaxGap        time.Duration // longer gaps between matching packets are cut to it; 0: none is cut
	Times         int           // 0: until stopped
	From, To      time.Duration // the part that is replayed, from the first packet; To 0: to the end
	MaxConcurrent int           // sessions that wait for the target at a time, where Speed is +Inf
	Report        string        // path of the JSON report; "": none
}

// The values of Tcpcopy.SendMode.
const (
	SendLink = "link" // AF_PACKET, whole frames
	SendRaw  = "raw"  // raw IP sockets, the kernel's routing
)

// The values of Tcpcopy.Encrypted: what becomes of TLS and SSH connections,
// which cannot be replayed as bytes.
const (
	EncryptedSkip = "skip" // recognised at their first bytes, counted and passed over
	EncryptedCopy = "copy" // sent blindly
)

// Intercept is the configuration of intercept.
type Intercept struct {
	Process
	Interfaces []string // empty: all
	Filter     string   // pcap-filter(7); "": TCP
	RingBytes  int64    // of all capture rings together

	// Listen is where tcpcopys connect. net.Listen takes 0.0.0.0 and [::] for
	// every address of both families.
	Listen   []netip.AddrPort
	MaxBatch int // reply records in one write

	Rewrites     []Rewrite
	DelayTable   int           // replies kept while the claim of their session is on its way
	RouteTimeout time.Duration // how long the claims of a tcpcopy without links stay
	Single       bool          // serve the first tcpcopy only
}

// Rewrite says that a reply to From is one to To: what a container's address
// translation hid.
type Rewrite struct{ From, To netip.Addr }
