package passes

import (
	"fmt"
	"slices"
	"sync"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// This file holds what the passes that a scheme asks for have in common: weights that are computed from others when they are first read, and
// roles.

// derived is a weight whose bytes are computed when they are asked for, and kept until they are released. A pass itself reads no data of a
// weight, however large; a packer that reads a weight in pieces and releases it behind the last computes it once and holds one at a time.
func derived(name string, t ir.DType, shape []int, compute func() ([]byte, error)) *ir.Weight {
	d := &lazy{compute: compute}
	return &ir.Weight{Name: name, DType: t, Shape: slices.Clone(shape), Bytes: d.bytes, Release: d.drop}
}

type lazy struct {
	mu      sync.Mutex
	compute func() ([]byte, error)
	kept    []byte
}

func (l *lazy) bytes() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept != nil {
		return l.kept, nil
	}
	raw, err := l.compute()
	if err == nil {
		l.kept = raw
	}
	return raw, err
}

func (l *lazy) drop() {
	l.mu.Lock()
	l.kept = nil
	l.mu.Unlock()
}

// floats is a derived weight of numbers, of which compute gives the exact ones; they are rounded once, to t.
func floats(name string, t ir.DType, shape []int, compute func() ([]float64, error)) *ir.Weight {
	return derived(name, t, shape, func() ([]byte, error) {
		x, err := compute()
		if err != nil {
			return nil, err
		}
		return ir.Encode(t, x)
	})
}

// changed is a weight after change, which gets all elements of w in float64 and overwrites them. It stays f64, so that several changes and the
// choice of codes lose nothing; a float kernel rounds it when it is packed.
func changed(w *ir.Weight, word string, change func(x []float64) error) *ir.Weight {
	name := w.Name + "." + word
	return floats(name, ir.F64, w.Shape, func() ([]float64, error) {
		x, err := elements(w)
		if err != nil {
			return nil, err
		}
		if err := change(x); err != nil {
			return nil, fmt.Errorf("weight %q: %w", name, err)
		}
		return x, nil
	})
}

// changedRows is changed for a change of one row after the other: rows of the result can be had without the others, of a large table or head a
// few at a time.
func changedRows(w *ir.Weight, word string, change func(x []float64) error) *ir.Weight {
	c := changed(w, word, change)
	if len(w.Shape) != 2 {
		return c
	}
	c.Rows = func(lo, hi int) ([]float64, error) {
		x, err := ir.LoadRows(w, lo, hi)
		if err == nil {
			if err = change(x); err != nil {
				err = fmt.Errorf("weight %q: %w", c.Name, err)
			}
		}
		return x, err
	}
	drop := c.Release
	c.Release = func() {
		drop()
		release(w)
	}
	return c
}

func release(w *ir.Weight) {
	if w.Release != nil {
		w.Release()
	}
}

// rowsAtOnce is how many numbers of a matrix are widened at a time where its rows are worked on one after the other.
const rowsAtOnce = 1 << 20

// eachRows reads a matrix in float64, some rows at a time, and releases it.
func eachRows(w *ir.Weight, visit func(x []float64, rows int) error) error {
	defer release(w)
	n := w.Shape[0]
	step := max(1, rowsAtOnce/max(w.Shape[1], 1))
	for lo := 0; lo < n; lo += step {
		hi := min(lo+step, n)
		x, err := ir.LoadRows(w, lo, hi)
		if err == nil {
			err = visit(x, hi-lo)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// narrowed is a weight rounded to t.
func narrowed(name string, t ir.DType, w *ir.Weight) *ir.Weight {
	if len(w.Shape) != 2 {
		return floats(name, t, w.Shape, func() ([]float64, error) { return elements(w) })
	}
	return derived(name, t, w.Shape, func() ([]byte, error) {
		raw := make([]byte, 0, w.Len()*t.Size())
		err := eachRows(w, func(x []float64, _ int) error {
			part, err := ir.Encode(t, x)
			raw = append(raw, part...)
			return err
		})
		return raw, err
	})
}

// elements reads a weight in float64. The slice is the caller's.
func elements(w *ir.Weight) ([]float64, error) {
	x, err := ir.LoadWeight[float64](w)
	if err != nil {
		return nil, err
	}
	return x.Data, nil
}

// weightEditor gives operands other weights.
type weightEditor struct {
	f     *ir.Func
	uses  map[*ir.Value][]ir.Use
	names *ir.Names
}

func newWeightEditor(f *ir.Func) *weightEditor {
	return &weightEditor{f: f, uses: f.AllUses(), names: f.Names()}
}

// replace makes operand i of op, which is a weight, another one. The value keeps its name unless others read it.
func (e *weightEditor) replace(op *ir.Op, i int, w *ir.Weight) {
	v := op.Args[i]
	if len(e.uses[v]) == 1 {
		v.Weight, v.Type, v.From = w, ir.Type{DType: w.DType, Shape: ir.Dims(w.Shape)}, w.Name
		return
	}
	e.uses[v] = slices.DeleteFunc(e.uses[v], func(u ir.Use) bool { return u.Op == op && u.Index == i })
	op.Args[i] = e.add(v.Name, v.Role, w)
	e.uses[op.Args[i]] = []ir.Use{{Op: op, Index: i}}
}

// add makes a new weight value.
func (e *weightEditor) add(name, role string, w *ir.Weight) *ir.Value {
	v := &ir.Value{Name: e.names.Unique(name), Type: ir.Type{DType: w.DType, Shape: ir.Dims(w.Shape)}, Weight: w, Role: role, From: w.Name}
	e.f.Weights = append(e.f.Weights, v)
	return v
}

// dropUnread takes out weights that nothing reads any more.
func dropUnread(f *ir.Func) {
	uses := f.AllUses()
	f.Weights = slices.DeleteFunc(f.Weights, func(v *ir.Value) bool { return len(uses[v]) == 0 })
}

// layerOf is the number of the layer that a value's name says it belongs to.
func layerOf(v *ir.Value) int {
	layer, _ := splitLayer(v.Name)
	n := quant.Outside
	if layer != "" {
		fmt.Sscanf(layer[len("layers."):], "%d", &n)
	}
	return n
}

// roleOf is the role under which a scheme speaks of a value. A role may name a part behind it: ssm.x.B is what the convolution makes B of, and
// a scheme's ssm.x is about it as well.
func roleOf(v *ir.Value) quant.Role {
	dots := 0
	for i, c := range v.Role {
		if c == '.' {
			if dots++; dots == 2 {
				return quant.Role(v.Role[:i])
			}
		}
	}
	return quant.Role(v.Role)
}

// codeType says whether weights are stored as codes.
func codeType(t quant.Type) bool { return t == quant.I8 || t == quant.I4 }

// place names a value with its role and layer for a message.
func place(v *ir.Value) string {
	s := fmt.Sprintf("%%%s (%s", v.Name, v.Role)
	if n := layerOf(v); n != quant.Outside {
		s += fmt.Sprintf(", layer %d", n)
	}
	return s + ")"
}
