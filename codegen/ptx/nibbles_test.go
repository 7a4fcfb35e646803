package ptx

import (
	"fmt"
	"strings"
	"testing"

	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
	"github.com/ssmc/ssmc/ir"
)

// nibbles is one product of codes by codes of four bits: n columns over k, with a scale for each group.
const nibbles = `module "nibbles" vocab=%[1]d {
  weight %%embed: f32[8, %[2]d]
  weight %%w: i4[%[1]d, %[2]d]
  weight %%s: f32[%[1]d, %[4]d]
  func step(%%ids: i32[T], %%outs: i32[O]) -> (f32[O, %[1]d]) {
    group map g0 {
      %%x = gather %%embed %%ids : f32[T, %[2]d]
      %%q = quantize %%x inv=90 full=true : i8[T, %[2]d]
    }
    group contract g1 {
      %%y = linear %%q %%w _ %%s group=%[3]d : f32[T, %[1]d]
    }
    group map g2 {
      %%logits = gather %%y %%outs : f32[O, %[1]d]
    }
    return %%logits
  }
}
`

// nibbleProduct is its graph, with the largest sums that there are: two tokens have the largest code and the smallest in all places, and so has a column.
func nibbleProduct(t *testing.T, n, k, group int) *ir.Module {
	t.Helper()
	m, err := ir.Parse(fmt.Sprintf(nibbles, n, k, group, (k+group-1)/group))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Func.Weights {
		w := v.Weight
		x, err := ir.LoadWeight[float32](w)
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		if x.Ints != nil {
			for i := range k {
				x.Ints[i] = -8
			}
			raw, err = ir.EncodeInts(w.DType, x.Ints)
		} else {
			for i := range k {
				if v.Name == "embed" {
					x.Data[i], x.Data[k+i] = -9, 9
				}
			}
			raw, err = ir.Encode(w.DType, x.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Bytes = func() ([]byte, error) { return raw, nil }
	}
	return m
}

// TestNibbles runs products of few rows and of many, of columns and groups that are not whole, and looks at what multiplies.
func TestNibbles(t *testing.T) {
	for _, z := range []struct{ n, k, group, rows int }{
		{40, 128, 128, 1}, {33, 301, 128, 7}, {100, 129, 128, 63}, {32, 1, 128, 20}, {70, 77, 64, 9}, {64, 192, 64, 62},
		{33, 301, 128, 64}, {100, 129, 128, 65}, {200, 640, 128, 128}, {64, 50, 128, 200}, {70, 77, 64, 129}, {129, 192, 64, 66},
		{6150, 140, 128, 70}, // tiles of 128 columns
		{40, 96, 32, 5}, {40, 96, 32, 66},
	} {
		t.Run(fmt.Sprint(z), func(t *testing.T) {
			p, weights := program(t, nibbleProduct(t, z.n, z.k, z.group), "ptx:sm_80", kernels.Options{MaxRows: 208, MaxSeqs: 4})
			in := spmd.StepInput{SeqStart: []int32{0, int32(z.rows)}, SeqSlot: []int32{0}}
			for i := range z.rows {
				in.IDs, in.OutRow = append(in.IDs, int32(i%8)), append(in.OutRow, int32(i))
			}
			d := &spmdtest.Bed{Target: p.Target, Program: p, Weights: weights, Work: make([]byte, p.WorkBytes), State: make([]byte, spmdtest.Slots*p.SlotBytes), Input: in}
			emulate(t, d, shape{2, blockThreads})
			text, err := Emit("model", testSHA, p)
			if err != nil {
				t.Fatal(err)
			}
			if mma, dot := strings.Contains(string(text), mmaName), strings.Contains(string(text), "dp4a"); mma != (z.group >= 64) || dot == mma {
				t.Errorf("products by mma.sync: %v, by dp4a: %v", mma, dot)
			}
		})
	}
}

// TestNibbleRegisters wants no spill on any target, with tiles of 128, 64 and 32 columns.
func TestNibbleRegisters(t *testing.T) {
	a := assembler(t)
	for _, target := range Names() {
		for _, n := range []int{20, 1024, 50280} {
			p := plan(t, nibbleProduct(t, n, 768, 128), target, kernels.Options{}).Programs[0]
			text, err := Emit("model", testSHA, p)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %d columns", target, n)
			assemble(t, a, text, target)
		}
	}
}
