package ptx

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// gpuTarget is what tests are built for.
func gpuTarget(t testing.TB, members int) spmd.Target {
	t.Helper()
	target, err := Target("ptx:sm_80")
	if err != nil {
		t.Fatal(err)
	}
	target.Members = members
	return target
}

// TestFacts reads what a module says about itself.
func TestFacts(t *testing.T) {
	d := spmdtest.Spaces(t, gpuTarget(t, 1))
	x := device(t, d, parsed(t, d.Program), shape{1, warp})
	want := [32]int64{abi.Version, d.Program.WeightBytes, d.Program.WorkBytes, 0, 64, 32, 30, 16, 4, int64(len(d.Program.Phases)), 0, 32, 256}
	if got := x.facts(t); got != want {
		t.Errorf("model_facts is %v, want %v", got, want)
	}
	at, _ := x.Symbol("model_weights_sha256")
	if got := string(x.Bytes(at)); got != testSHA+"\x00" {
		t.Errorf("model_weights_sha256 is %q", got)
	}
}

// TestStepErrors gives each bound of a context its turn.
func TestStepErrors(t *testing.T) {
	zero := func(field int64) func(x *gpuMemory) { return func(x *gpuMemory) { x.u64(field, 0) } }
	cases := []struct {
		name   string
		break_ func(x *gpuMemory)
		want   int32
	}{
		{"fine", func(x *gpuMemory) {}, abi.Fine},
		{"abi", func(x *gpuMemory) { x.u32(abi.ABI, abi.Version-1) }, abi.ErrABI},
		{"rows 0", zero(abi.Rows), abi.ErrCount},
		{"rows negative", func(x *gpuMemory) { x.u64(abi.Rows, ^uint64(0)) }, abi.ErrCount},
		{"rows above", func(x *gpuMemory) { x.u64(abi.Rows, 17) }, abi.ErrCount},
		{"rows far above", func(x *gpuMemory) { x.u64(abi.Rows, 1<<32+5) }, abi.ErrCount},
		{"seqs 0", zero(abi.Seqs), abi.ErrCount},
		{"seqs above", func(x *gpuMemory) { x.u64(abi.Seqs, 5) }, abi.ErrCount},
		{"more seqs than rows", func(x *gpuMemory) { x.u64(abi.Rows, 1) }, abi.ErrCount},
		{"outs negative", func(x *gpuMemory) { x.u64(abi.Outs, ^uint64(0)) }, abi.ErrCount},
		{"more outs than rows", func(x *gpuMemory) { x.u64(abi.Outs, 6) }, abi.ErrCount},
		{"scratch for fewer workers", func(x *gpuMemory) { x.u32(abi.Workers, 1) }, abi.ErrCount},
		{"weights", zero(abi.Weights), abi.ErrPointer},
		{"work", zero(abi.Work), abi.ErrPointer},
		{"team", zero(abi.Team), abi.ErrPointer},
		{"state", zero(abi.State), abi.ErrPointer},
		{"ids", zero(abi.IDs), abi.ErrPointer},
		{"seq_start", zero(abi.SeqStart), abi.ErrPointer},
		{"seq_slot", zero(abi.SeqSlot), abi.ErrPointer},
		{"out_row", zero(abi.OutRow), abi.ErrPointer},
		{"logits", zero(abi.Logits), abi.ErrPointer},
		{"no logits wanted", func(x *gpuMemory) { x.u64(abi.Outs, 0); x.u64(abi.Logits, 0); x.u64(abi.OutRow, 0) }, abi.Fine},
		{"sampling", zero(abi.Sampling), abi.ErrPointer},
		{"odds", zero(abi.Odds), abi.ErrPointer},
		{"nothing chosen", func(x *gpuMemory) { x.u64(abi.Chosen, 0); x.u64(abi.Sampling, 0); x.u64(abi.Odds, 0) }, abi.Fine},
		{"no logits to choose from", func(x *gpuMemory) { x.u64(abi.Outs, 0); x.u64(abi.Sampling, 0); x.u64(abi.Odds, 0) }, abi.Fine},
	}
	d := spmdtest.Spaces(t, gpuTarget(t, 1))
	d.Kernel("scratch", spmdtest.One, func(k *spmdtest.Body) { // more than shared memory can have
		s := k.Scratch(spmd.F32, 1<<18)
		k.Store(s, nil, 1<<18-1, k.F(1))
		k.Store(k.Output(spmd.F32, 1), nil, 0, k.Load(s, nil, 1<<18-1))
	})
	d.Program.TeamBytes = 1 << 20
	d.Done()
	m := parsed(t, d.Program)
	s := shape{2, warp}
	for _, tc := range cases {
		x := device(t, d, m, s)
		tc.break_(x)
		got, err := x.step(t, s)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got != tc.want {
			t.Errorf("%s: the step gives %d, want %d", tc.name, got, tc.want)
		}
	}
}

// TestLaunchErrors launches blocks that hold no whole teams, or have too little shared memory.
func TestLaunchErrors(t *testing.T) {
	d := spmdtest.New(t, gpuTarget(t, 2))
	d.Kernel("scratch", spmdtest.One, func(k *spmdtest.Body) {
		k.Share()
		spmdtest.ScratchUse(k)
	})
	d.Done()
	m := parsed(t, d.Program)
	s := shape{1, 3 * warp}
	if got, err := device(t, d, m, s).step(t, s); err != nil || got != abi.ErrLaunch {
		t.Errorf("one and a half teams: %d, %v", got, err)
	}
	s = shape{1, 2 * warp}
	x := device(t, d, m, s)
	facts := x.facts(t)
	if facts[factShared] == 0 || facts[factTeamThreads] != 2*warp {
		t.Fatalf("facts %v", facts)
	}
	if got, err := x.launch(s, int(facts[factShared])-1); err != nil || got != abi.ErrLaunch {
		t.Errorf("too little shared memory: %d, %v", got, err)
	}
}

const chainPhases = 60

// TestBarrier makes many grid barriers with warps that take turns in drawn orders, over several steps: the counter is left as it was.
func TestBarrier(t *testing.T) {
	d := spmdtest.Chain(t, gpuTarget(t, 1), chainPhases)
	m := parsed(t, d.Program)
	for _, s := range []shape{{1, 8 * warp}, {2, warp}, {5, 3 * warp}, {13, warp}} {
		x := device(t, d, m, s)
		want := d.Work
		for step := range 3 {
			x.Seed = uint64(1 + step)
			if r, err := x.step(t, s); err != nil || r != abi.Fine {
				t.Fatalf("%v: step %d gives %d, %v", s, step, r, err)
			}
			e := *d
			e.Work = want
			want = e.Interpret(t).Work
			if string(x.Bytes(x.at[abi.Work])) != string(want) {
				t.Errorf("%v: step %d has other results", s, step)
			}
			if n := binary.LittleEndian.Uint32(x.Bytes(x.ctx)[abi.Arrived:]); n&(1<<31-1) != 0 {
				t.Errorf("%v: %#x blocks have arrived after the step", s, n)
			}
		}
	}
}

// TestTrace wants a time stamp for every phase and block, skipped phases too, in order.
func TestTrace(t *testing.T) {
	d := spmdtest.Spaces(t, gpuTarget(t, 1))
	m := parsed(t, d.Program)
	s := shape{3, 2 * warp}
	x := device(t, d, m, s)
	n := (len(d.Program.Phases) + 1) * s.blocks
	at := x.Alloc("trace", 8*n)
	x.u64(abi.Trace, at)
	if r, err := x.step(t, s); err != nil || r != abi.Fine {
		t.Fatalf("the step gives %d, %v", r, err)
	}
	stamps := make([]uint64, n)
	for i := range stamps {
		stamps[i] = binary.LittleEndian.Uint64(x.Bytes(at)[8*i:])
		if stamps[i] == 0 || i >= s.blocks && stamps[i] < stamps[i-s.blocks] {
			t.Errorf("phase %d, block %d has the stamp %d", i/s.blocks, i%s.blocks, stamps[i])
		}
	}
}

// TestAllSkipped steps through a program of which no phase runs.
func TestAllSkipped(t *testing.T) {
	d := spmdtest.Chain(t, gpuTarget(t, 1), chainPhases)
	d.Program.Phases = d.Program.Phases[:1]
	d.Program.Phases[0].MinRows = 16
	s := shape{3, warp}
	x := device(t, d, parsed(t, d.Program), s)
	if r, err := x.step(t, s); err != nil || r != abi.Fine {
		t.Fatalf("the step gives %d, %v", r, err)
	}
	if strings.Trim(string(x.Bytes(x.at[abi.Work])), "\x00") != "" {
		t.Error("the skipped phase wrote something")
	}
}

// TestMembers lets the warps of a team share a tile: each sums a part, all meet, and each then reads what the others left in scratch.
func TestMembers(t *testing.T) {
	for _, members := range []int{1, 2, 3, 8} {
		for _, far := range []bool{false, true} { // scratch in shared memory, and too much for that
			t.Run(fmt.Sprint(members, far), func(t *testing.T) {
				checkBedOn(t, gpuTarget(t, members), func(t testing.TB, target spmd.Target) *spmdtest.Bed {
					d := spmdtest.New(t, target)
					d.Kernel("parts", spmd.Grid{Panels: 5}, func(k *spmdtest.Body) { membersUse(k, far) })
					d.Program.TeamBytes = d.Program.Kernels[0].Team
					return d.Done()
				}, shape{1, members * warp}, shape{2, members * warp}, shape{1, 8 / members * members * warp})
			})
		}
	}
}

func membersUse(k *spmdtest.Body, far bool) {
	k.Share()
	n := int64(k.Target.Members)
	x, y := k.Input(spmd.F32, spmdtest.Edges(spmd.F32)[:44]), k.Output(spmd.F32, 5*8*warp)
	sums := k.Scratch(spmd.F32, n*warp)
	if far {
		sums = k.Offset(k.Scratch(spmd.F32, 1<<18), k.I(77))
	}
	mine := k.LoadV(x, k.Tile(), 0)
	mine = k.Mul(mine, k.ToF32(k.Truncate(k.Add(k.Member(), k.I(1)))))
	k.StoreV(sums, k.Mul(k.Member(), k.I(warp)), 0, mine)
	k.Barrier()
	all := k.For(k.I(0), k.Members(), 1, []*val{k.Splat(k.F(0))}, func(m *val, c []*val) []*val {
		other := k.Rem(k.Add(m, k.Member()), k.Members())
		return []*val{k.Max(k.LoadV(sums, k.Mul(other, k.I(warp)), 0), k.Neg(c[0]))}
	})
	k.StoreV(y, k.Mul(k.Add(k.Mul(k.Tile(), k.I(n)), k.Member()), k.I(warp)), 0, all[0])
}

// TestTogether has launches that teams share beside those that warps do alone, in one phase and with scratch in both, and launches for some numbers of rows.
func TestTogether(t *testing.T) {
	for _, members := range []int{2, 8} {
		for _, far := range []bool{false, true} {
			t.Run(fmt.Sprint(members, far), func(t *testing.T) {
				checkBedOn(t, gpuTarget(t, members), func(t testing.TB, target spmd.Target) *spmdtest.Bed { return together(t, target, far) },
					shape{1, members * warp}, shape{3, members * warp}, shape{2, 8 * warp})
			})
		}
	}
}

func together(t testing.TB, target spmd.Target, far bool) *spmdtest.Bed {
	d := spmdtest.New(t, target)
	alone := func(k *spmdtest.Body) {
		y, s := k.Output(spmd.F32, 40*warp), k.Scratch(spmd.F32, warp)
		if far {
			s = k.Offset(k.Scratch(spmd.F32, 1<<17), k.I(5))
		}
		k.StoreV(s, nil, 0, k.ToF32(k.Add(k.Lane(), k.Truncate(k.Tile()))))
		k.Barrier()
		k.StoreV(y, k.Mul(k.Tile(), k.I(warp)), 0, k.Gather(s, k.Xor(k.Lane(), k.I32(5)), 0))
	}
	shared := func(k *spmdtest.Body) { membersUse(k, far) }
	d.Kernel("alone", spmd.Grid{Panels: 40}, alone)
	d.Kernel("shared", spmd.Grid{Panels: 5}, shared)
	d.Kernel("alone2", spmd.Grid{Panels: 3, By: spmd.BySeqs}, alone)
	d.Kernel("shared2", spmd.Grid{Panels: 1, By: spmd.ByRowBlocks, Block: 1}, shared)
	var all spmd.Phase
	for _, ph := range d.Program.Phases {
		all.Launches = append(all.Launches, ph.Launches...)
	}
	all.Name = "all"
	d.Program.Phases = []spmd.Phase{all}
	for i, g := range []spmd.Grid{ // of five rows, two sequences, three rows of logits
		{Panels: 2, Least: 6}, {Panels: 2, Most: 4}, {Panels: 2, Least: 5, Most: 5},
		{Panels: 1, By: spmd.BySeqs, Least: 3}, {Panels: 1, By: spmd.BySeqs, Most: 2},
		{Panels: 1, By: spmd.ByOutBlocks, Block: 2, Most: 2}, {Panels: 1, By: spmd.ByOutBlocks, Block: 2, Least: 3},
	} {
		d.Kernel(fmt.Sprint("bounded", i), g, func(k *spmdtest.Body) {
			k.Store(k.Output(spmd.I64, 4), k.Tile(), 0, k.I(7))
		})
	}
	for _, k := range d.Program.Kernels {
		d.Program.TeamBytes = max(d.Program.TeamBytes, k.Team)
	}
	return d.Done()
}
