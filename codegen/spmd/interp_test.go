package spmd

import (
	"github.com/ssmc/ssmc/internal/f32/f32test"

	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var allLanes = []int{8, 16, 32}

func step(t testing.TB, m *Machine, p *Program, in StepInput) {
	t.Helper()
	if err := m.Step(p, in); err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
}

func TestSaxpy(t *testing.T) {
	for _, lanes := range allLanes {
		for _, n := range []int{1, 7, 8, 15, 16, 17, 31, 32, 33, 97} {
			p := testPrograms(t, lanes)[0]
			x, y := make([]float32, n), make([]float32, n+1)
			for i := range x {
				x[i], y[i] = float32(i)*0.37-3, 1/float32(i+1)
			}
			y[n] = 77 // beyond the end: must stay
			w := make([]byte, 4*n)
			putFloats(w, x)
			m := machine(t, p, w)
			putFloats(m.Memory[Work][64:], y)
			step(t, m, p, oneSequence(n))
			for i := range x {
				y[i] = f32test.FMA(2.5, x[i], y[i])
			}
			if d := cmp.Diff(y, floats(m.Memory[Work][64:], n+1)); d != "" {
				t.Errorf("lanes %d, n %d: %s", lanes, n, d)
			}
		}
	}
}

// TestRowSum wants the same bits for all lanes: those of the sixteen partial sums and the tree.
func TestRowSum(t *testing.T) {
	const rows = 5
	w := make([]byte, 2*32*rows)
	var want []float32
	for r := range rows {
		var part [16]float32
		for i := range 32 {
			u := toBF16(float32(math.Sin(float64(r*32+i))) * float32(math.Pow(10, float64(i%7))))
			binary.LittleEndian.PutUint16(w[2*(r*32+i):], u)
			part[i%16] += fromBF16(u)
		}
		for l := range 8 {
			part[l] += part[l+8]
		}
		want = append(want, ((part[0]+part[4])+(part[2]+part[6]))+((part[1]+part[5])+(part[3]+part[7])))
	}
	for _, lanes := range allLanes {
		p := testPrograms(t, lanes)[1]
		for seed := range uint64(3) {
			m := machine(t, p, w)
			m.Seed = seed
			step(t, m, p, oneSequence(rows))
			if d := cmp.Diff(want, floats(m.Memory[Work], rows)); d != "" {
				t.Errorf("lanes %d, seed %d: %s", lanes, seed, d)
			}
		}
	}
}

func TestMatmul(t *testing.T) {
	const rows, k = 3, 7
	w := make([]byte, 2*32*k)
	for i := range 32 * k {
		binary.LittleEndian.PutUint16(w[2*i:], toF16(float32(i%11)*0.1-0.3))
	}
	x := make([]float32, rows*k)
	for i := range x {
		x[i] = float32(math.Cos(float64(i)))
	}
	var want []float32
	for m := range rows {
		for n := range 32 {
			acc := float32(0)
			for i := range k {
				acc = f32test.FMA(x[m*k+i], fromF16(binary.LittleEndian.Uint16(w[2*(32*i+n):])), acc)
			}
			want = append(want, acc)
		}
	}
	for _, lanes := range allLanes {
		p := testPrograms(t, lanes)[2]
		m := machine(t, p, w)
		putFloats(m.Memory[Work], x)
		step(t, m, p, oneSequence(rows))
		if d := cmp.Diff(want, floats(m.Memory[Work][8192:], rows*32)); d != "" {
			t.Errorf("lanes %d: %s", lanes, d)
		}
	}
}

func TestTeam(t *testing.T) {
	for _, lanes := range allLanes {
		p := testPrograms(t, lanes)[3]
		for seed := range uint64(4) {
			m := machine(t, p, nil)
			m.Seed = seed
			step(t, m, p, oneSequence(1))
			for i, x := range floats(m.Memory[Work][128:], 3*lanes) {
				if x != 124 { // 0+10+20+30, and 1+11+21+31
					t.Fatalf("lanes %d, seed %d: lane %d is %v, want 124", lanes, seed, i, x)
				}
			}
		}
	}
}

// TestFaults has kernels that do what no kernel may; each must be named with instruction and address.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		members          int
		races, work      bool
	}{
		{name: "load beyond the end", body: "%1 = tile i64\n%2 = loadv <f32> %0 %1 + 4089\nstorev %0 = %2",
			want: `step of program t: phase 0 (p): launch 0 of kernel k, tile 0: member 0: %2 = loadv <f32> %0 %1 + 4089: bytes 16356 to 16388 (element 4089 from byte 0) of work, which has 16384`},
		{name: "load before the start", body: "%1 = load f32 %0 - 1\nstore %0 = %1", want: "bytes -4 to 0"},
		{name: "index overflow", body: "%1 = const i64 9223372036854775807\n%2 = load f32 %0 %1 + 5\nstore %0 = %2", want: "of work"},
		{name: "masked lanes are not touched, the others are", body: "%1 = const i64 8\n%2 = loadvn <f32> %0 + 4090 below %1\nstorev %0 = %2", want: "bytes 16360 to 16392"},
		{name: "gather", body: "%1 = lane <i32>\n%2 = shl <i32> %1 12\n%3 = gather <f32> %0 %2\nstorev %0 = %3", want: "element 4096 from byte 0"},
		{name: "pointer", body: "%1 = const i64 1125899906842625\n%2 = offset *f32 %0 %1\nstore %2 = %3\n%3 = const f32 0", want: "operand 2 (%3) is not defined before this"},
		{name: "far pointer", body: "%1 = const i64 1125899906842625\n%2 = offset *f32 %0 %1", want: "beyond any memory"},
		{name: "division by zero", body: "%1 = const i64 0\n%2 = div i64 %1 %1", want: "%2 = div i64 %1 %1: 0 by 0"},
		{name: "negative remainder", body: "%1 = const i32 -3\n%2 = const i32 2\n%3 = rem i32 %1 %2", want: "-3 by 2"},
		{name: "other team's scratch", body: "%1 = scratch *f32 0\n%2 = loadv <f32> %1 + 17\nstorev %0 = %2", want: "bytes 68 to 100 (element 17 from byte 0) of team scratch, which has 64"},
		{name: "endless loop", body: "%1 = const i64 0\n%2 = const i64 9223372036854775807\nfor %3 = %1 to %2 step 1 {\n}", want: "more than 10000 loop iterations"},
		{name: "members part", members: 2, body: "%1 = member i64\n%2 = const i64 0\n%3 = cmp bool eq %1 %2\nif %3 {\nbarrier\n}", want: "member 0 waits at barrier 0, member 1 has ended"},
		{name: "groups part", members: 2, body: "%1 = member i64\n%2 = const i64 0\n%3 = cmp bool eq %1 %2\nif %3 {\ncopygroup\n}", want: "member 0 has ended 1 groups of copies, member 1 0"},
		{name: "two tiles write", races: true, body: "%1 = lane <i32>\nstorev %0 = %1", want: "also written by another tile"},
		{name: "a tile reads what another wrote", races: true, body: "%1 = tile i64\n%2 = load i32 %0\nstore %0 %1 = %2", want: "also written by another tile"},
		{name: "a tile writes what another read", races: true, body: "%1 = tile i64\n%2 = load i32 %0 %1 + 1\nstore %0 %1 = %2", want: "also read by another tile"},
	} {
		elem := "f32"
		if c.races {
			elem = "i32"
		}
		text := fmt.Sprintf("kernel k lanes 8 members %d team 64 (y *%s work) {\n%%0 = param *%s 0\n%s\n}", max(1, c.members), elem, elem, c.body)
		k, err := ParseKernel(text)
		if err == nil {
			tg := target(8)
			tg.Members = max(1, c.members)
			p := program(k, tg, Grid{Panels: 2}, 0)
			p.Name, p.Phases[0].Name = "t", "p"
			var m *Machine
			if m, err = NewMachine(p, make([]byte, p.WeightBytes), 1); err == nil {
				m.Races, m.MaxLoops = c.races, 10_000
				err = m.Step(p, oneSequence(1))
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want ...%s...", c.name, err, c.want)
		}
	}
}

// TestLeftovers: what a kernel has not written is NaN in scratch, in logits and, if asked for, in work.
func TestLeftovers(t *testing.T) {
	k, err := ParseKernel("kernel k lanes 8 team 64 (y *f32 work, l *f32 logits) {\n%0 = param *f32 0\n%1 = scratch *f32 0\n%2 = load f32 %1\n%3 = load f32 %0 + 1\nstore %0 = %2\nstore %0 + 2 = %3\n" +
		"%4 = const f32 1\nstore %1 = %4\n}")
	if err != nil {
		t.Fatal(err)
	}
	p := program(k, target(8), Grid{Panels: 2}, 0, 0)
	m := machine(t, p, nil)
	m.Races, m.PoisonWork = false, true
	in := oneSequence(1)
	in.OutRow = []int32{0}
	step(t, m, p, in)
	for _, i := range []int{0, 2} {
		if x := floats(m.Memory[Work], 3)[i]; x == x {
			t.Errorf("float %d of the work is %v, not NaN", i, x)
		}
	}
	if x := m.Logits(p, 0); len(x) != 10 || x[3] == x[3] {
		t.Errorf("logits are %v, not ten NaNs", x)
	}
}

func TestStepInput(t *testing.T) {
	p := testPrograms(t, 8)[0]
	m := machine(t, p, nil)
	for _, c := range []struct {
		in   StepInput
		want string
	}{
		{StepInput{IDs: make([]int32, 2), SeqStart: []int32{0, 1}, SeqSlot: []int32{0}}, "first rows [0 1] for 1 sequences of 2 rows"},
		{StepInput{IDs: make([]int32, 2), SeqStart: nil, SeqSlot: []int32{0}}, "first rows []"},
		{StepInput{IDs: make([]int32, 2), SeqStart: []int32{0, 2, 2}, SeqSlot: []int32{0, 1}}, "sequence 1 begins at row 2 and ends before row 2"},
		{StepInput{IDs: make([]int32, 2), SeqStart: []int32{0, 1, 2}, SeqSlot: []int32{1, 1}}, "sequence 1 has slot 1"},
		{StepInput{IDs: make([]int32, 1), SeqStart: []int32{0, 1}, SeqSlot: []int32{2}}, "sequence 0 has slot 2"},
		{StepInput{IDs: make([]int32, 1), SeqStart: []int32{0, 1}, SeqSlot: []int32{0}, OutRow: []int32{1}}, "row 0 of the logits is that of row 1 of 1"},
		{StepInput{IDs: make([]int32, 1025), SeqStart: []int32{0, 1025}, SeqSlot: []int32{0}}, "1025 rows, 1 sequences"},
	} {
		if err := m.Step(p, c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want ...%s...", c.in, err, c.want)
		}
	}
	if _, err := NewMachine(p, nil, 1); err == nil {
		t.Error("a machine without the weights was made")
	}
}

// BenchmarkMatmul says how many lane operations a second the interpreter does: two a lane in the inner loop, load and fma.
func BenchmarkMatmul(b *testing.B) {
	for _, lanes := range allLanes {
		b.Run(fmt.Sprint(lanes), func(b *testing.B) {
			tg := target(lanes)
			p := program(matmul(b, tg, 64), tg, Grid{Panels: 1, By: ByRowBlocks, Block: 1}, 0, 0, 8192)
			m := machine(b, p, nil)
			m.Races = false
			for b.Loop() {
				step(b, m, p, oneSequence(16))
			}
			b.ReportMetric(float64(b.N)*16*32*64*2/b.Elapsed().Seconds()/1e6, "Mlaneops/s")
		})
	}
}
