package emu

import (
	"fmt"
	"strings"
)

func bitOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x [4]uint64) uint64) { all = append(all, opCase{text, in, out, f}) }
	for _, n := range []int{16, 32, 64} {
		t := fmt.Sprintf("b%d", n)
		sub := func(text string) string { return strings.ReplaceAll(text, "T", t) }
		add(sub("and.T %d, %a, %b;"), t+" "+t, t, func(x [4]uint64) uint64 { return x[0] & x[1] })
		add(sub("or.T %d, %a, %b;"), t+" "+t, t, func(x [4]uint64) uint64 { return x[0] | x[1] })
		add(sub("xor.T %d, %a, %b;"), t+" "+t, t, func(x [4]uint64) uint64 { return x[0] ^ x[1] })
		add(sub("not.T %d, %a;"), t, t, func(x [4]uint64) uint64 { return u(n, int64(^x[0])) })
		add(sub("cnot.T %d, %a;"), t, t, func(x [4]uint64) uint64 { return truth(x[0] == 0) })
		add(sub("shl.T %d, %a, %b;"), t+" u32", t, func(x [4]uint64) uint64 { return u(n, int64(x[0]<<min(x[1], 64))) })
		add(sub("shr.T %d, %a, %b;"), t+" u32", t, func(x [4]uint64) uint64 { return x[0] >> min(x[1], 64) })
		add(fmt.Sprintf("shr.s%d %%d, %%a, %%b;", n), t+" u32", t, func(x [4]uint64) uint64 { return u(n, s(n, x[0])>>min(x[1], uint64(n-1))) })
	}
	for _, n := range []int{32, 64} {
		t := fmt.Sprintf("b%d", n)
		sub := func(text string) string { return strings.ReplaceAll(text, "T", t) }
		add(sub("popc.T %d, %a;"), t, "u32", func(x [4]uint64) uint64 { return uint64(strings.Count(fmt.Sprintf("%b", x[0]), "1")) })
		add(sub("clz.T %d, %a;"), t, "u32", func(x [4]uint64) uint64 {
			c := uint64(0)
			for i := n - 1; i >= 0 && x[0]>>i&1 == 0; i-- {
				c++
			}
			return c
		})
		add(sub("brev.T %d, %a;"), t, t, func(x [4]uint64) (r uint64) {
			for i := range n {
				r |= x[0] >> i & 1 << (n - 1 - i)
			}
			return r
		})
		add(sub("bfi.T %d, %a, %b, %c, 5;"), t+" "+t+" u32", t, func(x [4]uint64) uint64 {
			r := x[1]
			for i := range uint64(5) {
				if at := x[2]&255 + i; at < uint64(n) {
					r = r&^(1<<at) | x[0]>>i&1<<at
				}
			}
			return r
		})
		for _, sign := range []string{"u", "s"} {
			ty := fmt.Sprintf("%s%d", sign, n)
			add(fmt.Sprintf("bfe.%s %%d, %%a, %%b, %%c;", ty), ty+" u32 u32", ty, func(x [4]uint64) (r uint64) {
				pos, length := x[1]&255, x[2]&255
				msb := uint64(n - 1)
				var sbit uint64
				if sign == "s" && length > 0 {
					sbit = x[0] >> min(pos+length-1, msb) & 1
				}
				for i := range uint64(n) {
					bit := sbit
					if i < length && pos+i <= msb {
						bit = x[0] >> (pos + i) & 1
					}
					r |= bit << i
				}
				return r
			})
			add(fmt.Sprintf("bfind.%s %%d, %%a;", ty), ty, "u32", func(x [4]uint64) uint64 { return findBit(n, sign == "s", x[0], false) })
			add(fmt.Sprintf("bfind.shiftamt.%s %%d, %%a;", ty), ty, "u32", func(x [4]uint64) uint64 { return findBit(n, sign == "s", x[0], true) })
		}
	}
	return append(all, byteOps()...)
}

// byteOps take words apart: by tables of bits, selectors of bytes, and shifts of two words.
func byteOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x [4]uint64) uint64) { all = append(all, opCase{text, in, out, f}) }
	for _, table := range []uint64{0x80, 0xfe, 0x96, 0xe8, 0xca, 0x1b} {
		add(fmt.Sprintf("lop3.b32 %%d, %%a, %%b, %%c, %d;", table), "b32 b32 b32", "b32", func(x [4]uint64) (r uint64) {
			for i := range 32 {
				r |= table >> (x[0]>>i&1<<2 | x[1]>>i&1<<1 | x[2]>>i&1) & 1 << i
			}
			return r
		})
	}
	for mode, sel := range map[string][4]string{"": {}, ".f4e": {"3210", "4321", "5432", "6543"}, ".b4e": {"5670", "6701", "7012", "0123"}, ".rc8": {"0000", "1111", "2222", "3333"},
		".ecl": {"3210", "3211", "3222", "3333"}, ".ecr": {"0000", "1110", "2210", "3210"}, ".rc16": {"1010", "3232", "1010", "3232"}} {
		add("prmt.b32"+mode+" %d, %a, %b, %c;", "b32 b32 b32", "b32", func(x [4]uint64) (r uint64) {
			bytes := x[1]<<32 | x[0]
			for i := range 4 {
				n := x[2] >> (4 * i) & 15
				if mode != "" {
					n = uint64(sel[x[2]&3][3-i] - '0')
				}
				b := bytes >> (8 * (n & 7)) & 255
				if n&8 != 0 {
					b = uint64(uint8(int8(b) >> 7))
				}
				r |= b << (8 * i)
			}
			return r
		})
	}
	for _, mode := range []string{"wrap", "clamp"} {
		amount := func(n uint64) uint64 {
			if mode == "wrap" {
				return n % 32
			}
			return min(n, 32)
		}
		add("shf.l."+mode+".b32 %d, %a, %b, %c;", "b32 b32 u32", "b32", func(x [4]uint64) uint64 {
			n := amount(x[2])
			return u(32, int64(x[1]<<n|x[0]>>(32-n)))
		})
		add("shf.r."+mode+".b32 %d, %a, %b, %c;", "b32 b32 u32", "b32", func(x [4]uint64) uint64 {
			n := amount(x[2])
			return u(32, int64(x[1]<<(32-n)|x[0]>>n))
		})
	}
	for _, op := range []struct {
		name string
		f    func(a, b bool) bool
	}{{"and", func(a, b bool) bool { return a && b }}, {"or", func(a, b bool) bool { return a || b }}, {"xor", func(a, b bool) bool { return a != b }}} {
		add(op.name+".pred %d, %a, %b;", "pred pred", "pred", func(x [4]uint64) uint64 { return truth(op.f(x[0] != 0, x[1] != 0)) })
	}
	add("not.pred %d, %a;", "pred", "pred", func(x [4]uint64) uint64 { return 1 - x[0] })
	return all
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func findBit(n int, signed bool, x uint64, shift bool) uint64 {
	if signed && x>>(n-1) != 0 {
		x = u(n, int64(^x))
	}
	for i := n - 1; i >= 0; i-- {
		if x>>i&1 != 0 {
			if shift {
				return uint64(n - 1 - i)
			}
			return uint64(i)
		}
	}
	return 0xffffffff
}
