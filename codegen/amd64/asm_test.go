package amd64

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// asmCase is a kernel, and what its innermost loop must be made of at each level: how many of each instruction, and no others than are listed.
type asmCase struct {
	name  string
	build func(k *spmdtest.Body)
	loop  map[string]map[string]int // by level: regular expression of an instruction, how often
}

// loopControl is what any loop may have besides: one compare, one jump, and so many steps of pointers or indices.
const loopControl = `^(cmpq|jl|jne|jb|incq|addq|subq)\b`

var asmCases = []asmCase{
	{
		name:  "matvec",
		build: asmMatvec,
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vbroadcastss .*\(%r.*, %ymm`: 1, `^vfmadd\d+ps .*\(%r\w+\), %ymm\d+, %ymm`: 4, loopControl: 4},
			"x86-64-v4": {`^vbroadcastss .*\(%r.*, %zmm`: 1, `^vfmadd\d+ps .*\(%r\w+\), %zmm\d+, %zmm`: 4, loopControl: 4},
		},
	},
	{
		name:  "matmul6x2",
		build: asmMatmul,
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vmovups .*\(%r.*, %ymm`: 2, `^vbroadcastss .*\(%r.*, %ymm`: 6, `^vfmadd231ps %ymm`: 12, loopControl: 4},
			"x86-64-v4": {`^vmovups .*\(%r.*, %zmm`: 2, `^vbroadcastss .*\(%r.*, %zmm`: 6, `^vfmadd231ps %zmm`: 12, loopControl: 4},
		},
	},
	{
		name:  "bf16",
		build: func(k *spmdtest.Body) { asmWiden(k, spmd.BF16) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpmovzxwd .*\(%r.*, %ymm`: 1, `^vpslld \$16, %ymm`: 1, `^vfmadd\d+ps .*\(%r`: 1, loopControl: 4},
			"x86-64-v4": {`^vpmovzxwd .*\(%r.*, %zmm`: 1, `^vpslld \$16, %zmm`: 1, `^vfmadd\d+ps .*\(%r`: 1, loopControl: 4},
		},
	},
	{
		name:  "f16",
		build: func(k *spmdtest.Body) { asmWiden(k, spmd.F16) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vcvtph2ps .*\(%r.*, %ymm`: 1, `^vfmadd\d+ps .*\(%r`: 1, loopControl: 4},
			"x86-64-v4": {`^vcvtph2ps .*\(%r.*, %zmm`: 1, `^vfmadd\d+ps .*\(%r`: 1, loopControl: 4},
		},
	},
	{
		name:  "clamp_round",
		build: asmClamp,
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vmovups `: 2, `^vminps `: 1, `^vmaxps `: 1, `^vcvtps2dq %ymm`: 1, `^vcvtdq2ps %ymm`: 1, loopControl: 4},
			"x86-64-v4": {`^vmovups `: 2, `^vminps `: 1, `^vmaxps `: 1, `^vcvtps2dq %zmm`: 1, `^vcvtdq2ps %zmm`: 1, loopControl: 4},
		},
	},
	{
		name:  "embedded_broadcast",
		build: asmScale,
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vbroadcastss \(%r`: 1, `^vmulps \(%r`: 1, `^vmovups %ymm\d+, .*\(%r`: 1, loopControl: 4},
			"x86-64-v4": {`^vmovups `: 2, `^vmulps .*\(%r.*\)\{1to16\}`: 1, loopControl: 4},
		},
	},
	{
		name:  "half_store",
		build: func(k *spmdtest.Body) { asmNarrow(k, spmd.F16) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vmovups .*\(%r.*, %ymm`: 1, `^vcvtps2ph \$4, %ymm\d+, .*\(%r`: 1, loopControl: 4},
			"x86-64-v4": {`^vmovups .*\(%r.*, %zmm`: 1, `^vcvtps2ph \$4, %zmm\d+, .*\(%r`: 1, loopControl: 4},
		},
	},
	{
		name:  "masked",
		build: asmMasked,
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vmaskmovps .*\(%r.*\), %ymm`: 1, `^vmaskmovps %ymm\d+, %ymm\d+, .*\(%r`: 1, `^vpcmpgtd %ymm`: 1, `^vaddps`: 1, loopControl: 4},
			"x86-64-v4": {`^vmovups .*\(%r.*\), %zmm\d+ \{%k\d\} \{z\}`: 1, `^vmovups %zmm\d+, .*\(%r.*\) \{%k\d\}`: 1, `^vpcmpgtd .*%k\d$`: 1, `^vaddps`: 1, loopControl: 4},
		},
	},
}

// asmMatvec is one row times four vectors of columns.
func asmMatvec(k *spmdtest.Body) {
	x, w, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(spmd.F32, spmd.Weights, 0), k.Arg(spmd.F32, spmd.Work, 8192)
	lanes := int64(k.Target.Lanes)
	panel := k.Offset(w, k.Mul(k.Tile(), k.I(64*768)))
	zero := k.Splat(k.F(0))
	acc := k.For(k.I(0), k.I(768), 1, []*val{zero, zero, zero, zero}, func(i *val, c []*val) []*val {
		xi := k.Load(x, i, 0)
		out := make([]*val, 4)
		for j := range out {
			out[j] = k.FMA(xi, k.LoadV(panel, k.Mul(i, k.I(4*lanes)), int64(j)*lanes), c[j])
		}
		return out
	})
	for j, a := range acc {
		k.StoreV(y, k.Mul(k.Tile(), k.I(4*lanes)), int64(j)*lanes, a)
	}
}

// asmMatmul is six rows times two vectors of columns: twelve accumulators, two weights and a broadcast in sixteen registers.
func asmMatmul(k *spmdtest.Body) {
	x, w, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(spmd.F32, spmd.Weights, 0), k.Arg(spmd.F32, spmd.Work, 1<<16)
	const depth = 768
	lanes := int64(k.Target.Lanes)
	panel := k.Offset(w, k.Mul(k.Tile(), k.I(2*lanes*depth)))
	k.For(k.I(0), k.Rows(), 6, nil, func(row *val, _ []*val) []*val {
		first := k.Offset(x, k.Mul(row, k.I(depth)))
		acc := make([]*val, 12)
		for i := range acc {
			acc[i] = k.Splat(k.F(0))
		}
		acc = k.For(k.I(0), k.I(depth), 1, acc, func(i *val, c []*val) []*val {
			at := k.Mul(i, k.I(2*lanes))
			w0, w1 := k.LoadV(panel, at, 0), k.LoadV(panel, at, lanes)
			out := make([]*val, 12)
			for r := range int64(6) {
				xi := k.Splat(k.Load(first, i, r*depth))
				out[2*r], out[2*r+1] = k.FMA(xi, w0, c[2*r]), k.FMA(xi, w1, c[2*r+1])
			}
			return out
		})
		to := k.Offset(y, k.Mul(row, k.I(1024)))
		for r := range int64(6) {
			k.StoreV(to, k.Mul(k.Tile(), k.I(2*lanes)), r*1024, acc[2*r])
			k.StoreV(to, k.Mul(k.Tile(), k.I(2*lanes)), r*1024+lanes, acc[2*r+1])
		}
		return nil
	})
}

// asmEach is a loop over whole vectors.
func asmEach(k *spmdtest.Body, f func(i *val)) {
	k.For(k.I(0), k.I(1024), int64(k.Target.Lanes), nil, func(i *val, _ []*val) []*val {
		f(i)
		return nil
	})
}

func asmWiden(k *spmdtest.Body, e spmd.Elem) {
	x, w, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(e, spmd.Weights, 0), k.Arg(spmd.F32, spmd.Work, 8192)
	zero := k.Splat(k.F(0))
	acc := k.For(k.I(0), k.I(1024), int64(k.Target.Lanes), []*val{zero}, func(i *val, c []*val) []*val {
		return []*val{k.FMA(k.LoadV(w, i, 0), k.LoadV(x, i, 0), c[0])}
	})
	k.StoreV(y, nil, 0, acc[0])
}

func asmClamp(k *spmdtest.Body) {
	x, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(spmd.F32, spmd.Work, 8192)
	asmEach(k, func(i *val) {
		v := k.Max(k.Min(k.LoadV(x, i, 0), k.F(88)), k.F(-88))
		k.StoreV(y, i, 0, k.ToF32(k.Round(v)))
	})
}

func asmScale(k *spmdtest.Body) {
	x, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(spmd.F32, spmd.Work, 8192)
	asmEach(k, func(i *val) { k.StoreV(y, i, 0, k.Mul(k.LoadV(x, i, 0), k.Load(x, nil, 0))) })
}

func asmNarrow(k *spmdtest.Body, e spmd.Elem) {
	x, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(e, spmd.Work, 8192)
	asmEach(k, func(i *val) { k.StoreV(y, i, 0, k.LoadV(x, i, 0)) })
}

func asmMasked(k *spmdtest.Body) {
	x, y := k.Arg(spmd.F32, spmd.Work, 0), k.Arg(spmd.F32, spmd.Work, 8192)
	n := k.Rows()
	asmEach(k, func(i *val) { k.StoreVN(y, i, 0, n, k.Add(k.LoadVN(x, i, 0, n), k.LoadV(x, i, 64))) })
}

// TestAssembly looks at the innermost loop of each case: nothing is spilled, loads are operands, and addresses cost nothing.
func TestAssembly(t *testing.T) { checkAssembly(t, Names(), asmCases) }

func checkAssembly(t *testing.T, levels []string, cases []asmCase) {
	text := emit(t, levels, func(t testing.TB, target spmd.Target) *spmd.Program {
		d := spmdtest.New(t, target)
		d.Work, d.Weights = make([]byte, 1<<18), make([]byte, 1<<20)
		for _, c := range cases {
			d.Kernel(c.name, spmdtest.One, c.build)
		}
		return d.Done().Program
	})
	eachLLC(t, func(t *testing.T, tools *llvm.Tools) {
		asm, err := tools.Asm(t.Context(), text, llvm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			for level, want := range c.loop {
				t.Run(c.name+"/"+level, func(t *testing.T) {
					loop, err := innermost(string(asm), fmt.Sprintf("model.%s.%s", level, c.name))
					if err != nil {
						t.Fatal(err)
					}
					checkLoop(t, loop, want)
				})
			}
		}
	})
}

// checkLoop counts a loop's instructions. Loop control may be less than its count.
func checkLoop(t *testing.T, loop []string, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	bad := false
	for _, in := range loop {
		known := false
		for pattern := range want {
			if regexp.MustCompile(pattern).MatchString(in) && !strings.Contains(in, "(%rsp") {
				got[pattern]++
				known = true
			}
		}
		if !known {
			bad = true
			t.Errorf("not expected in the loop: %s", in)
		}
	}
	for pattern, n := range want {
		if got[pattern] > n || got[pattern] < n && pattern != loopControl {
			bad = true
			t.Errorf("%d times %s, want %d", got[pattern], pattern, n)
		}
	}
	if bad {
		t.Logf("the loop:\n%s", strings.Join(loop, "\n"))
	}
}

// innermost gives the instructions of the loop of a function in which no other loop is: from the last label that is jumped back to, to that jump.
func innermost(asm, name string) ([]string, error) {
	_, rest, ok := strings.Cut(asm, "\n\""+name+"\":")
	if !ok {
		return nil, fmt.Errorf("the assembly has no function %s", name)
	}
	rest, _, _ = strings.Cut(rest, "\n.Lfunc_end")
	var block []string
	label := ""
	for _, line := range strings.Split(rest, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case line == "" || strings.HasPrefix(line, ".p2align") || strings.HasPrefix(line, ".cfi"):
		case strings.HasSuffix(line, ":"):
			label, block = strings.TrimSuffix(line, ":"), nil
		default:
			block = append(block, line)
			if label != "" && strings.HasPrefix(line, "j") && strings.HasSuffix(line, " "+label) {
				return block, nil
			}
		}
	}
	return nil, fmt.Errorf("%s has no loop of one block:\n%s", name, rest)
}
