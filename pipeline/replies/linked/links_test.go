package linked

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// idle is a worker that does what it is asked at once.
type idle struct{}

func (idle) Wake()                                            {}
func (idle) Do(f func())                                      { f() }
func (idle) Endpoints(es []packet.Endpoint) []packet.Endpoint { return es }

func newLinks(t *testing.T, c *conf.Tcpcopy) *Links {
	t.Helper()
	l, err := New(c, 2, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		l.Serve(i, idle{})
	}
	ctx, stop := context.WithCancel(context.Background())
	l.Start(ctx, func() account.Counters { return account.Counters{} })
	t.Cleanup(func() { stop(); l.Wait() })
	return l
}

func TestAReloadKeepsTheLinksThatStay(t *testing.T) {
	one, two := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	c := &conf.Tcpcopy{Intercepts: []netip.AddrPort{one}, ConnsPerIntercept: 1}
	l := newLinks(t, c)
	first := (*l.now.Load())[0]
	for _, addrs := range [][]netip.AddrPort{{one, two}, {two, one}, {two}} {
		commit, err := l.Prepare(c, &conf.Tcpcopy{Intercepts: addrs})
		if err != nil {
			t.Fatal(err)
		}
		commit()
		var got []netip.AddrPort
		for _, x := range *l.now.Load() {
			got = append(got, x.addr)
		}
		if !slices.Equal(got, addrs) {
			t.Errorf("links to %v, want %v", got, addrs)
		}
		if stays := slices.Contains(addrs, one); slices.Contains(*l.now.Load(), first) != stays {
			t.Errorf("%v: the link that was there is kept: %v", addrs, !stays)
		}
		for i, r := range l.readers {
			if len(r.claims) != len(addrs) {
				t.Errorf("worker %d claims at %d intercepts, want %d", i, len(r.claims), len(addrs))
			}
		}
	}
	select {
	case <-first.ended:
	default:
		t.Error("the link to an intercept that was removed is kept up")
	}
}

func TestAReloadThatIsNotTakenOnStartsNoLink(t *testing.T) {
	one, two := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	c := &conf.Tcpcopy{Intercepts: []netip.AddrPort{one}, ConnsPerIntercept: 1}
	l := newLinks(t, c)
	now := l.now.Load()
	if _, err := l.Prepare(c, &conf.Tcpcopy{Intercepts: []netip.AddrPort{one, two}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Prepare(c, &conf.Tcpcopy{}); err == nil {
		t.Error("without intercepts replies would have to come another way")
	}
	if l.now.Load() != now {
		t.Error("the links have changed")
	}
}
