package link

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// write sends what is queued, and heartbeats, until the link ends: by ctx, by
// the peer, or because the peer is silent.
func (l *clientLink) write(ctx context.Context, in *Inlet) error {
	beat := time.NewTicker(Heartbeat)
	defer beat.Stop()
	heard, since := in.heard.Load(), time.Now()
	out := appendPing(make([]byte, 0, 2*MaxFrame+headerLen), ping{Stamp: l.now()})
	var spare []flowOp // changes places with l.ops
	for {
		if err := l.send(in.file, out); err != nil {
			return err
		}
		out = out[:0]
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-in.ended:
			return in.err
		case now := <-beat.C:
			if n := in.heard.Load(); n != heard {
				heard, since = n, now
			} else if now.Sub(since) >= Silence-Heartbeat/2 {
				return fmt.Errorf("silent for %v", Silence)
			}
			out = appendPing(out, ping{Stamp: l.now()})
		case <-l.wake:
		}
		l.mu.Lock()
		ops, list, stamp, owed, tell := l.ops, l.list, l.stamp, l.owed, l.tell
		l.ops, l.list, l.owed, l.tell = spare[:0], false, false, false
		l.mu.Unlock()
		spare = ops
		if owed {
			out = appendPong(out, stamp)
		}
		if tell {
			out = appendUrgent(out, l.client.urgent.Load())
		}
		var err error
		if list {
			// The list is newer than ops; what is queued meanwhile follows it.
			out, err = l.sendList(in.file, out)
		} else {
			out, err = l.sendOps(in.file, out, ops)
		}
		if err != nil {
			return err
		}
	}
}

// sendList sends the whole list of this link's flows. It returns out with
// what is left to send.
func (l *clientLink) sendList(to io.Writer, out []byte) ([]byte, error) {
	out = appendFrame(out, TypeFlowSync, []byte{syncBegin})
	es := make([]packet.Endpoint, 0, flowsPerFrame)
	var err error
	flush := func() {
		out = appendFlows(out, TypeFlowAdd, es)
		es = es[:0]
		if err == nil {
			err = l.send(to, out)
		}
		out = out[:0]
	}
	l.client.cfg.LiveFlows(func(e packet.Endpoint) {
		if packet.Shard(e.Port, len(l.client.links)) != l.index {
			return
		}
		if es = append(es, e); len(es) == cap(es) {
			flush()
		}
	})
	flush()
	return appendFrame(out, TypeFlowSync, []byte{syncEnd}), err
}

// sendOps sends changes, runs of a kind in one frame. It returns out with
// what is left to send.
func (l *clientLink) sendOps(to io.Writer, out []byte, ops []flowOp) ([]byte, error) {
	for len(ops) > 0 {
		t := TypeFlowAdd
		if ops[0].del {
			t = TypeFlowDel
		}
		var at, n int
		out, at = beginFrame(out, t)
		for n < len(ops) && n < flowsPerFrame && ops[n].del == ops[0].del {
			out = appendEndpoint(out, &ops[n].Endpoint)
			n++
		}
		out = endFrame(out, at)
		ops = ops[n:]
		if len(out) > MaxFrame {
			if err := l.send(to, out); err != nil {
				return nil, err
			}
			out = out[:0]
		}
	}
	return out, nil
}
