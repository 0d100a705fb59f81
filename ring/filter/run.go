package filter

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// frame is a packet as a socket filter sees it: the loads at 0 to 13 are of an
// Ethernet header without addresses, and ip follows.
type frame struct {
	ip     []byte
	proto  uint16 // ethertype
	tagged bool
	tci    uint16
}

// version is the ethertype of a packet that begins at its network header; 0
// where that is neither IPv4's nor IPv6's.
func version(ip []byte) uint16 {
	if len(ip) > 0 {
		switch ip[0] >> 4 {
		case 4:
			return 0x0800
		case 6:
			return 0x86dd
		}
	}
	return 0
}

// run executes code as the kernel does (net/core/filter.c): a load beyond the
// packet, and a division by zero, reject it. code has passed check, or comes
// from coder, which makes nothing else.
func run(code []bpf.RawInstruction, f frame) bool {
	var a, x uint32
	var m [maxScratch]uint32
	ok := true
	for pc := 0; ok && pc < len(code); pc++ {
		i := &code[pc]
		switch i.Op {
		case ldAbs | unix.BPF_B:
			a, ok = f.load(i.K, 1)
		case ldAbs | unix.BPF_H:
			a, ok = f.load(i.K, 2)
		case ldAbs | unix.BPF_W:
			a, ok = f.load(i.K, 4)
		case ldInd | unix.BPF_B:
			a, ok = f.load(x+i.K, 1)
		case ldInd | unix.BPF_H:
			a, ok = f.load(x+i.K, 2)
		case ldInd | unix.BPF_W:
			a, ok = f.load(x+i.K, 4)
		case ldxMsh:
			x, ok = f.load(i.K, 1)
			x = x & 0xf * 4
		case ldImm:
			a = i.K
		case ldLen:
			a = f.len()
		case ldMem:
			a = m[i.K%maxScratch]
		case ldxImm:
			x = i.K
		case ldxLen:
			x = f.len()
		case ldxMem:
			x = m[i.K%maxScratch]
		case st:
			m[i.K%maxScratch] = a
		case stx:
			m[i.K%maxScratch] = x
		case tax:
			x = a
		case txa:
			a = x
		case aluNeg:
			a = -a
		case jmpA:
			pc += int(i.K)
		case retK:
			return i.K != 0
		default:
			r := i.K
			if i.Op&unix.BPF_X != 0 {
				r = x
			}
			switch op := i.Op & 0xf0; {
			case i.Op&0x07 == unix.BPF_ALU:
				if i.Op&unix.BPF_X != 0 && (op == opLsh || op == opRsh) {
					r &= 31
				}
				a, ok = apply(op, a, r)
			case compare(op, a, r):
				pc += int(i.Jt)
			default:
				pc += int(i.Jf)
			}
		}
	}
	return false
}

func (f *frame) len() uint32 { return uint32(len(f.ip) + ethernetHeader) }

// load reads size bytes at k; false: there are not as many.
func (f *frame) load(k, size uint32) (uint32, bool) {
	at := int64(k) - ethernetHeader
	switch {
	case k >= ancillary:
		return f.ancillary(k)
	case k >= netOffset:
		at = int64(k) - netOffset
	case at < 0:
		return f.link(int(k), int(size))
	}
	if at+int64(size) > int64(len(f.ip)) {
		return 0, false
	}
	b := f.ip[at:]
	switch size {
	case 1:
		return uint32(b[0]), true
	case 2:
		return uint32(binary.BigEndian.Uint16(b)), true
	}
	return binary.BigEndian.Uint32(b), true
}

func (f *frame) ancillary(k uint32) (uint32, bool) {
	switch k {
	case adProtocol:
		return uint32(f.proto), true
	case adTag:
		return uint32(f.tci), true
	case adTagged:
		if f.tagged {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// link reads from the Ethernet header, and on into the packet.
func (f *frame) link(k, size int) (v uint32, ok bool) {
	if k+size > len(f.ip)+ethernetHeader {
		return 0, false
	}
	for i := k; i < k+size; i++ {
		v <<= 8
		switch {
		case i >= ethernetHeader:
			v |= uint32(f.ip[i-ethernetHeader])
		case i >= ethernetHeader-2:
			v |= uint32(f.proto >> (8 * (ethernetHeader - 1 - i)) & 0xff)
		}
	}
	return v, true
}
