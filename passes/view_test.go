package passes

import (
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/ir"
)

// TestViews compares views with what they stand for: positions in an array that was reshaped and broadcast element by element.
func TestViews(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	followed := 0
	for range 3000 {
		s := space{1 + rng.IntN(3), 1 + rng.IntN(3), 1 + rng.IntN(4), 1 + rng.IntN(3)}
		shape := regroup(rng, s)
		if rng.IntN(2) == 0 {
			s, shape = shape, s // axes of the space run over several of the value
		}
		result := &ir.Value{Name: "y", Type: ir.TypeOf(ir.F32, append([]ir.Dim{ir.Rows}, ir.Dims(shape)...)...)}
		row, _ := perRow(result)
		part := append([]ir.Dim(nil), row...)
		for i := range part {
			if rng.IntN(2) == 0 {
				part[i] = 1
			}
		}
		operand := &ir.Value{Name: "a", Type: ir.TypeOf(ir.F32, append([]ir.Dim{ir.Rows}, part...)...)}
		w, err := (view{result, rowMajor(s)}).operand(operand, s)
		if err != nil {
			continue // an axis of the space runs over repeated and other axes: there is no stride for that
		}
		followed++
		for i := range s.size() {
			if got, want := offset(w, s, i), broadcastOffset(ints(row), ints(part), i); got != want {
				t.Fatalf("space %v, result %v, operand %v, position %d: reads %d, want %d", s, row, part, i, got, want)
			}
		}
		if blocks, ok := w.layout(s, 1); ok {
			for i := range s.size() {
				if got, want := offset(w, s, i), i/(s.size()/blocks); got != want {
					t.Fatalf("space %v: layout says %d blocks, position %d reads %d, want %d", s, blocks, i, got, want)
				}
			}
		}
	}
	if followed < 1000 {
		t.Errorf("only %d views could be followed", followed)
	}
}

// regroup makes another shape of as many elements: some neighbours of s are joined.
func regroup(rng *rand.Rand, s space) []int {
	out := []int{s[0]}
	for _, d := range s[1:] {
		if rng.IntN(2) == 0 {
			out[len(out)-1] *= d
		} else {
			out = append(out, d)
		}
	}
	return out
}

// offset is the element that a view reads at position i of the space.
func offset(w view, s space, i int) (at int) {
	for k := len(s) - 1; k >= 0; k-- {
		at += i % s[k] * w.strides[k]
		i /= s[k]
	}
	return at
}

// broadcastOffset is the element of a tensor of shape part that belongs to element i of the shape row.
func broadcastOffset(row, part []int, i int) (at int) {
	step := 1
	for k := len(row) - 1; k >= 0; k-- {
		if part[k] > 1 {
			at += i % row[k] * step
		}
		i /= row[k]
		step *= part[k]
	}
	return at
}
