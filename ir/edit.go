package ir

import (
	"fmt"
	"iter"
	"slices"
)

// Values runs over all values of the function: inputs, weights, states, then the results of ops in order.
func (f *Func) Values() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		for _, list := range [][]*Value{f.Inputs, f.Weights, f.States} {
			for _, v := range list {
				if !yield(v) {
					return
				}
			}
		}
		for _, op := range f.Ops {
			for _, v := range op.Results {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Use is one place where a value is read: operand Index of Op, or, where Op is nil, an entry of Func.Returns or Func.NextStates.
type Use struct {
	Op    *Op
	Index int
	Next  bool // Op is nil: the entry is in NextStates, not in Returns
}

// String names the use for a report.
func (u Use) String() string {
	switch {
	case u.Op != nil:
		return fmt.Sprintf("%%%s = %s", u.Op.Results[0].Name, u.Op.Code)
	case u.Next:
		return "next"
	}
	return "return"
}

// Uses lists where v is read. For many values at once, AllUses walks the function once only.
func (f *Func) Uses(v *Value) []Use { return f.AllUses()[v] }

// AllUses lists where each value is read, in order.
func (f *Func) AllUses() map[*Value][]Use {
	uses := map[*Value][]Use{}
	for _, op := range f.Ops {
		for i, a := range op.Args {
			if a != nil {
				uses[a] = append(uses[a], Use{Op: op, Index: i})
			}
		}
	}
	for i, v := range f.Returns {
		uses[v] = append(uses[v], Use{Index: i})
	}
	for i, v := range f.NextStates {
		uses[v] = append(uses[v], Use{Index: i, Next: true})
	}
	return uses
}

// ReplaceUses makes everything that reads old read v.
func (f *Func) ReplaceUses(old, v *Value) {
	swap := func(list []*Value) {
		for i, a := range list {
			if a == old {
				list[i] = v
			}
		}
	}
	for _, op := range f.Ops {
		swap(op.Args)
	}
	swap(f.Returns)
	swap(f.NextStates)
}

// InsertBefore puts ops in front of at; with at nil, at the end.
func (f *Func) InsertBefore(at *Op, ops ...*Op) {
	i := len(f.Ops)
	if at != nil {
		i = slices.Index(f.Ops, at)
	}
	f.Ops = slices.Insert(f.Ops, i, ops...)
}

// Remove takes ops out. What still reads their results is the caller's to replace first; Verify finds what was forgotten.
func (f *Func) Remove(ops ...*Op) {
	gone := map[*Op]bool{}
	for _, op := range ops {
		gone[op] = true
	}
	f.Ops = slices.DeleteFunc(f.Ops, func(op *Op) bool { return gone[op] })
}

// RemoveDead takes out ops, then weights, that nothing reads, and says how many of each. States and inputs stay.
func (f *Func) RemoveDead() (ops, weights int) {
	live := map[*Value]bool{}
	for _, list := range [][]*Value{f.Returns, f.NextStates} {
		for _, v := range list {
			live[v] = true
		}
	}
	dead := map[*Op]bool{}
	for _, op := range slices.Backward(f.Ops) {
		if !slices.ContainsFunc(op.Results, func(v *Value) bool { return live[v] }) {
			dead[op] = true
			continue
		}
		for _, a := range op.Args {
			live[a] = true
		}
	}
	before := len(f.Weights)
	f.Ops = slices.DeleteFunc(f.Ops, func(op *Op) bool { return dead[op] })
	f.Weights = slices.DeleteFunc(f.Weights, func(v *Value) bool { return !live[v] })
	return len(dead), before - len(f.Weights)
}

// Clone copies the module. Weights' data and the descriptions of states are shared.
func (m *Module) Clone() *Module {
	out := *m
	out.Meta.EOS = slices.Clone(m.Meta.EOS)
	f := &Func{Name: m.Func.Name}
	out.Func = f
	values := map[*Value]*Value{nil: nil}
	groups := map[*Group]*Group{nil: nil}
	copyList := func(list []*Value) []*Value {
		var out []*Value
		for _, v := range list {
			w, ok := values[v]
			if !ok {
				c := *v
				w = &c
				values[v] = w
			}
			out = append(out, w)
		}
		return out
	}
	f.Inputs, f.Weights, f.States = copyList(m.Func.Inputs), copyList(m.Func.Weights), copyList(m.Func.States)
	for _, op := range m.Func.Ops {
		c := *op
		c.Args, c.Results = copyList(op.Args), copyList(op.Results)
		c.Attrs.Shape, c.Attrs.Perm = slices.Clone(op.Attrs.Shape), slices.Clone(op.Attrs.Perm)
		for _, r := range c.Results {
			r.Def = &c
		}
		g, ok := groups[op.Group]
		if !ok {
			d := *op.Group
			g = &d
			groups[op.Group] = g
		}
		c.Group = g
		f.Ops = append(f.Ops, &c)
	}
	f.Returns, f.NextStates = copyList(m.Func.Returns), copyList(m.Func.NextStates)
	return &out
}
