package amd64

import (
	"fmt"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// This file has the products of bytes. What a CPU has decides how they are made, never what comes out: all of them are exact modulo 2^32.
//
//	VNNI     dot4u  vpdpbusd: the four products of unsigned and signed bytes, added in 32 bits
//	         dot4   the same with a + 128, less 128 times b's bytes, which is one more vpdpbusd a value of b
//	         dot2   vpdpwssd
//	without  dot4u  vpmaddubsw adds pairs in 16 bits, with saturation, which bytes of a up to 128 cannot reach; vpmaddwd by ones adds pairs of those;
//	                bytes above are widened to 16 bits, the even ones and the odd ones, and multiplied by vpmaddwd
//	         dot4   as dot4u of |a| and b with the sign of a, which -128 does not have; |a| and a's signs are computed once a value of a
//	         dot2   vpmaddwd
//
// The saturating vpdpbusds is never used.
//
// What register blocks reach (BenchmarkDot, Zen 4 at 3.7 GHz, one core, panel in the first two caches; vpmaddubsw chains from registers alone do 236 Gop/s,
// vpmaddwd 190, vpdpbusd of 512 bits 473): x86-64-v3 dot4 135 to 145 in any block of two or four vectors, dot2 177 by 4x2 and 6x2 (rows x vectors),
// dot4u of codes below 16 280 by 2x2 and 6x2 when eight groups are unrolled; x86-64-v4 dot4 177 by 2x4, dot2 207 by 8x2, codes 345 by 4x2;
// x86-64-v4+vnni dot4u 470 from four accumulators on. One row of 1x4 is bound by the second cache there. Zen 3 at 3.24 GHz, x86-64-v3: dot4 120 to 146,
// dot2 144 to 148 by 4x2, dot4u of bytes up to 127 195 to 200 in almost any block.

// derived is something computed from a value, in a block: what is computed again in the same block is taken from there.
type derived struct {
	what string
	from value.Value
	at   *ir.Block
}

// once computes something of x once in a block: loops that multiply one value by many have all of it in one.
func (e *kernel) once(what string, x value.Value, compute func() value.Value) value.Value {
	key := derived{what, x, e.at}
	y := e.derived[key]
	if y == nil {
		y = compute()
		e.derived[key] = y
	}
	return y
}

func (e *kernel) dot4(in *spmd.Instr) value.Value {
	acc, a, b := e.arg(in, 0), e.arg(in, 1), e.arg(in, 2)
	if e.hasVNNI() {
		up := e.once("xor", a, func() value.Value { return e.at.NewXor(a, e.constantLike(a, "-2139062144")) }) // 0x80808080
		over := e.once("over", b, func() value.Value {
			return e.vnni("vpdpbusd", e.constantLike(b, "0"), e.constantLike(b, "-2139062144"), b)
		})
		return e.at.NewSub(e.vnni("vpdpbusd", acc, up, b), over)
	}
	bytes := e.bytesOf(a)
	abs := e.once("abs", a, func() value.Value {
		f := e.m.intrinsic("llvm.abs."+suffix(bytes.Type()), bytes.Type(), bytes.Type(), types.I1)
		return e.at.NewCall(f, bytes, constant.False)
	})
	return e.at.NewAdd(acc, e.pairs(e.pairs16(abs, e.signed(a, b))))
}

// signed is b's bytes with the signs of a's; where a is 0 it may be anything.
func (e *kernel) signed(a, b value.Value) value.Value {
	x, y := e.bytesOf(a), e.bytesOf(b)
	t := x.Type()
	if e.lanes == 8 {
		return e.at.NewCall(e.m.intrinsic("llvm.x86.avx2.psign.b", t, t, t), y, x)
	}
	zero := newLiteral(t, "zeroinitializer")
	negative := e.once("negative", a, func() value.Value { return e.at.NewICmp(enum.IPredSLT, x, zero) })
	return e.at.NewSelect(negative, e.at.NewSub(zero, y), y)
}

func (e *kernel) dot4u(in *spmd.Instr) value.Value {
	if !e.hasVNNI() && fits16(in) {
		return e.dot4u16(in)
	}
	acc, a, b := e.arg(in, 0), e.arg(in, 1), e.arg(in, 2)
	if e.hasVNNI() {
		return e.vnni("vpdpbusd", acc, a, b)
	}
	even := e.maddwd(e.word(a, 0, zeroExtend), e.word(b, 0, signExtend))
	odd := e.maddwd(e.word(a, 1, zeroExtend), e.word(b, 1, signExtend))
	return e.at.NewAdd(e.at.NewAdd(acc, even), odd)
}

func (e *kernel) dot2(in *spmd.Instr) value.Value {
	acc, a, b := e.arg(in, 0), e.arg(in, 1), e.arg(in, 2)
	if e.hasVNNI() {
		return e.vnni("vpdpwssd", acc, a, b)
	}
	return e.at.NewAdd(acc, e.maddwd(e.wordsOf(a), e.wordsOf(b)))
}

func (e *kernel) byte16(in *spmd.Instr) value.Value {
	x := e.arg(in, 0)
	if in.Args[0].Type.Kind == spmd.Uniform {
		two := types.NewVector(2, types.I16)
		return e.at.NewBitCast(e.wordAt(e.at.NewBitCast(x, two), two, in.Imm, signExtend), types.I32)
	}
	return e.at.NewBitCast(e.word(x, in.Imm, signExtend), x.Type())
}

const (
	signExtend = false
	zeroExtend = true
)

// word is byte 0 (low) or 1 (high) of each 16-bit half of x, widened.
func (e *kernel) word(x value.Value, which int64, zeros bool) value.Value {
	return e.once(fmt.Sprint("word ", which, zeros), x, func() value.Value { return e.wordAt(e.wordsOf(x), e.words(), which, zeros) })
}

func (e *kernel) wordAt(w value.Value, t *types.VectorType, which int64, zeros bool) value.Value {
	eight := splatLiteral(t, "8")
	if which == 0 {
		w = e.at.NewShl(w, eight)
	}
	if zeros {
		return e.at.NewLShr(w, eight)
	}
	return e.at.NewAShr(w, eight)
}

// largest16 is the largest sum of two products in the 16 bits of vpmaddubsw, for which b's bytes may be -128.
func largest16(in *spmd.Instr) int64 { return 2 * 128 * in.Imm }

func fits16(in *spmd.Instr) bool { return largest16(in) <= 1<<15 }

// sum16 is a sum of products that is not yet in 32 bits: acc + the pairs of words.
type sum16 struct {
	acc, words value.Value
	most       int64 // of a word's magnitude
}

// dot4u16 is a dot4u of small bytes. Several in a chain are added in 16 bits as long as they fit, and widened once: eight for codes of 4 bits.
func (e *kernel) dot4u16(in *spmd.Instr) value.Value {
	s := sum16{acc: nil, words: e.pairs16(e.bytesOf(e.arg(in, 1)), e.bytesOf(e.arg(in, 2))), most: largest16(in)}
	if before, ok := e.open[in.Args[0]]; ok {
		delete(e.open, in.Args[0])
		s = sum16{before.acc, e.at.NewAdd(before.words, s.words), before.most + s.most}
	} else {
		s.acc = e.arg(in, 0)
	}
	if next := e.chain[in]; next != nil && s.most+largest16(next) < 1<<15 {
		e.open[in.Results[0]] = s
		return nil
	}
	return e.at.NewAdd(s.acc, e.pairs(s.words))
}

// chains finds the dot4u of small bytes whose result is only what another one in the same region adds to: from the first to the second.
func chains(k *spmd.Kernel) map[*spmd.Instr]*spmd.Instr {
	small := func(in *spmd.Instr) bool { return in.Op == spmd.OpDot4U && fits16(in) }
	next, uses := map[*spmd.Instr]*spmd.Instr{}, map[*spmd.Value]int{}
	var walk func(r *spmd.Region)
	walk = func(r *spmd.Region) {
		here := map[*spmd.Value]*spmd.Instr{}
		for _, in := range r.Body {
			for _, a := range in.Args {
				uses[a]++
			}
			for _, inner := range in.Regions {
				walk(inner)
			}
			if small(in) {
				if before := here[in.Args[0]]; before != nil {
					next[before] = in
				}
				here[in.Results[0]] = in
			}
		}
		for _, y := range r.Yield {
			uses[y]++
		}
	}
	walk(k.Body)
	for in := range next {
		if uses[in.Results[0]] != 1 {
			delete(next, in)
		}
	}
	return next
}

// pairs16 is vpmaddubsw: products of unsigned and signed bytes, in pairs.
func (e *kernel) pairs16(x, y value.Value) value.Value {
	name := map[uint64]string{8: "llvm.x86.avx2.pmadd.ub.sw", 16: "llvm.x86.avx512.pmaddubs.w.512"}[e.lanes]
	return e.at.NewCall(e.m.intrinsic(name, e.words(), x.Type(), y.Type()), x, y)
}

// pairs adds words in pairs.
func (e *kernel) pairs(words value.Value) value.Value {
	return e.maddwd(words, splatLiteral(e.words(), "1"))
}

// maddwd is vpmaddwd: products of signed words, in pairs.
func (e *kernel) maddwd(x, y value.Value) value.Value {
	name := map[uint64]string{8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}[e.lanes]
	return e.at.NewCall(e.m.intrinsic(name, e.vector[types.I32], x.Type(), y.Type()), x, y)
}

// vnni is vpdpbusd, or vpdpwssd for words. At 256 bits llc takes AVX-VNNI's where that is what there is.
func (e *kernel) vnni(name string, acc, a, b value.Value) value.Value {
	t := e.vector[types.I32]
	return e.at.NewCall(e.m.intrinsic(fmt.Sprintf("llvm.x86.avx512.%s.%d", name, 32*e.lanes), t, t, t, t), acc, a, b)
}

func (e *kernel) hasVNNI() bool { return levels[e.rank].target.Dot == spmd.DotUnsigned }

// words is the type of a varying value's 16-bit halves.
func (e *kernel) words() *types.VectorType { return types.NewVector(2*e.lanes, types.I16) }

func (e *kernel) wordsOf(x value.Value) value.Value { return e.at.NewBitCast(x, e.words()) }

func (e *kernel) bytesOf(x value.Value) value.Value {
	return e.once("bytes", x, func() value.Value { return e.at.NewBitCast(x, types.NewVector(4*e.lanes, types.I8)) })
}
