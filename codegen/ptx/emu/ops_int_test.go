package emu

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

func intOps() []opCase {
	var all []opCase
	for _, n := range []int{16, 32, 64} {
		for _, sign := range []string{"u", "s"} {
			t := fmt.Sprintf("%s%d", sign, n)
			two, three := t+" "+t, t+" "+t+" "+t
			val := func(x uint64) int64 {
				if sign == "s" {
					return s(n, x)
				}
				return int64(x)
			}
			add := func(text, in string, f func(x [4]uint64) uint64) {
				all = append(all, opCase{strings.ReplaceAll(text, "T", t), in, t, f})
			}
			add("add.T %d, %a, %b;", two, func(x [4]uint64) uint64 { return u(n, int64(x[0]+x[1])) })
			add("sub.T %d, %a, %b;", two, func(x [4]uint64) uint64 { return u(n, int64(x[0]-x[1])) })
			add("mul.lo.T %d, %a, %b;", two, func(x [4]uint64) uint64 { return u(n, int64(x[0]*x[1])) })
			add("mad.lo.T %d, %a, %b, %c;", three, func(x [4]uint64) uint64 { return u(n, int64(x[0]*x[1]+x[2])) })
			hi := func(x [4]uint64) uint64 {
				if n < 64 {
					return u(n, val(x[0])*val(x[1])>>n)
				}
				h, _ := bits.Mul64(x[0], x[1])
				if sign == "s" {
					if int64(x[0]) < 0 {
						h -= x[1]
					}
					if int64(x[1]) < 0 {
						h -= x[0]
					}
				}
				return h
			}
			add("mul.hi.T %d, %a, %b;", two, hi)
			add("mad.hi.T %d, %a, %b, %c;", three, func(x [4]uint64) uint64 { return u(n, int64(hi(x)+x[2])) })
			isLess := func(a, b uint64) bool {
				if sign == "s" {
					return s(n, a) < s(n, b)
				}
				return a < b
			}
			add("min.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if isLess(x[1], x[0]) {
					return x[1]
				}
				return x[0]
			})
			add("max.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if isLess(x[0], x[1]) {
					return x[1]
				}
				return x[0]
			})
			// or 1, so that nothing is divided by zero
			or := fmt.Sprintf("or.b%d %%b, %%b, 1; ", n)
			add(or+"div.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if x[1] |= 1; sign == "u" {
					return x[0] / x[1]
				}
				return u(n, val(x[0])/val(x[1]))
			})
			add(or+"rem.T %d, %a, %b;", two, func(x [4]uint64) uint64 {
				if x[1] |= 1; sign == "u" {
					return x[0] % x[1]
				}
				return u(n, val(x[0])%val(x[1]))
			})
			if n < 64 {
				wide := fmt.Sprintf("%s%d", sign, 2*n)
				all = append(all,
					opCase{"mul.wide." + t + " %d, %a, %b;", two, wide, func(x [4]uint64) uint64 { return u(2*n, val(x[0])*val(x[1])) }},
					opCase{"mad.wide." + t + " %d, %a, %b, %c;", two + " " + wide, wide, func(x [4]uint64) uint64 { return u(2*n, val(x[0])*val(x[1])+int64(x[2])) }})
			}
			if sign == "s" {
				add("neg.T %d, %a;", t, func(x [4]uint64) uint64 { return u(n, -int64(x[0])) })
				add("abs.T %d, %a;", t, func(x [4]uint64) uint64 { return u(n, max(val(x[0]), -val(x[0]))) })
			}
		}
	}
	return append(all, dotOps()...)
}

// dotOps are sums that saturate, and products of bytes.
func dotOps() []opCase {
	var all []opCase
	clamp := func(v int64) uint64 { return u(32, min(max(v, math.MinInt32), math.MaxInt32)) }
	all = append(all,
		opCase{"add.sat.s32 %d, %a, %b;", "s32 s32", "s32", func(x [4]uint64) uint64 { return clamp(s(32, x[0]) + s(32, x[1])) }},
		opCase{"sub.sat.s32 %d, %a, %b;", "s32 s32", "s32", func(x [4]uint64) uint64 { return clamp(s(32, x[0]) - s(32, x[1])) }})
	for _, a := range []string{"u", "s"} {
		for _, b := range []string{"u", "s"} {
			out := "u32"
			if a+b != "uu" {
				out = "s32"
			}
			in := a + "32 " + b + "32 " + out
			part := func(sign string, bits int, x uint64, i int) int64 {
				x = x >> (bits * i) & (1<<bits - 1)
				if sign == "s" {
					return s(bits, x)
				}
				return int64(x)
			}
			all = append(all, opCase{fmt.Sprintf("dp4a.%s32.%s32 %%d, %%a, %%b, %%c;", a, b), in, out, func(x [4]uint64) uint64 {
				sum := int64(x[2])
				for i := range 4 {
					sum += part(a, 8, x[0], i) * part(b, 8, x[1], i)
				}
				return u(32, sum)
			}})
			for at, half := range []string{"lo", "hi"} {
				all = append(all, opCase{fmt.Sprintf("dp2a.%s.%s32.%s32 %%d, %%a, %%b, %%c;", half, a, b), in, out, func(x [4]uint64) uint64 {
					return u(32, int64(x[2])+part(a, 16, x[0], 0)*part(b, 8, x[1], 2*at)+part(a, 16, x[0], 1)*part(b, 8, x[1], 2*at+1))
				}})
			}
		}
	}
	return all
}
