package ring

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestScratchSpare(t *testing.T) {
	p := newPair(t)
	var rings []*Ring
	p.b.in(func() {
		var err error
		rings, err = OpenShards(Config{Interface: "vb", Filter: onlyTCP, BlockSize: 128 << 10, RetireTimeout: 2 * time.Millisecond}, 2, 128<<20)
		must(t, err)
	})
	for _, r := range rings {
		defer r.Close()
	}
	w := p.a.wire("va")
	const rate, secs = 20000, 2
	begin := time.Now()
	n := 0
	for ; n < rate*secs; n++ {
		var payload [150]byte
		binary.BigEndian.PutUint32(payload[:], uint32(n))
		w.send(tcp(port(a4, uint16(1000+n%100)), port(b4, 80), payload[:]))
		if d := time.Duration(n)*time.Second/rate - time.Since(begin); d > time.Millisecond {
			time.Sleep(d)
		}
	}
	t.Log(time.Since(begin))
	got := 0
	end := time.Now().Add(200 * time.Millisecond)
	last := [2]int{-1, -1}
	for time.Now().Before(end) {
		for i, r := range rings {
			for f := (Frame{}); r.Next(&f); got++ {
				v := int(binary.BigEndian.Uint32(f.Data[len(f.Data)-150:]))
				if v <= last[i] {
					t.Fatalf("ring %d: %d after %d", i, v, last[i])
				}
				last[i] = v
				if owner(f.Data, 2) != i {
					t.Fatal("shard")
				}
			}
		}
	}
	for _, r := range rings {
		s, _ := r.Stats()
		t.Logf("%+v", s)
	}
	t.Log(got, n, rings[0].share.head.Load(), len(rings[0].share.blocks))
}
