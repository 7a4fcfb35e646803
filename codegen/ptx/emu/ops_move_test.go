package emu

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

func compareOps() []opCase {
	var all []opCase
	cmp := map[string]func(a, b float64) bool{
		"eq": func(a, b float64) bool { return a == b }, "ne": func(a, b float64) bool { return a < b || a > b },
		"lt": func(a, b float64) bool { return a < b }, "le": func(a, b float64) bool { return a <= b },
		"gt": func(a, b float64) bool { return a > b }, "ge": func(a, b float64) bool { return a >= b },
	}
	nan := func(a, b float64) bool { return a != a || b != b }
	for name, f := range cmp {
		flt := func(x [4]uint64) (float64, float64) { return float64(fl(x[0])), float64(fl(x[1])) }
		all = append(all,
			opCase{"setp." + name + ".f32 %d, %a, %b;", "f32 f32", "pred", func(x [4]uint64) uint64 { return truth(f(flt(x))) }},
			opCase{"setp." + name + "u.f32 %d, %a, %b;", "f32 f32", "pred", func(x [4]uint64) uint64 { a, b := flt(x); return truth(f(a, b) || nan(a, b)) }},
			opCase{"setp." + name + ".s32 %d, %a, %b;", "s32 s32", "pred", func(x [4]uint64) uint64 { return truth(f(float64(s(32, x[0])), float64(s(32, x[1])))) }},
			opCase{"setp." + name + ".u16 %d, %a, %b;", "u16 u16", "pred", func(x [4]uint64) uint64 { return truth(f(float64(x[0]), float64(x[1]))) }},
			opCase{"setp." + name + ".s64 %d, %a, %b;", "s64 s64", "pred", func(x [4]uint64) uint64 {
				return truth(f(float64(big.NewInt(int64(x[0])).Cmp(big.NewInt(int64(x[1])))), 0))
			}},
			opCase{"setp." + name + ".and.u32 %d, %a, %b, %c;", "u32 u32 pred", "pred", func(x [4]uint64) uint64 { return truth(f(float64(x[0]), float64(x[1]))) & x[2] }},
			opCase{"set." + name + ".u32.s32 %d, %a, %b;", "s32 s32", "u32", func(x [4]uint64) uint64 {
				return -truth(f(float64(s(32, x[0])), float64(s(32, x[1])))) & 0xffffffff
			}},
			opCase{"set." + name + ".f32.f32 %d, %a, %b;", "f32 f32", "f32", func(x [4]uint64) uint64 {
				return truth(f(flt(x))) * uint64(math.Float32bits(1))
			}})
	}
	for i, name := range []string{"lo", "ls", "hi", "hs"} {
		f := cmp[[]string{"lt", "le", "gt", "ge"}[i]]
		all = append(all, opCase{"setp." + name + ".u32 %d, %a, %b;", "u32 u32", "pred", func(x [4]uint64) uint64 { return truth(f(float64(x[0]), float64(x[1]))) }})
	}
	// Both results, and the third operand.
	all = append(all,
		opCase{".reg .pred %x, %y; setp.lt.or.s32 %x|%y, %a, %b, !%c; xor.pred %d, %x, %y;", "s32 s32 pred", "pred", func(x [4]uint64) uint64 {
			return x[2] // p or !c, !p or !c: they differ unless !c makes both true
		}},
		opCase{".reg .pred %y; setp.lt.xor.s32 _|%y, %a, %b, %c; mov.pred %d, %y;", "s32 s32 pred", "pred", func(x [4]uint64) uint64 {
			return truth(!(s(32, x[0]) < s(32, x[1]))) ^ x[2]
		}},
		opCase{"setp.num.f32 %d, %a, %b;", "f32 f32", "pred", func(x [4]uint64) uint64 { return truth(!nan(float64(fl(x[0])), float64(fl(x[1])))) }},
		opCase{"setp.nan.f32 %d, %a, %b;", "f32 f32", "pred", func(x [4]uint64) uint64 { return truth(nan(float64(fl(x[0])), float64(fl(x[1])))) }},
		opCase{"setp.gt.ftz.f32 %d, %a, %b;", "f32 f32", "pred", func(x [4]uint64) uint64 { return truth(flush(fl(x[0])) > flush(fl(x[1]))) }},
		opCase{"setp.ltu.f64 %d, %a, %b;", "f64 f64", "pred", func(x [4]uint64) uint64 {
			return truth(!(math.Float64frombits(x[0]) >= math.Float64frombits(x[1])))
		}},
		opCase{"setp.lt.f16 %d, %a, %b;", "b16 b16", "pred", func(x [4]uint64) uint64 { return truth(halfValue(f16, x[0]) < halfValue(f16, x[1])) }})
	return all
}

func convertOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x uint64) uint64) {
		all = append(all, opCase{text, in, out, func(x [4]uint64) uint64 { return f(x[0]) }})
	}
	bitsOf := map[string]int{"u16": 16, "s16": 16, "u32": 32, "s32": 32, "u64": 64, "s64": 64, "u8": 8, "s8": 8}
	for to, n := range bitsOf {
		reg := to
		if n == 8 {
			reg = "b16"
		}
		round := map[string]func(float64) float64{"rni": math.RoundToEven, "rzi": math.Trunc, "rmi": math.Floor, "rpi": math.Ceil}
		for mode, f := range round {
			if n == 8 {
				continue
			}
			add(fmt.Sprintf("cvt.%s.%s.f32 %%d, %%a;", mode, to), "f32", reg, func(x uint64) uint64 { return nearest(n, to[0] == 's', f(float64(fl(x)))) })
		}
		for from, m := range bitsOf {
			in := from
			if m == 8 {
				in = "b16"
			}
			value := func(x uint64) *big.Int {
				if from[0] == 's' {
					return big.NewInt(s(m, x))
				}
				return new(big.Int).SetUint64(x & (1<<m - 1))
			}
			mask := uint64(1)<<max(n, 16) - 1
			if to[0] == 'u' {
				mask = 1<<n - 1
			}
			low := func(v *big.Int) uint64 { return new(big.Int).And(v, new(big.Int).SetUint64(1<<64-1)).Uint64() }
			add(fmt.Sprintf("cvt.%s.%s %%d, %%a;", to, from), in, reg, func(x uint64) uint64 {
				v := low(value(x))
				if to[0] == 's' {
					v = uint64(s(n, v))
				}
				return v & mask
			})
			if fits := n >= m && to[0] == from[0] || n > m && to[0] == 's'; !fits {
				add(fmt.Sprintf("cvt.sat.%s.%s %%d, %%a;", to, from), in, reg, func(x uint64) uint64 {
					v, lo, hi := value(x), big.NewInt(0), new(big.Int).SetUint64(1<<n-1)
					if to[0] == 's' {
						lo, hi = big.NewInt(-1<<(n-1)), big.NewInt(1<<(n-1)-1)
					}
					if v.Cmp(lo) < 0 {
						v = lo
					}
					if v.Cmp(hi) > 0 {
						v = hi
					}
					return low(v) & mask
				})
			}
			if m == 8 || to != "u32" {
				continue
			}
			add(fmt.Sprintf("cvt.rn.f32.%s %%d, %%a;", from), in, "f32", func(x uint64) uint64 {
				f, _ := new(big.Float).SetInt(value(x)).Float32()
				return uint64(math.Float32bits(f))
			})
			add(fmt.Sprintf("cvt.rn.f16.%s %%d, %%a;", from), in, "b16", func(x uint64) uint64 { return roundHalf(f16, new(big.Float).SetInt(value(x))) })
			add(fmt.Sprintf("cvt.rn.f64.%s %%d, %%a;", from), in, "f64", func(x uint64) uint64 {
				f, _ := new(big.Float).SetInt(value(x)).Float64()
				return math.Float64bits(f)
			})
		}
	}
	return append(all, convertFloatOps()...)
}

func convertFloatOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x uint64) uint64) {
		all = append(all, opCase{text, in, out, func(x [4]uint64) uint64 { return f(x[0]) }})
	}
	half := func(t typ, f float64) uint64 { return exactHalf(t, f, 1, math.Copysign(0, f)) }
	add("cvt.f32.f16 %d, %a;", "b16", "f32", func(x uint64) uint64 { return nan32(float32(halfValue(f16, x))) })
	add("cvt.rn.f16.f32 %d, %a;", "f32", "b16", func(x uint64) uint64 { return half(f16, float64(fl(x))) })
	add("cvt.rn.bf16.f32 %d, %a;", "f32", "b16", func(x uint64) uint64 { return half(bf16, float64(fl(x))) })
	add("cvt.rn.f32.f64 %d, %a;", "f64", "f32", func(x uint64) uint64 { return nan32(float32(math.Float64frombits(x))) })
	add("cvt.f64.f32 %d, %a;", "f32", "f64", func(x uint64) uint64 { return math.Float64bits(float64(fl(x))) })
	add("cvt.rni.f32.f32 %d, %a;", "f32", "f32", func(x uint64) uint64 { return nan32(float32(math.RoundToEven(float64(fl(x))))) })
	add("cvt.sat.f32.f32 %d, %a;", "f32", "f32", func(x uint64) uint64 { return uint64(math.Float32bits(clamp01(fl(x)))) })
	add("cvt.ftz.f32.f32 %d, %a;", "f32", "f32", func(x uint64) uint64 { return nan32(flush(fl(x))) })
	add("cvt.rzi.s32.f64 %d, %a;", "f64", "s32", func(x uint64) uint64 { return nearest(32, true, math.Trunc(math.Float64frombits(x))) })
	all = append(all,
		opCase{"cvt.rn.bf16x2.f32 %d, %a, %b;", "f32 f32", "b32", func(x [4]uint64) uint64 {
			return half(bf16, float64(fl(x[0])))<<16 | half(bf16, float64(fl(x[1])))
		}},
		opCase{"cvt.rn.f16x2.f32 %d, %a, %b;", "f32 f32", "b32", func(x [4]uint64) uint64 {
			return half(f16, float64(fl(x[0])))<<16 | half(f16, float64(fl(x[1])))
		}},
		opCase{"cvt.pack.sat.s8.s32.b32 %d, %a, %b, %c;", "s32 s32 b32", "b32", func(x [4]uint64) uint64 {
			c := func(v uint64) uint64 { return uint64(uint8(min(max(s(32, v), -128), 127))) }
			return x[2]&0xffff<<16 | c(x[0])<<8 | c(x[1])
		}},
		opCase{"cvt.pack.sat.u8.s32.b32 %d, %a, %b, %c;", "s32 s32 b32", "b32", func(x [4]uint64) uint64 {
			c := func(v uint64) uint64 { return uint64(min(max(s(32, v), 0), 255)) }
			return x[2]&0xffff<<16 | c(x[0])<<8 | c(x[1])
		}},
		opCase{"cvt.pack.sat.s16.s32 %d, %a, %b;", "s32 s32", "b32", func(x [4]uint64) uint64 {
			c := func(v uint64) uint64 { return uint64(uint16(min(max(s(32, v), -32768), 32767))) }
			return c(x[0])<<16 | c(x[1])
		}})
	return all
}

// nearest is the integer of n bits that is nearest to a whole number; NaN gives 0.
func nearest(n int, signed bool, x float64) uint64 {
	if x != x {
		return 0
	}
	lo, hi := big.NewInt(0), new(big.Int).SetUint64(1<<n-1)
	if signed {
		lo, hi = big.NewInt(-1<<(n-1)), big.NewInt(1<<(n-1)-1)
	}
	v := hi
	if x < 0 {
		v = lo
	}
	if !math.IsInf(x, 0) {
		v, _ = big.NewFloat(x).Int(nil)
	}
	if v.Cmp(lo) < 0 {
		v = lo
	}
	if v.Cmp(hi) > 0 {
		v = hi
	}
	return new(big.Int).And(v, new(big.Int).SetUint64(1<<n-1)).Uint64()
}

func moveOps() []opCase {
	var all []opCase
	add := func(text, in, out string, f func(x [4]uint64) uint64) { all = append(all, opCase{text, in, out, f}) }
	first := func(x [4]uint64) uint64 { return x[0] }
	for _, t := range []string{"b16", "b32", "b64", "f32", "f64"} {
		add("mov."+t+" %d, %a;", t, t, first)
		add("selp."+t+" %d, %a, %b, %c;", t+" "+t+" pred", t, func(x [4]uint64) uint64 {
			if x[2] != 0 {
				return x[0]
			}
			return x[1]
		})
	}
	add("mov.pred %d, %a;", "pred", "pred", first)
	add("selp.u32 %d, 7, 9, !%a;", "pred", "u32", func(x [4]uint64) uint64 { return 7 + 2*x[0] })
	add("slct.s32.s32 %d, %a, %b, %c;", "s32 s32 s32", "s32", func(x [4]uint64) uint64 {
		if s(32, x[2]) >= 0 {
			return x[0]
		}
		return x[1]
	})
	add("slct.b64.f32 %d, %a, %b, %c;", "b64 b64 f32", "b64", func(x [4]uint64) uint64 {
		if fl(x[2]) >= 0 {
			return x[0]
		}
		return x[1]
	})
	add("mov.b32 %d, {%a, %b};", "b16 b16", "b32", func(x [4]uint64) uint64 { return x[1]<<16 | x[0] })
	add("mov.b64 %d, {%a, %b};", "b32 b32", "b64", func(x [4]uint64) uint64 { return x[1]<<32 | x[0] })
	add("mov.b64 %d, {%a, %b, %c, %e};", "b16 b16 b16 b16", "b64", func(x [4]uint64) uint64 { return x[3]<<48 | x[2]<<32 | x[1]<<16 | x[0] })
	add("mov.b64 {%d, _}, %a;", "b64", "b32", func(x [4]uint64) uint64 { return x[0] & 0xffffffff })
	add("mov.b64 {_, %d}, %a;", "b64", "b32", func(x [4]uint64) uint64 { return x[0] >> 32 })
	add(".reg .b16 %x, %y; mov.b32 {%x, %y}, %a; mov.b32 %d, {%y, %x};", "b32", "b32", func(x [4]uint64) uint64 { return x[0]>>16 | x[0]&0xffff<<16 })
	for text, v := range map[string]uint64{
		"mov.u32 %d, 0x1F;": 31, "mov.u32 %d, 010;": 8, "mov.u32 %d, 0b101;": 5, "mov.s32 %d, -5;": 0xfffffffb, "mov.u32 %d, 4294967295U;": 0xffffffff,
		"mov.b32 %d, 0f3F800000;": 0x3f800000, "mov.u32 %d, WARP_SZ;": 32,
	} {
		add(text, "", "b32", func(x [4]uint64) uint64 { return v })
	}
	add("mov.f32 %d, 0fC0490FDB;", "", "f32", func(x [4]uint64) uint64 { return 0xc0490fdb })
	add("mov.f32 %d, 1.5;", "", "f32", func(x [4]uint64) uint64 { return 0x3fc00000 })
	add("mov.f32 %d, -2.5e-3;", "", "f32", func(x [4]uint64) uint64 { return uint64(math.Float32bits(-2.5e-3)) })
	add("mov.f64 %d, 0d400921FB54442D18;", "", "f64", func(x [4]uint64) uint64 { return 0x400921fb54442d18 })
	add("@%a mov.b32 %d, 1; @!%a mov.b32 %d, 2;", "pred", "b32", func(x [4]uint64) uint64 { return 2 - x[0] })
	add("mov.b32 %d, 5; @%a add.u32 %d, %d, 1; @!%a bra $over; add.u32 %d, %d, 16; $over:", "pred", "u32", func(x [4]uint64) uint64 { return 5 + 17*x[0] })
	add("{ .reg .b32 %x; mov.b32 %x, %a; { .reg .b64 %x; cvt.u64.u32 %x, %a; cvt.u32.u64 %d, %x; } add.u32 %d, %d, %x; }", "b32", "u32",
		func(x [4]uint64) uint64 { return x[0] * 2 & 0xffffffff })
	for i := range all {
		all[i].in = strings.TrimSpace(all[i].in)
	}
	return all
}
