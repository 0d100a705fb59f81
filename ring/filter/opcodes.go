package filter

import "golang.org/x/sys/unix"

// The instructions of classic BPF that are used here
// (include/uapi/linux/bpf_common.h), and the operators by their short names.
const (
	ldAbs  = unix.BPF_LD | unix.BPF_ABS // and a size
	ldInd  = unix.BPF_LD | unix.BPF_IND // and a size
	ldImm  = unix.BPF_LD | unix.BPF_IMM
	ldLen  = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN
	ldMem  = unix.BPF_LD | unix.BPF_MEM
	ldxImm = unix.BPF_LDX | unix.BPF_IMM
	ldxLen = unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN
	ldxMem = unix.BPF_LDX | unix.BPF_MEM
	ldxMsh = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH
	st     = unix.BPF_ST
	stx    = unix.BPF_STX
	tax    = unix.BPF_MISC | unix.BPF_TAX
	txa    = unix.BPF_MISC | unix.BPF_TXA
	aluK   = unix.BPF_ALU | unix.BPF_K
	aluX   = unix.BPF_ALU | unix.BPF_X
	aluNeg = unix.BPF_ALU | unix.BPF_NEG
	jmpA   = unix.BPF_JMP | unix.BPF_JA
	jmpK   = unix.BPF_JMP | unix.BPF_K
	jmpX   = unix.BPF_JMP | unix.BPF_X
	retK   = unix.BPF_RET | unix.BPF_K

	opAdd = unix.BPF_ADD
	opSub = unix.BPF_SUB
	opMul = unix.BPF_MUL
	opDiv = unix.BPF_DIV
	opMod = unix.BPF_MOD
	opXor = unix.BPF_XOR
	opOr  = unix.BPF_OR
	opAnd = unix.BPF_AND
	opLsh = unix.BPF_LSH
	opRsh = unix.BPF_RSH

	opEQ  = unix.BPF_JEQ
	opGT  = unix.BPF_JGT
	opGE  = unix.BPF_JGE
	opSet = unix.BPF_JSET
)

// sizes are the size bits of a load by its bytes.
var sizes = [5]uint16{1: unix.BPF_B, 2: unix.BPF_H, 4: unix.BPF_W}
