package main

import "github.com/tcpcopy-go/tcpcopy/pipeline/reply"

// account is where the captured packets are. Captured = the sum of the others.
type account struct {
	Captured                     uint64
	Forwarded                    uint64 // given to the links' sockets
	NoSession, LinkDown, Expired uint64
	Dropped                      uint64 // lost by links
	Malformed                    [5]uint64
	Held, Queued                 uint64 // on their way yet
}

func (i *intercept) account() account {
	var c reply.Counts
	for _, capture := range i.captures {
		c.Add(capture.replies.Counts())
	}
	router, server := i.router.Stats(), i.server.Stats()
	return account{
		Captured:  c.Captured,
		Forwarded: server.Forwarded,
		NoSession: c.NoSession,
		LinkDown:  c.LinkDown,
		Expired:   router.Expired,
		Dropped:   server.Dropped,
		Malformed: c.Malformed,
		Held:      uint64(router.Held),
		Queued:    uint64(server.Queued),
	}
}

// summarize logs one line of totals.
func (i *intercept) summarize() {
	a, router, server := i.account(), i.router.Stats(), i.server.Stats()
	var malformed, lost uint64
	for _, n := range a.Malformed {
		malformed += n
	}
	for _, c := range i.captures {
		lost += c.packets.Stats(0).Drops
	}
	i.host.Log.Info("summary",
		"captured", a.Captured, "forwarded", a.Forwarded, "no_session", a.NoSession,
		"dropped", a.Dropped, "link_down", a.LinkDown, "expired", a.Expired, "malformed", malformed,
		"waiting", a.Held+a.Queued, "kernel_drops", lost,
		"tcpcopys", server.Instances, "links", server.Links, "claims", router.Claims, "flows", router.Flows)
}
