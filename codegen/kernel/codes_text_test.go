package kernel

import "strings"

// mamba8 is one layer of Mamba-1 as the w8a8 scheme leaves it: codes of eight bits around every product, float32 in the scan.
const mamba8 = `module "mamba" vocab=<D> {
  weight %embed: i8[<V>, <D>]
  weight %embed.s: f32[<V>, 1]
  weight %wx: i8[<E>, <D>]
  weight %mx: f32[<E>]
  weight %wz: i8[<E>, <D>]
  weight %mz: f32[<E>]
  weight %taps: i8[<E>, <K>]
  weight %mc: f32[<E>]
  weight %bc: f32[<E>]
  weight %wr: i8[<R>, <E>]
  weight %mr: f32[<R>]
  weight %wB: i8[<N>, <E>]
  weight %mB: f32[<N>]
  weight %wC: i8[<N>, <E>]
  weight %mC: f32[<N>]
  weight %wdt: i8[<E>, <R>]
  weight %sdt: f32[<E>]
  weight %dt.b: f32[<E>]
  weight %A: f32[<E>, <N>]
  weight %skip: f32[<E>]
  weight %wo: i8[<D>, <E>]
  weight %mo: f32[<D>]
  weight %w4: i4[<D>, <E>]
  weight %s4: f32[<D>, <GR>]
  weight %signs: f32[<E>]
  state %s.conv: i8[S, <E>, <K1>]
  state %s.ssm: f32[S, <E>, <N>]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, <D>]) {
    group map g0 {
      %codes = gather %embed %ids : i8[T, <D>]
    }
    group map g20 {
      %rowscale = gather %embed.s %ids : f32[T, 1]
    }
    group map g1 {
      %ef = cast %codes to=f32 : f32[T, <D>]
      %h0 = mul %ef %rowscale : f32[T, <D>]
    }
    group map g2 {
      %n = rmsnorm %h0 _ eps=1e-5 groups=1 : f32[T, <D>]
      %n.q = quantize %n inv=31.5 : i8[T, <D>]
    }
    group contract g3 {
      %x.acc = linear %n.q %wx : i32[T, <E>]
      %x.f = cast %x.acc to=f32 : f32[T, <E>]
      %x.m = mul %x.f %mx : f32[T, <E>]
      %x.q = quantize %x.m inv=0.03 : i8[T, <E>]
      %xc, %win = conv %x.q %taps _ %s.conv : i32[T, <E>], i8[S, <E>, <K1>]
      %c.f = cast %xc to=f32 : f32[T, <E>]
      %c.m = fma %c.f %mc %bc : f32[T, <E>]
      %u = silu %c.m : f32[T, <E>]
      %u.q = quantize %u inv=2.5 : i8[T, <E>]
    }
    group contract g4 {
      %z.acc = linear %n.q %wz : i32[T, <E>]
      %z.f = cast %z.acc to=f32 : f32[T, <E>]
      %z.m = mul %z.f %mz : f32[T, <E>]
      %z.q = quantize %z.m inv=0.02 : i8[T, <E>]
    }
    group contract g5 {
      %r.acc = linear %u.q %wr : i32[T, <R>]
      %r.f = cast %r.acc to=f32 : f32[T, <R>]
      %rr = mul %r.f %mr : f32[T, <R>]
    }
    group contract g6 {
      %B.acc = linear %u.q %wB : i32[T, <N>]
      %B.f = cast %B.acc to=f32 : f32[T, <N>]
      %B = mul %B.f %mB : f32[T, <N>]
    }
    group contract g7 {
      %C.acc = linear %u.q %wC : i32[T, <N>]
      %C.f = cast %C.acc to=f32 : f32[T, <N>]
      %C = mul %C.f %mC : f32[T, <N>]
    }
    group scan g8 {
      %dt0 = linear %rr %wdt : f32[T, <E>]
      %dt1 = fma %dt0 %sdt %dt.b : f32[T, <E>]
      %dt = softplus %dt1 : f32[T, <E>]
      %dt3 = reshape %dt shape=[T, <E>, 1] : f32[T, <E>, 1]
      %dtA = mul %dt3 %A : f32[T, <E>, <N>]
      %a = exp %dtA : f32[T, <E>, <N>]
      %du = mul %dt %u : f32[T, <E>]
      %du3 = reshape %du shape=[T, <E>, 1] : f32[T, <E>, 1]
      %B3 = reshape %B shape=[T, 1, <N>] : f32[T, 1, <N>]
      %b = mul %du3 %B3 : f32[T, <E>, <N>]
      %C3 = reshape %C shape=[T, 1, <N>] : f32[T, 1, <N>]
      %y, %ssm = scan %a %b %C3 %s.ssm : f32[T, <E>], f32[S, <E>, <N>]
      %yd = fma %u %skip %y : f32[T, <E>]
      %sz = const value=0.125 : f32[]
      %zf = cast %z.q to=f32 : f32[T, <E>]
      %zz = mul %zf %sz : f32[T, <E>]
      %gate = silu %zz : f32[T, <E>]
      %g = mul %yd %gate : f32[T, <E>]
    }
    group map g9 {
      %yh = hadamard %g %signs blocks=<HB> m=<HM> k=<HK> : f32[T, <E>]
      %y.q = quantize %yh inv=0.5 : i8[T, <E>]
    }
    group contract g10 {
      %o.acc = linear %y.q %wo : i32[T, <D>]
      %o.f = cast %o.acc to=f32 : f32[T, <D>]
      %h1 = fma %o.f %mo %h0 : f32[T, <D>]
    }
    group contract g11 {
      %o4 = linear %y.q %w4 _ %s4 group=32 : f32[T, <D>]
      %h2 = add %h1 %o4 : f32[T, <D>]
    }
    group map g30 {
      %gb = hadamard %g %signs blocks=<HB> m=<HM> k=<HK> transposed=true : f32[T, <E>]
    }
    group contract g12 {
      %o5 = linear %gb %w4 _ %s4 group=32 : f32[T, <D>]
      %h3 = add %h2 %o5 : f32[T, <D>]
    }
    group map g13 {
      %last = gather %h3 %outs : f32[O, <D>]
    }
    group map g14 {
      %logits = rmsnorm %last _ eps=1e-5 groups=1 : f32[O, <D>]
    }
    return %logits
    next %s.conv = %win
    next %s.ssm = %ssm
  }
}
`

// tied8 is mamba8 with the codes of its embedding as the head's: one copy serves both.
var tied8 = strings.NewReplacer(
	"vocab=<D>", "vocab=<V>",
	"(f32[O, <D>])", "(f32[O, <V>])",
	"  weight %wx: i8", "  weight %em: f32[<V>]\n  weight %wx: i8",
	"%logits = rmsnorm", "%nf = rmsnorm",
	"    return %logits", `    group map g25 {
      %lq = quantize %nf inv=31.5 : i8[O, <D>]
    }
    group contract g26 {
      %la = linear %lq %embed : i32[O, <V>]
      %lf = cast %la to=f32 : f32[O, <V>]
      %logits = mul %lf %em : f32[O, <V>]
    }
    return %logits`).Replace(mamba8)

// embed4 is an embedding of four-bit codes with a scale for each group of a row, tied to the head.
const embed4 = `module "embed" vocab=<V> {
  weight %embed: i4[<V>, <D>]
  weight %embed.s: f32[<V>, <G>]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, <V>]) {
    group map g0 {
      %codes = gather %embed %ids : i4[T, <D>]
    }
    group map g1 {
      %scales = gather %embed.s %ids : f32[T, <G>]
    }
    group map g2 {
      %c.f = cast %codes to=f32 : f32[T, <D>]
      %c.g = reshape %c.f shape=[T, <G>, <P>] : f32[T, <G>, <P>]
      %s.g = reshape %scales shape=[T, <G>, 1] : f32[T, <G>, 1]
      %h.g = mul %c.g %s.g : f32[T, <G>, <P>]
      %h = reshape %h.g shape=[T, <D>] : f32[T, <D>]
      %n = rmsnorm %h _ eps=1e-5 groups=1 : f32[T, <D>]
    }
    group map g3 {
      %last = gather %n %outs : f32[O, <D>]
    }
    group map g4 {
      %q = quantize %last inv=31.5 : i8[O, <D>]
    }
    group contract g5 {
      %logits = linear %q %embed _ %embed.s group=<P> : f32[O, <V>]
    }
    return %logits
  }
}
`

// rows8 makes codes under a scale for each row, behind everything that a map group may hold: a norm with groups, a transform, nothing, a layer norm; with
// readers of the value itself, and codes of one scale in front of a norm.
const rows8 = `module "rows" vocab=<E> {
  weight %embed: f32[<V>, <E>]
  weight %w1: i8[<E>, <E>]
  weight %m1: f32[<E>]
  weight %w2: i4[<E>, <E>]
  weight %s2: f32[<E>, <GR>]
  weight %g: f32[<E>]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, <E>]) {
    group map g0 {
      %h0 = gather %embed %ids : f32[T, <E>]
    }
    group map g1 {
      %h0.q = quantize %h0 inv=90 : i8[T, <E>]
      %h0.f = cast %h0.q to=f32 : f32[T, <E>]
      %n = rmsnorm %h0.f %g eps=1e-5 groups=<G> : f32[T, <E>]
      %n.s = rowscale %n : f32[T, 1]
      %n.inv = recip %n.s : f32[T, 1]
      %n.q = quantize %n %n.inv : i8[T, <E>]
    }
    group contract g2 {
      %a.acc = linear %n.q %w1 : i32[T, <E>]
      %a.f = cast %a.acc to=f32 : f32[T, <E>]
      %a.r = mul %a.f %n.s : f32[T, <E>]
      %a = fma %a.r %m1 %h0 : f32[T, <E>]
    }
    group map g3 {
      %u = silu %a : f32[T, <E>]
      %u.s = rowscale %u : f32[T, 1]
      %u.inv = recip %u.s : f32[T, 1]
      %u.q = quantize %u %u.inv full=true : i8[T, <E>]
    }
    group contract g4 {
      %b.acc = linear %u.q %w2 _ %s2 group=32 : f32[T, <E>]
      %b = fma %b.acc %u.s %u : f32[T, <E>]
    }
    group map g5 {
      %y0 = hadamard %b _ blocks=<HB> m=<HM> k=<HK> : f32[T, <E>]
      %root = const value=0.125 : f32[]
      %y = mul %y0 %root : f32[T, <E>]
      %y.s = rowscale %y : f32[T, 1]
      %y.inv = recip %y.s : f32[T, 1]
      %y.q = quantize %y %y.inv : i8[T, <E>]
    }
    group contract g6 {
      %c.acc = linear %y.q %w1 : i32[T, <E>]
      %c.f = cast %c.acc to=f32 : f32[T, <E>]
      %c.r = mul %c.f %y.s : f32[T, <E>]
      %c = fma %c.r %m1 %n : f32[T, <E>]
    }
    group map g7 {
      %last = gather %c %outs : f32[O, <E>]
    }
    group map g8 {
      %ln = layernorm %last %g _ eps=1e-5 : f32[O, <E>]
      %ln.s = rowscale %ln : f32[O, 1]
      %ln.inv = recip %ln.s : f32[O, 1]
      %ln.q = quantize %ln %ln.inv : i8[O, <E>]
    }
    group contract g9 {
      %head.acc = linear %ln.q %w1 : i32[O, <E>]
      %head.f = cast %head.acc to=f32 : f32[O, <E>]
      %logits = mul %head.f %ln.s : f32[O, <E>]
    }
    return %logits
  }
}
`

// product4 is a product by codes of four bits of all rows, its like of the wanted ones, and one of floats by the same weight.
const product4 = `module "product" vocab=<E> {
  weight %embed: f32[<V>, <D>]
  weight %w: i4[<E>, <D>]
  weight %s: f32[<E>, <G>]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, <E>]) {
    group map g0 {
      %x = gather %embed %ids : f32[T, <D>]
      %q = quantize %x inv=90 : i8[T, <D>]
    }
    group contract g1 {
      %y = linear %q %w _ %s group=<P> : f32[T, <E>]
    }
    group map g2 {
      %last = gather %y %outs : f32[O, <E>]
    }
    group map g3 {
      %last.x = gather %x %outs : f32[O, <D>]
      %last.q = quantize %last.x inv=200 full=true : i8[O, <D>]
    }
    group contract g4 {
      %z = linear %last.q %w _ %s group=<P> : f32[O, <E>]
      %d = sub %z %last : f32[O, <E>]
    }
    group contract g5 {
      %f = linear %last.x %w _ %s group=<P> : f32[O, <E>]
      %logits = sub %d %f : f32[O, <E>]
    }
    return %logits
  }
}
`
