package amd64

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/llvm"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// dotShape is a register block of a product of bytes: so many rows by so many vectors of columns, in steps of unroll groups of four bytes.
type dotShape struct {
	op            string // "dot4", "dot4u" with any byte, "dot4u_127" with bounded ones, "dot4u_15" with 4-bit weights, which are unpacked, "dot2" with rows taken apart
	rows, vectors int64
	unroll        int64
}

func (s dotShape) String() string {
	return fmt.Sprintf("%s_%dx%d_u%d", s.op, s.rows, s.vectors, s.unroll)
}

// build is a block of rows of depth bytes by one panel of columns.
func (s dotShape) build(k *spmdtest.Body, depth int64) {
	x, w, y := k.Arg(spmd.I32, spmd.Work, 0), k.Arg(spmd.I32, spmd.Weights, 0), k.Arg(spmd.I32, spmd.Work, 1<<16)
	s.block(k, x, w, y, depth/4)
}

// block multiplies all rows of the step, some at a time.
func (s dotShape) block(k *spmdtest.Body, x, w, y *val, groups int64) {
	lanes := int64(k.Target.Lanes)
	cols := s.vectors * lanes
	words := groups
	if s.op == "dot2" {
		words = 2 * groups
	}
	k.For(k.I(0), k.Rows(), s.rows, nil, func(row *val, _ []*val) []*val {
		first := k.Offset(x, k.Mul(row, k.I(words)))
		acc := make([]*val, s.rows*s.vectors)
		for i := range acc {
			acc[i] = k.Splat(k.I32(0))
		}
		acc = k.For(k.I(0), k.I(groups), s.unroll, acc, func(g *val, c []*val) []*val {
			c = append([]*val(nil), c...)
			for u := range s.unroll {
				s.step(k, first, w, g, u, groups, cols, c)
			}
			return c
		})
		to := k.Offset(y, k.Mul(row, k.I(cols)))
		for i, a := range acc {
			k.StoreV(to, nil, int64(i)*lanes, a)
		}
		return nil
	})
}

// step is one group of four bytes of each row and column. Two groups of 4-bit weights share a word.
func (s dotShape) step(k *spmdtest.Body, first, w, g *val, u, groups, cols int64, acc []*val) {
	cells := make([]*val, s.vectors)
	for j := range cells {
		off := int64(j) * int64(k.Target.Lanes)
		if s.op != "dot4u_15" {
			cells[j] = k.LoadV(w, k.Mul(g, k.I(cols)), u*cols+off)
			continue
		}
		cells[j] = k.LoadV(w, k.Mul(k.Shr(g, 1), k.I(cols)), u/2*cols+off)
		if u%2 == 1 {
			cells[j] = k.Shrl(cells[j], 4)
		}
		cells[j] = k.And(cells[j], k.I32(0x0f0f0f0f))
	}
	for i := range s.rows {
		var a, low, high *val
		if s.op == "dot2" { // the row has a plane of low bytes and one of high bytes
			low, high = k.Splat(k.Load(first, g, 2*i*groups+u)), k.Splat(k.Load(first, g, (2*i+1)*groups+u))
		} else {
			a = k.Splat(k.Load(first, g, i*groups+u))
		}
		for j, b := range cells {
			at := i*s.vectors + int64(j)
			switch s.op {
			case "dot4":
				acc[at] = k.Dot4(acc[at], a, b)
			case "dot4u":
				acc[at] = k.Dot4U(acc[at], a, b, 255)
			case "dot4u_127":
				acc[at] = k.Dot4U(acc[at], a, b, 127)
			case "dot4u_15":
				acc[at] = k.Dot4U(acc[at], b, a, 15)
			case "dot2":
				acc[at] = k.Dot2(k.Dot2(acc[at], low, k.Byte16(b, 0)), high, k.Byte16(b, 1))
			}
		}
	}
}

var dotShapes = func() (all []dotShape) {
	for _, op := range []string{"dot4", "dot4u", "dot4u_127", "dot4u_15", "dot2"} {
		for _, b := range [][2]int64{{1, 2}, {1, 4}, {2, 2}, {2, 4}, {3, 2}, {3, 4}, {4, 2}, {6, 1}, {6, 2}, {8, 1}, {8, 2}, {12, 1}, {12, 2}} {
			all = append(all, dotShape{op, b[0], b[1], 1}, dotShape{op, b[0], b[1], 2}, dotShape{op, b[0], b[1], 8})
		}
	}
	return all
}()

// BenchmarkDot says how many operations a second (a product and a sum are two) register blocks reach, with a panel of weights in the first two caches.
func BenchmarkDot(b *testing.B) {
	tools, err := llvm.Find(0)
	if err != nil {
		b.Fatal(err)
	}
	const depth, tiles = 768, 16
	for _, name := range ByteNames() {
		if len(lacking(rank(name))) > 0 {
			continue
		}
		target, err := Target(name)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range dotShapes {
			b.Run(name+"/"+s.String(), func(b *testing.B) {
				d := spmdtest.New(b, target)
				d.Work, d.Weights = make([]byte, 1<<18), make([]byte, 1<<18)
				d.Program.MaxRows = 64
				d.Kernel("dot", spmd.Grid{Panels: tiles}, func(k *spmdtest.Body) { s.build(k, depth) })
				d.Input.IDs = make([]int32, 24)
				d.Input.SeqStart, d.Input.SeqSlot, d.Input.OutRow = []int32{0, 24}, []int32{0}, nil
				d.Done()
				text, err := Emit("model", testSHA, []Level{{name, d.Program}})
				if err != nil {
					b.Fatal(err)
				}
				obj, err := tools.Assemble(b.Context(), text, llvm.Options{})
				if err != nil {
					b.Fatal(err)
				}
				so, err := tools.LinkShared(b.Context(), [][]byte{obj}, "dot.so")
				if err != nil {
					b.Fatal(err)
				}
				path := filepath.Join(b.TempDir(), "dot.so")
				if err := os.WriteFile(path, so, 0o777); err != nil {
					b.Fatal(err)
				}
				lib := open(b, path, []string{name})
				c, _ := stepContext(b, d, 0, 1)
				best := time.Hour
				for b.Loop() {
					start := time.Now()
					if r := call(lib.step, c.ptr(), 0, 1); r != abi.Fine {
						b.Fatal(r)
					}
					best = min(best, time.Since(start))
				}
				ops := 2 * 24 * depth * s.vectors * int64(target.Lanes) * tiles
				b.ReportMetric(float64(ops)/best.Seconds()/1e9, "Gop/s")
			})
		}
	}
}
