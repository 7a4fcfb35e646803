package kernel

import (
	"fmt"
	"strings"
)

// sizes are those of a small model in text form; every one may be odd.
type sizes struct {
	vocab, d, e, n, r, taps int // Mamba-1: width, inner width, states, rank
	heads, p, groups        int // Mamba-2: heads of p channels
	hb, hm, hk              int // factors of the Hadamard transform of e
	bias                    bool
}

// optional gives s if the model has biases.
func (z sizes) optional(s string) string {
	if z.bias {
		return s
	}
	return ""
}

// replace fills in sizes: D, E and so on between angle brackets.
func (z sizes) replace(s string) string {
	e := z.e
	if z.heads > 0 {
		e = z.heads * z.p
	}
	hg := 0
	if z.groups > 0 {
		hg = z.heads / z.groups
	}
	pairs := []string{"<b>", z.optional(" %b"), "<bx>", z.optional(" %x.b"), "<bo>", z.optional(" %o.b")}
	for name, n := range map[string]int{"V": z.vocab, "D": z.d, "E": e, "N": z.n, "R": z.r, "K": z.taps, "K1": z.taps - 1, "H": z.heads, "P": z.p, "G": z.groups, "HG": hg, "GN": z.groups * z.n, "HB": z.hb, "HM": z.hm, "HK": z.hk, "GR": (e + 31) / 32} {
		pairs = append(pairs, "<"+name+">", fmt.Sprint(n))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// mamba is one layer of Mamba-1 with every op in its group.
const mamba = `module "mamba" vocab=<V> {
  weight %embed: f32[<V>, <D>]
  weight %norm: f32[<D>]
  weight %norm_f: f32[<D>]
  weight %wx: f32[<E>, <D>]
  weight %wz: f32[<E>, <D>]
  weight %x.b: f32[<E>]
  weight %taps: f32[<E>, <K>]
  weight %taps.b: f32[<E>]
  weight %wr: f32[<R>, <E>]
  weight %wB: f32[<N>, <E>]
  weight %wC: f32[<N>, <E>]
  weight %wdt: f32[<E>, <R>]
  weight %dt.b: f32[<E>]
  weight %A: f32[<E>, <N>]
  weight %skip: f32[<E>]
  weight %wo: f32[<D>, <E>]
  weight %o.b: f32[<D>]
  state %s.conv: f32[S, <E>, <K1>]
  state %s.ssm: f32[S, <E>, <N>]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, <V>]) {
    group map g1 {
      %h0 = gather %embed %ids : f32[T, <D>]
    }
    group map g2 {
      %n = rmsnorm %h0 %norm eps=1e-5 groups=1 : f32[T, <D>]
    }
    group contract g3 {
      %x = linear %n %wx<bx> : f32[T, <E>]
      %xc, %win = conv %x %taps %taps.b %s.conv : f32[T, <E>], f32[S, <E>, <K1>]
      %u = silu %xc : f32[T, <E>]
    }
    group contract g4 {
      %z = linear %n %wz : f32[T, <E>]
      %gate = silu %z : f32[T, <E>]
    }
    group contract g5 {
      %rr = linear %u %wr : f32[T, <R>]
    }
    group contract g6 {
      %B = linear %u %wB : f32[T, <N>]
    }
    group contract g7 {
      %C = linear %u %wC : f32[T, <N>]
    }
    group scan g8 {
      %dt0 = linear %rr %wdt %dt.b : f32[T, <E>]
      %dt = softplus %dt0 : f32[T, <E>]
      %dt3 = reshape %dt shape=[T, <E>, 1] : f32[T, <E>, 1]
      %dtA = mul %dt3 %A : f32[T, <E>, <N>]
      %a = exp %dtA : f32[T, <E>, <N>]
      %du = mul %dt %u : f32[T, <E>]
      %du3 = reshape %du shape=[T, <E>, 1] : f32[T, <E>, 1]
      %B3 = reshape %B shape=[T, 1, <N>] : f32[T, 1, <N>]
      %b = mul %du3 %B3 : f32[T, <E>, <N>]
      %C3 = reshape %C shape=[T, 1, <N>] : f32[T, 1, <N>]
      %y, %ssm = scan %a %b %C3 %s.ssm : f32[T, <E>], f32[S, <E>, <N>]
      %sk = mul %u %skip : f32[T, <E>]
      %yd = add %y %sk : f32[T, <E>]
      %g = mul %yd %gate : f32[T, <E>]
    }
    group contract g9 {
      %o = linear %g %wo<bo> : f32[T, <D>]
      %h1 = add %h0 %o : f32[T, <D>]
    }
    group map g10 {
      %last = gather %h1 %outs : f32[O, <D>]
      %fn = rmsnorm %last %norm_f eps=1e-5 groups=1 : f32[O, <D>]
    }
    group contract g11 {
      %logits = linear %fn %embed : f32[O, <V>]
    }
    return %logits
    next %s.conv = %win
    next %s.ssm = %ssm
  }
}
`

// mamba2 is one layer of Mamba-2: one decay a head, grouped B and C, a gated norm.
const mamba2 = `module "mamba2" vocab=<V> {
  weight %embed: f32[<V>, <D>]
  weight %norm: f32[<D>]
  weight %norm.b: f32[<D>]
  weight %wx: f32[<E>, <D>]
  weight %wz: f32[<E>, <D>]
  weight %wB: f32[<GN>, <D>]
  weight %wC: f32[<GN>, <D>]
  weight %wdt: f32[<H>, <D>]
  weight %dt.b: f32[<H>]
  weight %tx: f32[<E>, <K>]
  weight %tB: f32[<GN>, <K>]
  weight %A: f32[<H>]
  weight %skip: f32[<G>, <HG>, 1]
  weight %gnorm: f32[<E>]
  weight %wo: f32[<D>, <E>]
  weight %head: f32[<V>, <D>]
  state %s.conv.x: f32[S, <E>, <K1>]
  state %s.conv.B: f32[S, <GN>, <K1>]
  state %s.ssm: f32[S, <G>, <HG>, <P>, <N>]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, <V>]) {
    group map g1 {
      %h0 = gather %embed %ids : f32[T, <D>]
    }
    group map g2 {
      %n = layernorm %h0 %norm %norm.b eps=1e-5 : f32[T, <D>]
    }
    group contract g3 {
      %x = linear %n %wx : f32[T, <E>]
      %xc, %win.x = conv %x %tx _ %s.conv.x : f32[T, <E>], f32[S, <E>, <K1>]
      %u = silu %xc : f32[T, <E>]
    }
    group contract g4 {
      %z = linear %n %wz : f32[T, <E>]
      %gate = silu %z : f32[T, <E>]
    }
    group contract g5 {
      %B0 = linear %n %wB : f32[T, <GN>]
      %Bc, %win.B = conv %B0 %tB _ %s.conv.B : f32[T, <GN>], f32[S, <GN>, <K1>]
      %B = silu %Bc : f32[T, <GN>]
    }
    group contract g6 {
      %C = linear %n %wC : f32[T, <GN>]
    }
    group contract g7 {
      %dt0 = linear %n %wdt %dt.b : f32[T, <H>]
      %dt = softplus %dt0 : f32[T, <H>]
    }
    group scan g8 {
      %dtA = mul %dt %A : f32[T, <H>]
      %a = exp %dtA : f32[T, <H>]
      %a5 = reshape %a shape=[T, <G>, <HG>, 1, 1] : f32[T, <G>, <HG>, 1, 1]
      %u4 = reshape %u shape=[T, <G>, <HG>, <P>] : f32[T, <G>, <HG>, <P>]
      %dt4 = reshape %dt shape=[T, <G>, <HG>, 1] : f32[T, <G>, <HG>, 1]
      %du = mul %dt4 %u4 : f32[T, <G>, <HG>, <P>]
      %du5 = reshape %du shape=[T, <G>, <HG>, <P>, 1] : f32[T, <G>, <HG>, <P>, 1]
      %B5 = reshape %B shape=[T, <G>, 1, 1, <N>] : f32[T, <G>, 1, 1, <N>]
      %b = mul %du5 %B5 : f32[T, <G>, <HG>, <P>, <N>]
      %C5 = reshape %C shape=[T, <G>, 1, 1, <N>] : f32[T, <G>, 1, 1, <N>]
      %y, %ssm = scan %a5 %b %C5 %s.ssm : f32[T, <G>, <HG>, <P>], f32[S, <G>, <HG>, <P>, <N>]
      %sk = mul %u4 %skip : f32[T, <G>, <HG>, <P>]
      %yd = add %y %sk : f32[T, <G>, <HG>, <P>]
      %yr = reshape %yd shape=[T, <E>] : f32[T, <E>]
      %g = mul %yr %gate : f32[T, <E>]
    }
    group map g9 {
      %gn = rmsnorm %g %gnorm eps=1e-5 groups=<G> : f32[T, <E>]
    }
    group contract g10 {
      %o = linear %gn %wo : f32[T, <D>]
      %h1 = add %h0 %o : f32[T, <D>]
    }
    group map g11 {
      %last = gather %h1 %outs : f32[O, <D>]
      %fn = rmsnorm %last eps=1e-5 groups=1 : f32[O, <D>]
    }
    group contract g12 {
      %logits = linear %fn %head : f32[O, <V>]
    }
    return %logits
    next %s.conv.x = %win.x
    next %s.conv.B = %win.B
    next %s.ssm = %ssm
  }
}
`
