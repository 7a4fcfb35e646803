package emu

import (
	"errors"
	"strings"
	"testing"
)

const shapes = `
.extern .shared .align 16 .b8 dyn[];
.shared .align 16 .b8 fixed[1024];
.entry any(.param .u32 a, .param .align 8 .b8 b[16], .param .f32 c, .param .u64 out) {
	.reg .b64 %o, %v;
	.reg .b32 %r<8>;
	ld.param.u64 %o, [out];
	ld.param.u32 %r1, [a];
	st.global.u32 [%o], %r1;
	ld.param.u64 %v, [b+8];
	st.global.u64 [%o+8], %v;
	ld.param.b32 %r2, [c];
	st.global.u32 [%o+16], %r2;
	mov.u64 %v, b;
	ld.param.u32 %r3, [%v+4];
	st.global.u32 [%o+20], %r3;
	ret;
}
.entry few() .maxntid 64 { ret; }
.entry exact() .reqntid 8, 4, 1 { ret; }
`

func TestLaunch(t *testing.T) {
	d := device(t, shapes)
	one := [3]int{1, 1, 1}
	out := d.Alloc("out", 24)
	if err := d.Launch("any", one, one, 0, U32(5), Bytes([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}), F32(1.5), U64(out)); err != nil {
		t.Fatal(err)
	}
	if got := show(words(d.Bytes(out))); got != "0x5 0x0 0xc0b0a09 0x100f0e0d 0x3fc00000 0x8070605\n" {
		t.Errorf("parameters arrive as %s", got)
	}
	for _, c := range []struct {
		kernel      string
		grid, block [3]int
		shared      int
		params      []Arg
		want        string
	}{
		{"nobody", one, one, 0, nil, `no loaded module has a kernel "nobody"`},
		{"few", one, [3]int{64, 1, 1}, 0, nil, ""},
		{"few", [3]int{65536, 1, 1}, one, 0, nil, ""},
		{"few", one, [3]int{65, 1, 1}, 0, nil, "65 threads in a block; at most 64"},
		{"few", one, [3]int{1, 1, 65}, 0, nil, "a block has at most"},
		{"few", [3]int{1, 65536, 1}, one, 0, nil, "a block has at most"},
		{"few", [3]int{0, 1, 1}, one, 0, nil, "a block has at most"},
		{"few", one, one, 226 << 10, nil, ""},
		{"few", one, one, 226<<10 + 1, nil, "232449 bytes of shared memory, 231425 of them dynamic; sm_90a has 232448"},
		{"few", one, one, -1, nil, "bytes of shared memory"},
		{"few", one, one, 0, []Arg{U32(1)}, "1 parameters; it has 0"},
		{"any", one, one, 0, []Arg{U32(1), U64(2), F32(3), U64(4)}, "parameter 1 (b) of 8 bytes; it has 16"},
		{"exact", one, [3]int{8, 4, 1}, 0, nil, ""},
		{"exact", one, [3]int{32, 1, 1}, 0, nil, ".reqntid wants [8 4 1]"},
	} {
		err := d.Launch(c.kernel, c.grid, c.block, c.shared, c.params...)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.kernel, err)
		}
		if c.want != "" {
			wantFault(t, err, c.want)
		}
	}
	wantFault(t, d.LaunchCooperative("few", [3]int{5000, 1, 1}, one, 0), "at the same time")
	d.Races = true
	wantFault(t, d.LaunchCooperative("few", [3]int{65, 1, 1}, one, 0), "races on global memory")
}

// TestCoordinates: every thread of a grid of blocks in three dimensions writes its place.
func TestCoordinates(t *testing.T) {
	const text = `.entry k(.param .u64 p) {
	.reg .b64 %o, %at; .reg .b32 %x<12>;
	ld.param.u64 %o, [p];
	mov.u32 %x0, %tid.x; mov.u32 %x1, %tid.y; mov.u32 %x2, %tid.z;
	mov.u32 %x3, %ctaid.x; mov.u32 %x4, %ctaid.y; mov.u32 %x5, %ctaid.z;
	mov.u32 %x6, %ntid.x; mov.u32 %x7, %ntid.y; mov.u32 %x8, %nctaid.x; mov.u32 %x9, %nctaid.y;
	mad.lo.u32 %x10, %x5, %x9, %x4;
	mad.lo.u32 %x10, %x10, %x8, %x3;
	mad.lo.u32 %x11, %x2, %x7, %x1;
	mad.lo.u32 %x11, %x11, %x6, %x0;
	mad.lo.u32 %x10, %x10, 42, %x11;
	mad.wide.u32 %at, %x10, 4, %o;
	st.global.u32 [%at], %x10;
}`
	for _, cooperative := range []bool{false, true} {
		d := device(t, text)
		out := d.Alloc("out", 4*24*42)
		launch := d.Launch
		if cooperative {
			launch = d.LaunchCooperative
		}
		if err := launch("k", [3]int{4, 3, 2}, [3]int{7, 3, 2}, 0, U64(out)); err != nil {
			t.Fatal(err)
		}
		for i, x := range words(d.Bytes(out)) {
			if int(x) != i {
				t.Fatalf("place %d has %d", i, x)
			}
		}
	}
}

// TestMemory: what a device says about its allocations.
func TestMemory(t *testing.T) {
	d := device(t, ".global .align 16 .u32 counter = 7;\n.visible .global .align 8 .u64 where[2] = {0, counter};\n"+one("st.global.u32 [%out], 1;"))
	c, ok := d.Symbol("counter")
	w, _ := d.Symbol("where")
	if !ok || le.Uint32(d.Bytes(c)) != 7 || le.Uint64(d.Bytes(w)[8:]) != c {
		t.Errorf("counter at %#x", c)
	}
	if _, ok := d.Symbol("nothing"); ok {
		t.Error("a symbol that is not there")
	}
	one := [3]int{1, 1, 1}
	fixed := d.AllocReadOnly("weights", 64)
	wantFault(t, d.Launch("k", one, one, 0, U64(fixed)), "stores into global address", "weights + 0 of 64 bytes", "read only")
	gone := d.Alloc("gone", 64)
	d.Free(gone)
	err := d.Launch("k", one, one, 0, U64(gone))
	wantFault(t, err, "out of bounds")
	var f *Fault
	if !errors.As(err, &f) || f.Kernel != "k" || f.Line == 0 || !strings.Contains(f.Source, "st.global") {
		t.Errorf("fault %+v", f)
	}
	if err := d.Load(parse(t, ".entry k() { ret; }")); err == nil {
		t.Error("two kernels of one name")
	}
	if d.Bytes(fixed+4) != nil {
		t.Error("bytes of an address inside an allocation")
	}
}

// TestSeeds: another order of the warps changes nothing that is ordered.
func TestSeeds(t *testing.T) {
	const text = `.global .u32 next;
.entry k(.param .u64 p) {
	.reg .b64 %o, %at; .reg .b32 %r<8>; .reg .pred %q;
	ld.param.u64 %o, [p];
	mov.u32 %r0, %tid.x;
	mov.u32 %r3, 0;
$more:
	atom.global.add.u32 %r1, [next], 1;
	setp.ge.u32 %q, %r1, 500;
	@%q bra $end;
	mad.wide.u32 %at, %r1, 4, %o;
	red.global.add.u32 [%at], %r1;
	bra $more;
$end:
	bar.sync 0;
}`
	for seed := range uint64(5) {
		d := device(t, text)
		d.Seed, d.Races = seed, true
		out := d.Alloc("out", 2000)
		if err := d.LaunchCooperative("k", [3]int{3, 1, 1}, [3]int{96, 1, 1}, 0, U64(out)); err != nil {
			t.Fatal(err)
		}
		for i, x := range words(d.Bytes(out)) {
			if int(x) != i {
				t.Fatalf("seed %d: place %d has %d", seed, i, x)
			}
		}
	}
}

// TestInexact: the instructions that are not defined to the bit are named.
func TestInexact(t *testing.T) {
	m := parse(t, one("ex2.approx.f32 %f1, 0f00000000;\nadd.f32 %f1, %f1, %f1;\ndiv.rn.f32 %f2, %f1, %f1;\nrcp.approx.ftz.f32 %f3, %f2;"))
	if got := strings.Join(m.Inexact, "\n"); got != "16: ex2.approx.f32 %f1, 0f00000000\n19: rcp.approx.ftz.f32 %f3, %f2" {
		t.Errorf("inexact: %s", got)
	}
	if m.Kernels()[0] != "k" {
		t.Error(m.Kernels())
	}
}
