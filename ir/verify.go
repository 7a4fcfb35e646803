package ir

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// maxProblems caps how many problems one error lists.
const maxProblems = 20

// Verify checks every rule of the IR and reports all problems at once (at most twenty).
func Verify(m *Module) error {
	if m == nil || m.Func == nil {
		return errors.New("verify: the module has no function")
	}
	c := &checker{names: map[string]bool{}, known: map[*Value]bool{nil: false}}
	c.declarations(m.Func)
	c.ops(m.Func)
	c.groups(m.Func)
	c.results(m)
	if len(c.problems) == 0 {
		return nil
	}
	list := c.problems
	more := ""
	if len(list) > maxProblems {
		more = fmt.Sprintf("\n  and %d more", len(list)-maxProblems)
		list = list[:maxProblems]
	}
	what := fmt.Sprintf("%d problems", len(c.problems))
	if len(c.problems) == 1 {
		what = "1 problem"
	}
	return fmt.Errorf("verify %s: %s:\n  %s%s", m.Func.Name, what, strings.Join(list, "\n  "), more)
}

// checker collects problems.
type checker struct {
	problems []string
	names    map[string]bool
	known    map[*Value]bool // defined so far
	where    string          // op that is being checked
}

func (c *checker) addf(format string, args ...any) {
	c.problems = append(c.problems, c.where+fmt.Sprintf(format, args...))
}

// define checks a value's name and type and makes it known.
func (c *checker) define(kind string, v *Value) bool {
	if v == nil {
		c.addf("%s is nil", kind)
		return false
	}
	switch {
	case !ValidName(v.Name):
		c.addf("%s has the name %q, which the text form cannot hold", kind, v.Name)
	case wordLen(v.Role) != len(v.Role):
		c.addf("%s %%%s: role %q: want a word such as ssm.u", kind, v.Name, v.Role)
	case c.names[v.Name]:
		c.addf("%s %%%s: the name is taken", kind, v.Name)
	}
	c.names[v.Name] = true
	c.known[v] = true
	if err := soundType(v.Type); err != nil {
		c.addf("%s %%%s: %v", kind, v.Name, err)
		return false
	}
	return true
}

// soundType checks the element type and that the number of elements cannot overflow.
func soundType(t Type) error {
	if t.DType == NoType || t.DType >= numDTypes {
		return fmt.Errorf("%s is no type", t)
	}
	n := 1
	for _, d := range t.Shape {
		if d < Outs {
			return fmt.Errorf("extent %d in %s", int(d), t)
		}
		if d.Symbolic() || d == 0 {
			continue
		}
		if int(d) > maxElements/n {
			return fmt.Errorf("%s is too large", t)
		}
		n *= int(d)
	}
	return nil
}

func (c *checker) declarations(f *Func) {
	if !ValidName(f.Name) {
		c.addf("function name %q", f.Name)
	}
	for _, v := range f.Inputs {
		c.define("input", v)
	}
	for _, v := range f.Weights {
		if !c.define("weight", v) {
			continue
		}
		if w := v.Weight; w == nil || !v.Type.Equal(Type{w.DType, Dims(w.Shape)}) {
			c.addf("weight %%%s: its type %s is not its data's", v.Name, v.Type)
		}
		for _, d := range v.Type.Shape {
			if d.Symbolic() {
				c.addf("weight %%%s is %s: weights have constant shapes", v.Name, v.Type)
				break
			}
		}
	}
	for _, v := range f.States {
		if !c.define("state", v) {
			continue
		}
		if s := v.State; s == nil || !v.Type.Equal(Type{s.DType, append([]Dim{Seqs}, Dims(s.Shape)...)}) {
			c.addf("state %%%s is %s, want [S, ...] of its slot's shape", v.Name, v.Type)
		}
	}
}

func (c *checker) ops(f *Func) {
	for i, op := range f.Ops {
		if op == nil {
			c.addf("op %d is nil", i)
			continue
		}
		c.where = opWhere(op, i)
		c.op(op)
		for k, v := range op.Results {
			if v != nil && (v.Def != op || v.Index != k || v.Weight != nil || v.State != nil) {
				c.addf("result %%%s does not point back to its op", v.Name)
			}
			c.define("result", v)
		}
		c.where = ""
	}
}

// opWhere names an op for a message.
func opWhere(op *Op, i int) string {
	name := fmt.Sprintf("op %d", i)
	if len(op.Results) > 0 && op.Results[0] != nil {
		name = "%" + op.Results[0].Name
	}
	return fmt.Sprintf("%s = %s%s: ", name, op.Code, origin(op.From))
}

func (c *checker) op(op *Op) {
	sound := true
	for _, a := range op.Args {
		if a != nil && !c.known[a] {
			c.addf("operand %%%s is not defined before it is used", a.Name)
			sound = false
		} else if a != nil && soundType(a.Type) != nil {
			sound = false // reported where it is defined
		}
	}
	if !sound {
		return
	}
	types, err := resultTypes(op)
	if err != nil {
		c.addf("%v", err)
		return
	}
	if len(types) != len(op.Results) {
		c.addf("%d results, want %d", len(op.Results), len(types))
		return
	}
	for i, t := range types {
		if v := op.Results[i]; v != nil && !t.Equal(v.Type) {
			c.addf("result %%%s is declared %s, but is %s", v.Name, v.Type, t)
		}
	}
}

// resultTypes checks an op's operands and attributes against the table and gives the types of its results.
func resultTypes(op *Op) ([]Type, error) {
	if op.Code == OpNone || op.Code >= numOps {
		return nil, fmt.Errorf("unknown op code %d", op.Code)
	}
	info := &ops[op.Code]
	operands := strings.Fields(info.args)
	variadic := strings.HasSuffix(info.args, "...")
	if len(op.Args) < len(operands) || !variadic && len(op.Args) > len(operands) {
		return nil, fmt.Errorf("%d operands, want %q", len(op.Args), info.args)
	}
	for i, a := range op.Args {
		name := operands[min(i, len(operands)-1)]
		if a == nil && !strings.HasSuffix(name, "?") {
			return nil, fmt.Errorf("operand %s is missing", strings.TrimRight(name, "."))
		}
	}
	for _, at := range attrTable {
		if info.attrs&at.set == 0 && !at.zero(&op.Attrs) {
			return nil, fmt.Errorf("%s does not have the attribute %s", op.Code, at.key)
		}
	}
	if math.IsNaN(op.Attrs.Value) {
		return nil, errors.New("value is not a number")
	}
	return info.shape(&op.Attrs, op.Args)
}

// groups checks that the ops of a group are neighbours and that no two groups share an ID.
func (c *checker) groups(f *Func) {
	seen := map[*Group]bool{nil: true}
	ids := map[int]bool{}
	var current *Group
	for i, op := range f.Ops {
		if op == nil || op.Group == current {
			continue
		}
		current = op.Group
		if current == nil {
			continue
		}
		switch {
		case seen[current]:
			c.addf("%sits group g%d is not in one piece", opWhere(op, i), current.ID)
		case ids[current.ID] || current.ID < 0:
			c.addf("%sgroup g%d: the number is taken or negative", opWhere(op, i), current.ID)
		case current.Kind == NoGroup || current.Kind >= numGroupKinds:
			c.addf("%sgroup g%d has no kind", opWhere(op, i), current.ID)
		}
		seen[current], ids[current.ID] = true, true
	}
}

// results checks what the function returns and what follows each state.
func (c *checker) results(m *Module) {
	f := m.Func
	for i, v := range f.Returns {
		if !c.known[v] {
			c.addf("return %d is not a value of the function", i)
		}
	}
	if len(f.NextStates) != len(f.States) {
		c.addf("%d states, but %d next states", len(f.States), len(f.NextStates))
		return
	}
	reads := map[*Value]int{}
	for _, op := range f.Ops {
		if op != nil {
			for _, a := range op.Args {
				reads[a]++
			}
		}
	}
	for i, v := range f.States {
		next := f.NextStates[i]
		switch {
		case v == nil: // reported above
		case !c.known[next]:
			c.addf("state %%%s has no next value", v.Name)
		case !next.Type.Equal(v.Type):
			c.addf("state %%%s is %s, its next value %%%s is %s", v.Name, v.Type, next.Name, next.Type)
		case reads[v] != 1 && next != v:
			c.addf("state %%%s is read %d times, want once: its memory is overwritten by its reader", v.Name, reads[v])
		}
	}
	if m.Vocab > 0 && len(f.Returns) > 0 && c.known[f.Returns[0]] {
		if t := f.Returns[0].Type; t.Rank() == 0 || t.Shape[t.Rank()-1] != Dim(m.Vocab) {
			c.addf("the first return value is %s, want %d columns (vocab)", t, m.Vocab)
		}
	}
}
