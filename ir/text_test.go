package ir

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestText reads the modules of testdata/parse and testdata/verify. "parse" prints the module or what is wrong with the text;
// "verify" what is wrong with the module.
func TestText(t *testing.T) {
	for _, dir := range []string{"testdata/parse", "testdata/verify"} {
		datadriven.Walk(t, dir, func(t *testing.T, path string) {
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				m, err := Parse(d.Input)
				if err != nil {
					return err.Error() + "\n"
				}
				switch d.Cmd {
				case "parse":
					return Print(m)
				case "verify":
					if err := Verify(m); err != nil {
						return err.Error() + "\n"
					}
					return "ok\n"
				}
				d.Fatalf(t, "unknown command")
				return ""
			})
		})
	}
}

// sample is a module that has everything that the text form has.
const sample = `module "sample" vocab=5 bos=1 eos=[0, 2] positions=2048 {
  weight %w.embed: bf16[5, 4] @embed  # backbone.embeddings.weight
  weight %conv: f32[4, 2] @ssm.conv = [1 0.5 -1 0.25 0 1 2 1]
  weight %scale: i8[2] = [-128 127]
  state %win: f32[S, 4, 1] @conv.window  # layers.0
  state %h: f32[S, 4, 2]
  func step(%ids: i32[T], %outs: i32[O]) -> (f32[O, 5]) {
    %e = gather %w.embed %ids : f32[T, 4] @ssm.x.B  # backbone.embeddings.weight
    group contract g0 {  # conv + silu
      %x, %win.next = conv %e %conv _ %win : f32[T, 4] @a_b.1, f32[S, 4, 1]
      %u = silu %x : f32[T, 4]  # hidden_act
    }
    %half = const value=0.5 : f32[]
    %u3 = reshape %u shape=[T, 4, 1] : f32[T, 4, 1]
    %scale[0:2] = cast %scale to=f32 : f32[2]
    %b = mul %u3 %scale[0:2] : f32[T, 4, 2]
    group scan g7 {
      %y, %h.next = scan %half %b %half %h : f32[T, 4], f32[S, 4, 2]
    }
    %n = rmsnorm %y eps=1e-06 groups=2 : f32[T, 4]
    %n2 = rmsnorm %n eps=0 : f32[T, 4]
    %m = reduce %n2 kind=mean axis=1 keepdims=true : f32[T, 1]
    %d = sub %n2 %m : f32[T, 4]
    %last = gather %d %outs : f32[O, 4]
    %logits = linear %last %w.embed : f32[O, 5]
    return %logits
    next %win = %win.next
    next %h = %h.next
  }
}
`

// codes is a quantized layer's kinds of ops.
const codes = `module "codes" {
  weight %w8: i8[3, 4] = [1 2 3 4 -5 -6 -7 -8 127 -127 0 1]
  weight %w4: i4[8, 3]
  weight %s: f32[8, 2]
  weight %m: f32[3]
  weight %taps: i8[3, 2]
  weight %inv: f32[3]
  weight %signs: i8[8]
  state %win: i8[S, 3, 1]
  state %h: i8[S, 2, 4]
  func f(%x: f32[T, 4] @norm.out) -> (f32[T, 2, 4]) {
    %q = quantize %x inv=0.3 : i8[T, 4]
    %acc = linear %q %w8 : i32[T, 3]
    %f = cast %acc to=f32 : f32[T, 3]
    %y = mul %f %m : f32[T, 3]
    %q2 = quantize %y %inv full=true : i8[T, 3]
    %c, %win.next = conv %q2 %taps _ %win : i32[T, 3], i8[S, 3, 1]
    %cf = cast %c to=f32 : f32[T, 3]
    %b = fma %cf %m %y : f32[T, 3]
    %q3 = quantize %b : i8[T, 3]
    %e = linear %q3 %w4 _ %s group=2 : f32[T, 8]
    %e2 = linear %b %w4 : f32[T, 8]
    %r = hadamard %e %signs blocks=2 m=4 k=0 : f32[T, 8]
    %r2 = hadamard %e2 m=1 k=3 transposed=true : f32[T, 8]
    %sum = add %r %r2 : f32[T, 8]
    %in = reshape %sum shape=[T, 2, 4] : f32[T, 2, 4]
    %half = const value=0.5 : f32[]
    %h.f = cast %h to=f32 : f32[S, 2, 4]
    %yy, %h.next = scan %half %in %half %h.f : f32[T, 2], f32[S, 2, 4]
    %h.q = quantize %h.next inv=2.5 : i8[S, 2, 4]
    return %in
    next %win = %win.next
    next %h = %h.q
  }
}
`

func mustParse(t testing.TB, text string) *Module {
	t.Helper()
	m, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSampleReadsBack(t *testing.T) {
	m := mustParse(t, sample)
	if got := Print(m); got != sample {
		t.Errorf("printed:\n%s", got)
	}
	if got := Print(m.Clone()); got != sample {
		t.Errorf("clone:\n%s", got)
	}
	if got := Print(mustParse(t, codes)); got != codes {
		t.Errorf("printed:\n%s", got)
	}
	loose := strings.ReplaceAll(strings.ReplaceAll(sample, "%ids :", "%ids  :"), "    %", "\t%")
	if got := Print(mustParse(t, loose)); got != sample {
		t.Errorf("other blanks:\n%s", got)
	}
}

// TestFromCannotBreakText puts hostile provenance into a module: it must stay on its line.
func TestFromCannotBreakText(t *testing.T) {
	m := mustParse(t, sample)
	m.Func.Ops[0].SetFrom("a\nb # \"c\"\r\u2028 }\x00\xff")
	m.Func.Weights[0].Weight.Name = "x\n  weight %evil: f32[1]"
	m.Family = "quote \" hash # newline \n"
	text := Print(m)
	again, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got := Print(again); got != text || strings.Count(text, "\n") != strings.Count(sample, "\n") || again.Family != m.Family {
		t.Errorf("first:\n%s\nthen:\n%s", text, got)
	}
}

func TestNames(t *testing.T) {
	for name, valid := range map[string]bool{
		"": false, "x": true, "layers.0.in_proj[0:1536]": true, "exp(A_log)": true, "a[b(c,d)]": true, "a[": false, "a]": false, "a(]": false,
		"a b": false, "a:b": false, "é": false, "_": true, "a[0:5].b": true,
	} {
		if got := ValidName(name); got != valid {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
		if !ValidName(CleanName(name)) {
			t.Errorf("CleanName(%q) = %q", name, CleanName(name))
		}
	}
	n := mustParse(t, sample).Func.Names()
	for i, want := range []string{"x.2", "x.3", "x.4"} {
		if got := n.Unique("x"); got != want {
			t.Errorf("name %d: %q, want %q", i, got, want)
		}
	}
	if got := n.Unique("new"); got != "new" {
		t.Errorf("new: %q", got)
	}
	n.Free("new")
	if got := n.Unique("new"); got != "new" {
		t.Errorf("after Free: %q", got)
	}
}

// FuzzParse: no text panics, and a text that parses prints to a text that reads back to itself. Small modules that verify are run.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(codes)
	f.Add("module \"\" {\nfunc f() -> () {\nreturn\n}\n}")
	f.Add("module \"m\" eos=[] {\n  weight %w: f32[0, 1099511627776]\n  func f(%x: f32[T, 0]) -> (f32[T, 0]) {\n    return %x\n  }\n}\n")
	f.Add("module \"m\" {\n  func f(%x: f32[2]) -> (f32[2]) {\n    %a = add %b %x : f32[2]\n    %b = neg %a : f32[2]\n return %b\n  }\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		printed := Print(m)
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("the printed text does not parse: %v\n%s", err, printed)
		}
		if got := Print(again); got != printed {
			t.Fatalf("first:\n%s\nthen:\n%s", printed, got)
		}
		if Verify(m) != nil || !small(m) {
			return
		}
		_, err32 := Eval(m, RandomInputs[float32](m, 1, 2, 0, 1))
		_, err64 := Eval(m, RandomInputs[float64](m, 1, 2, 0, 1))
		if (err32 == nil) != (err64 == nil) {
			t.Fatalf("float32: %v, float64: %v", err32, err64)
		}
	})
}

// small says whether every value of a module has few elements when there are three rows.
func small(m *Module) bool {
	for v := range m.Func.Values() {
		n := 1
		for _, d := range v.Type.Shape {
			if d.Symbolic() {
				d = 3
			}
			if n *= int(d); n > 1<<12 {
				return false
			}
		}
	}
	return true
}
