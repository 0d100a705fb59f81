package filter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// program is a numeric filter: it ends in ret #k, and its loads count from
// the start of an Ethernet frame or name the ancillary data.
type program struct{ code []bpf.RawInstruction }

// isNumeric reports whether text is nothing but decimal numbers.
func isNumeric(text string) bool {
	return span(text, digits+" ,\t\r\n") == len(text) && strings.ContainsAny(text, digits)
}

// parseProgram reads the count of instructions and then each as op jt jf k.
func parseProgram(text string) (*program, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,\t\r\n", r) })
	nums := make([]uint32, len(words))
	for i, w := range words {
		n, err := strconv.ParseUint(w, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("filter: number %d, %q: not a number of 32 bits", i+1, w)
		}
		nums[i] = uint32(n)
	}
	count := int(nums[0])
	if count == 0 || len(nums) != 1+4*count {
		return nil, fmt.Errorf("filter: %d numbers behind the first, which promises %d instructions of 4: give the whole output of tcpdump -ddd", len(nums)-1, count)
	}
	if count > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("filter: %d instructions, the kernel takes %d: write nets for hosts", count, unix.BPF_MAXINSNS)
	}
	p := &program{}
	for i := range count {
		n := nums[1+4*i:]
		if n[0] > 0xffff || n[1] > 0xff || n[2] > 0xff {
			return nil, fmt.Errorf("filter: instruction %d: op is above 65535, or a jump above 255", i)
		}
		p.code = append(p.code, bpf.RawInstruction{Op: uint16(n[0]), Jt: uint8(n[1]), Jf: uint8(n[2]), K: n[3]})
	}
	for i, ins := range p.code {
		if why := check(ins, uint64(count-i-1)); why != "" {
			return nil, fmt.Errorf("filter: instruction %d (%d %d %d %d): %s", i, ins.Op, ins.Jt, ins.Jf, ins.K, why)
		}
	}
	if p.code[count-1].Op != retK {
		return nil, errors.New("filter: the last instruction is not ret: give the whole output of tcpdump -ddd")
	}
	return p, nil
}

// check says what is wrong with ins, which has left instructions behind it;
// empty: nothing.
func check(ins bpf.RawInstruction, left uint64) string {
	switch ins.Op {
	case retK, ldImm, ldLen, ldxImm, ldxLen, ldxMsh, tax, txa, aluNeg:
	case ldAbs | sizes[1], ldAbs | sizes[2], ldAbs | sizes[4]:
		if ins.K >= ancillary && ins.K != adProtocol && ins.K != adTag && ins.K != adTagged {
			return "of the ancillary data, the protocol and the VLAN tag can be loaded"
		}
	case ldInd | sizes[1], ldInd | sizes[2], ldInd | sizes[4]:
	case ldMem, ldxMem, st, stx:
		if ins.K >= maxScratch {
			return "there are 16 scratch words"
		}
	case jmpA:
		if uint64(ins.K) >= left {
			return "jumps behind the end"
		}
	default:
		return checkOperator(ins, left)
	}
	return ""
}

// checkOperator is check for the instructions with an operator.
func checkOperator(ins bpf.RawInstruction, left uint64) string {
	op := ins.Op & 0xf0
	switch ins.Op &^ 0xf0 {
	case aluK:
		if _, ok := apply(op, 1, ins.K); ok {
			return ""
		}
	case aluX:
		if _, ok := apply(op, 1, 1); ok {
			return ""
		}
	case jmpK, jmpX:
		if op != opEQ && op != opGT && op != opGE && op != opSet {
			break
		}
		if uint64(max(ins.Jt, ins.Jf)) >= left {
			return "jumps behind the end"
		}
		return ""
	}
	return "not an instruction of tcpdump's"
}
