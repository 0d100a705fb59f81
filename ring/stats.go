package ring

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Stats are counts since Open. Packets = what Next returned or still will +
// Drops + Outgoing, unless headers were malformed.
type Stats struct {
	Packets   uint64 // passed the filter
	Drops     uint64 // found the ring full
	Freezes   uint64 // times that the ring became full (V3)
	Spared    uint64 // of Packets, those that Next took from the spare of the group (OpenShards)
	Outgoing  uint64 // sent by this host, passed over (kernels before 6.1)
	Malformed uint64 // frames and blocks with impossible headers, passed over
	Downs     uint64 // times that the interface was seen to go down
}

// Stats reads the counters. The kernel's own start again at each reading, so
// nothing else may read them.
func (r *Ring) Stats() (Stats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.stats, net.ErrClosed
	}
	err := r.readStats()
	if err != nil {
		err = fmt.Errorf("ring: statistics: %w", err)
	}
	return r.stats, err
}

func (r *Ring) readStats() error {
	r.stats.Outgoing, r.stats.Malformed, r.stats.Downs = r.outgoing.Load(), r.malformed.Load(), r.downs.Load()
	if r.version == V2 {
		s, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			return err
		}
		r.stats.Packets += uint64(s.Packets)
		r.stats.Drops += uint64(s.Drops)
		return nil
	}
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return err
	}
	r.stats.Packets += uint64(s.Packets)
	r.stats.Drops += uint64(s.Drops)
	r.stats.Freezes += uint64(s.Freeze_q_cnt)
	if r.share != nil {
		spared := r.share.taken.Load()
		r.stats.Packets += spared - r.stats.Spared
		r.stats.Spared = spared
	}
	return nil
}
