package ring

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// fanout is a group of packet sockets of which each packet reaches one
// (packet(7), PACKET_FANOUT).
type fanout struct {
	program []bpf.RawInstruction
	spare   bool // the first member takes what another has no room for
	id      int  // chosen by the kernel when the first socket joins
	members int
}

// join makes the bound socket fd the next member. The kernel numbers members
// in the order of joining, and again in the order in which the sockets were
// created when the interface comes up again.
func (f *fanout) join(fd int) error {
	// Linux 6.1 brought FLAG_IGNORE_OUTGOING; kernels before take no notice.
	typ := unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_DEFRAG | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	if f.program != nil {
		typ |= unix.PACKET_FANOUT_CBPF
	}
	if f.spare {
		// Since Linux 4.2 the kernel looks for room from the first member on.
		typ |= unix.PACKET_FANOUT_FLAG_ROLLOVER
	}
	if f.members == 0 {
		// Linux 4.12: an id that no other process has.
		typ |= unix.PACKET_FANOUT_FLAG_UNIQUEID
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, typ<<16|f.id); err != nil {
		return err
	}
	if f.members++; f.members > 1 {
		return nil
	}
	v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return err
	}
	f.id = v & 0xffff
	if f.program == nil {
		return nil
	}
	return setProgram(fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, f.program)
}

// ShardProgram is pipeline/packet.Shard(port, n) of a packet's TCP source port
// as a program for OpenGroup. A packet that is not IPv4 or IPv6 with TCP
// directly behind it, or a fragment, has shard 0.
//
// It loads from the packet's beginning, which in a fanout group is the network
// header, and not from SKF_NET_OFF, which before Linux 6.16 finds nothing in
// the pages of a packet that the driver did not make linear.
func ShardProgram(n int) []bpf.RawInstruction { return shardProgram(n, 0) }

const multiplier = 0x9e3779b1

// shardProgram is ShardProgram whose shards begin with first.
func shardProgram(n int, first uint32) []bpf.RawInstruction {
	return assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 8},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 4, SkipTrue: 15},
		bpf.LoadAbsolute{Off: 9, Size: 1}, // IPv4
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 13},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 11},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 0, Size: 2},
		bpf.Jump{Skip: 3},
		bpf.LoadAbsolute{Off: 6, Size: 1}, // IPv6
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 40, Size: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: multiplier},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(n)},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: first},
		bpf.RetA{},
		bpf.RetConstant{Val: first},
	})
}

// shard is ShardProgram(n) of the packet b.
func shard(b []byte, n int) int {
	var proto byte
	port := 40
	switch {
	case len(b) < 20:
		return 0
	case b[0]>>4 == 4 && b[6]&0x3f == 0 && b[7] == 0:
		proto, port = b[9], int(b[0]&15)*4
	case b[0]>>4 == 6:
		proto = b[6]
	}
	if proto != unix.IPPROTO_TCP || len(b) < port+2 {
		return 0
	}
	return int(uint32(binary.BigEndian.Uint16(b[port:])) * multiplier >> 16 % uint32(n))
}

// assemble makes a program for the kernel of instructions known to be right.
func assemble(p []bpf.Instruction) []bpf.RawInstruction {
	raw := make([]bpf.RawInstruction, len(p))
	for i, ins := range p {
		raw[i], _ = ins.Assemble()
	}
	return raw
}
