package link

import (
	"net"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// write sends what is queued, and heartbeats, until done is closed.
func (l *lane) write(conn net.Conn, done <-chan struct{}) error {
	beat := time.NewTicker(Heartbeat)
	defer beat.Stop()
	out := appendPing(make([]byte, 0, 2*MaxFrame+headerLen), ping{Stamp: l.now()})
	var spare []flowOp // changes places with l.ops
	for {
		if err := l.send(conn, out); err != nil {
			return err
		}
		out = out[:0]
		select {
		case <-done:
			return nil
		case <-beat.C:
			out = appendPing(out, ping{Stamp: l.now()})
		case <-l.wake:
		}
		l.mu.Lock()
		ops, list, stamp, owed := l.ops, l.list, l.stamp, l.owed
		l.ops, l.list, l.owed = spare[:0], false, false
		l.mu.Unlock()
		spare = ops
		if owed {
			out = appendPong(out, stamp)
		}
		var err error
		if list {
			// The list is newer than ops; what is queued meanwhile follows it.
			out, err = l.sendList(conn, out)
		} else {
			out, err = l.sendOps(conn, out, ops)
		}
		if err != nil {
			return err
		}
	}
}

// sendList sends the whole list of this link's flows. It returns out with
// what is left to send.
func (l *lane) sendList(conn net.Conn, out []byte) ([]byte, error) {
	out = appendFrame(out, TypeFlowSync, []byte{syncBegin})
	es := make([]packet.Endpoint, 0, flowsPerFrame)
	var err error
	flush := func() {
		out = appendFlows(out, TypeFlowAdd, es)
		es = es[:0]
		if err == nil {
			err = l.send(conn, out)
		}
		out = out[:0]
	}
	l.client.cfg.LiveFlows(func(e packet.Endpoint) {
		if packet.Shard(e.Port, len(l.client.lanes)) != l.index {
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
func (l *lane) sendOps(conn net.Conn, out []byte, ops []flowOp) ([]byte, error) {
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
			if err := l.send(conn, out); err != nil {
				return nil, err
			}
			out = out[:0]
		}
	}
	return out, nil
}
