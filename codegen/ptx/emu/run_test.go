package emu

import (
	"encoding/binary"
	"strings"
	"testing"
)

// header begins every module of the tests.
const header = ".version 8.0\n.target sm_90a\n.address_size 64\n"

func parse(t testing.TB, text string) *Module {
	t.Helper()
	m, err := Parse("test.ptx", header+text)
	if err != nil {
		t.Fatal(err)
	}
	note(m)
	assemble(t, header+text)
	return m
}

// device gives a device that has loaded a module.
func device(t testing.TB, text string) *Device {
	t.Helper()
	d := NewDevice()
	if err := d.Load(parse(t, text)); err != nil {
		t.Fatal(err)
	}
	return d
}

// one is a kernel "k" of a body, with one parameter %out, the address of memory, and the registers that the tests use.
func one(body string) string { return named("k", body) }

func named(name, body string) string {
	return ".visible .entry " + name + `(.param .u64 p0) {
	.reg .pred %p<8>;
	.reg .b16 %h<16>;
	.reg .b32 %r<64>;
	.reg .f32 %f<16>;
	.reg .b64 %rd<32>;
	.reg .f64 %fd<8>;
	.reg .b64 %out;
	.reg .u32 %t0, %ln;
	ld.param.u64 %out, [p0];
	mov.u32 %t0, %tid.x;
	mov.u32 %ln, %laneid;
` + body + "\n}\n"
}

// saveAll stores a register of each thread, 4 bytes each.
func save(reg string) string {
	return "mad.wide.u32 %rd30, %t0, 4, %out; st.global.b32 [%rd30], " + reg + ";"
}

// runOne runs such a kernel with a block of so many threads on memory of n words, which it gives back.
func runOne(t testing.TB, text string, threads, n int) ([]uint32, error) {
	t.Helper()
	return runNamed(device(t, text), "k", threads, n)
}

func runNamed(d *Device, name string, threads, n int) ([]uint32, error) {
	out := d.Alloc("out", 4*n)
	err := d.Launch(name, [3]int{1, 1, 1}, [3]int{threads, 1, 1}, 0, U64(out))
	return words(d.Bytes(out)), err
}

func words(b []byte) []uint32 {
	w := make([]uint32, len(b)/4)
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

// wantFault checks that an error says all of these.
func wantFault(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

func TestSmoke(t *testing.T) {
	got, err := runOne(t, one("mul.lo.u32 %r1, %t0, 3;\nadd.u32 %r1, %r1, 7;\n"+save("%r1")), 64, 64)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range got {
		if x != uint32(3*i+7) {
			t.Fatalf("thread %d: %d", i, x)
		}
	}
}
