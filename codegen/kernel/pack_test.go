package kernel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// TestFill holds the layout's formula for every element, in pieces of any length.
func TestFill(t *testing.T) {
	for _, z := range []struct {
		c, k int64
		l    layout
		from ir.DType
		to   spmd.Elem
		run  int64
	}{
		{1, 1, rowMajor, ir.F32, spmd.F32, 1},
		{37, 5, panels(16), ir.F32, spmd.F32, 0},
		{64, 7, panels(32), ir.F32, spmd.BF16, 0},
		{33, 3, panels(16), ir.BF16, spmd.BF16, 0},
		{40, 9, rowMajor, ir.F16, spmd.F16, 0},
		{57, 4, layout{19, 32}, ir.F32, spmd.F32, 0},
		{31, 1, panels(32), ir.BF16, spmd.F32, 0},
		{37, 5, panels(32), ir.F32, spmd.F32, 4},
		{64, 48, panels(16), ir.F32, spmd.BF16, 8},
		{33, 3, panels(32), ir.BF16, spmd.BF16, 8},
	} {
		t.Run(fmt.Sprintf("%dx%d %v %v to %v by %d", z.c, z.k, z.l, z.from, z.to, z.run), func(t *testing.T) {
			data := make([]float32, z.c*z.k)
			for i := range data {
				data[i] = float32(i%128) + 1
			}
			w, err := ir.NewWeight("w", z.from, []int{int(z.c), int(z.k)}, data)
			if err != nil {
				t.Fatal(err)
			}
			p := newPiece(w, packing{layout: z.l, elem: z.to, run: z.run}, z.c, z.k)
			if p.Bytes%64 != 0 {
				t.Errorf("%d bytes", p.Bytes)
			}
			whole := make([]byte, p.Bytes)
			if err := p.Fill(whole, 0); err != nil {
				t.Fatal(err)
			}
			got := make([]float32, p.Bytes/z.to.Bytes())
			to := map[spmd.Elem]ir.DType{spmd.F32: ir.F32, spmd.BF16: ir.BF16, spmd.F16: ir.F16}[z.to]
			if err := ir.Decode(got, to, whole); err != nil {
				t.Fatal(err)
			}
			want := make([]float32, len(got))
			for c := range z.c {
				for k := range z.k {
					run := max(1, z.run)
					units := (z.k + run - 1) / run * run
					want[c/z.l.Block*units*z.l.Pad+k/run*run*z.l.Pad+c%z.l.Block*run+k%run] = data[c*z.k+k]
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			for _, step := range []int64{64, 192} {
				parts := make([]byte, 0, p.Bytes)
				for at := int64(0); at < p.Bytes; at += step {
					part := make([]byte, min(step, p.Bytes-at))
					if err := p.Fill(part, at); err != nil {
						t.Fatal(err)
					}
					parts = append(parts, part...)
				}
				if d := cmp.Diff(whole, parts); d != "" {
					t.Errorf("in parts of %d bytes: %s", step, d)
				}
			}
			// A weight that is computed row by row gives the same bytes, and is never asked for as a whole.
			rows := ir.Weight{Name: "w", DType: z.from, Shape: w.Shape, Bytes: func() ([]byte, error) { return nil, errors.New("asked for as a whole") }}
			rows.Rows = func(lo, hi int) ([]float64, error) { return ir.LoadRows(w, lo, hi) }
			p.weight = &rows
			got2 := make([]byte, p.Bytes)
			if err := p.Fill(got2, 0); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(whole, got2); d != "" {
				t.Errorf("by rows: %s", d)
			}
		})
	}
}
