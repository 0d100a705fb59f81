package flow

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// Endpoints chooses the endpoint that a session shows to the target. Each
// worker has its own, which gives out ports of the worker's shard only, so no
// two workers can choose the same one.
type Endpoints struct {
	shard, shards int
	pool4, pool6  []packet.Addr // what replaces the clients' addresses; both empty: they keep them
	seed          uint64
	cursor        uint16 // of the last port that was tried; it moves on, so that a port rests for long
}

// Ports below are left to services: some gateways refuse clients there.
const minPort = 1024

// NewEndpoints makes the allocator of one of shards workers. The pools are the
// addresses of -c by family.
func NewEndpoints(shard, shards int, pool4, pool6 []packet.Addr, seed uint64) *Endpoints {
	return &Endpoints{shard: shard, shards: shards, pool4: pool4, pool6: pool6, seed: seed, cursor: uint16(seed)}
}

// Choose returns an endpoint for a client, of the target's family, that used
// reports to be free. The client keeps its address or, with a pool, always gets the
// same one of it, which gateways that hash on addresses need; further copies of it
// get others. It keeps its port where that is free and fresh is not set. ok is false
// when nothing is free, or so little that a bounded search did not find it.
func (e *Endpoints) Choose(client packet.Endpoint, copy uint16, target packet.Addr, fresh bool, used func(packet.Endpoint) bool) (_ packet.Endpoint, ok bool) {
	pool := e.pool4
	if !target.Is4() {
		pool = e.pool6
	}
	first, addrs := uint64(0), 1
	if len(pool) > 0 {
		first = packet.Endpoint{Addr: client.Addr, Port: copy}.Hash(e.seed) % uint64(len(pool))
		addrs = min(len(pool), maxAddrs)
	}
	probes := 1 << 16
	for k := range addrs {
		end := client
		if len(pool) > 0 {
			end.Addr = pool[(first+uint64(k))%uint64(len(pool))]
		}
		if !fresh && packet.Shard(end.Port, e.shards) == e.shard && !used(end) {
			return end, true
		}
		if e.freePort(&end, used, probes) {
			return end, true
		}
		probes = maxProbes
	}
	return packet.Endpoint{}, false
}

// maxAddrs and maxProbes bound the search when the client's address of the
// pool is full: a nearly empty pool is found at once, one that is as good as
// full is not searched to its end for every SYN.
const (
	maxAddrs  = 16
	maxProbes = 1 << 10
)

// freePort looks for a free port of the shard at end's address.
func (e *Endpoints) freePort(end *packet.Endpoint, used func(packet.Endpoint) bool, probes int) bool {
	for range probes {
		e.cursor++
		end.Port = e.cursor
		if end.Port >= minPort && packet.Shard(end.Port, e.shards) == e.shard && !used(*end) {
			return true
		}
	}
	return false
}
