package passes

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ssmc/ssmc/ir"
)

// This file matches what may be in a scan group and need not: how dt is made, the skip and the gate. What is not there is left out; why,
// goes into left.

// leave records that something stays outside.
func (m *scanMatcher) leave(format string, args ...any) {
	m.left = append(m.left, fmt.Sprintf(format, args...))
}

// timeStep follows dt back through its bounds, softplus, bias and projection, as far as they are inside.
func (m *scanMatcher) timeStep() {
	p := &m.parts
	v := p.DT // as decay found it: the factor of a's exponent that is no weight
	for {
		v = m.peel(view{v: v}).v
		if v.Def == nil || p.Softplus || !m.bound(v) {
			break
		}
		v = v.Def.Args[0]
	}
	if m.through(v, ir.OpSoftplus) {
		p.Softplus = true
		v = m.peel(view{v: v.Def.Args[0]}).v
	} else if v.Def != nil && v.Def.Code == ir.OpSoftplus {
		m.leave("the softplus of dt stays outside: %s", m.why(v))
	}
	if x := m.dtScaled(v); x != nil {
		p.DTScale, p.DTBias, v = v.Def.Args[1], v.Def.Args[2], x
	} else if b := m.dtBias(v); b != nil {
		p.DTBias = b
		v = m.peel(view{v: v.Def.Args[0]}).v
	}
	p.DT = v
	m.projection(v)
}

// dtScaled returns what a scale and a bias make dt of, in one fma: codes, which are then widened in the group, or the product with a weight
// of codes. It takes the fma in. A scaled accumulator of another product is left to that product's group.
func (m *scanMatcher) dtScaled(v *ir.Value) *ir.Value {
	if v.Def == nil || v.Def.Code != ir.OpFMA || !m.inside(v.Def) {
		return nil
	}
	scale, b := v.Def.Args[1], v.Def.Args[2]
	if b.Weight == nil || b.Weight.Len() != m.parts.H || !m.isScale(scale, m.parts.H) || !v.Def.Args[0].Type.Equal(v.Type) {
		return nil
	}
	x := m.peel(view{v: v.Def.Args[0]}).v
	codes := castCodes(x)
	if codes == nil {
		if fits, why := m.narrow(x); !fits || why != "" {
			if why != "" {
				m.leave("the projection of dt stays outside: %s", why)
			}
			return nil
		}
	} else if !m.through(x, ir.OpCast) {
		return nil
	}
	m.seen[v.Def] = true
	m.through(scale, ir.OpConst)
	if codes != nil {
		return codes
	}
	return x
}

// bound takes in a max or min of dt with a number.
func (m *scanMatcher) bound(v *ir.Value) bool {
	p := &m.parts
	code := v.Def.Code
	if code != ir.OpMax && code != ir.OpMin {
		return false
	}
	x, ok := Number(v.Def.Args[1])
	if !ok || !v.Def.Args[0].Type.Equal(v.Type) {
		return false
	}
	if !m.inside(v.Def) {
		m.leave("the bounds of dt stay outside: %s", m.why(v))
		return false
	}
	// Bounds are met from the outermost inwards, and an outer one holds whatever the inner one is.
	if x = min(max(x, p.Lo), p.Hi); code == ir.OpMax {
		p.Lo = x
	} else {
		p.Hi = x
	}
	m.seen[v.Def] = true
	m.through(v.Def.Args[1], ir.OpConst)
	return true
}

// dtBias returns the weight that is added to make v, and takes the addition in.
func (m *scanMatcher) dtBias(v *ir.Value) *ir.Value {
	if v.Def == nil || v.Def.Code != ir.OpAdd || v.Def.Args[1].Weight == nil {
		return nil
	}
	b := v.Def.Args[1]
	if b.Weight.Len() != m.parts.H || !v.Def.Args[0].Type.Equal(v.Type) || !m.inside(v.Def) {
		return nil
	}
	m.seen[v.Def] = true
	return b
}

// projection takes in the linear that makes dt, if it is narrow enough.
func (m *scanMatcher) projection(v *ir.Value) {
	p := &m.parts
	fits, why := m.narrow(v)
	if fits && why == "" && v.Def.Args[2] != nil && p.DTBias != nil {
		why = "it has a bias, and another is added behind it"
	}
	if !fits || why != "" {
		if why != "" {
			m.leave("the projection of dt stays outside: %s", why)
		}
		return
	}
	m.seen[v.Def] = true
	p.DT, p.DTProj = v.Def.Args[0], v.Def.Args[1]
	if b := v.Def.Args[2]; b != nil {
		p.DTBias = b
	}
}

// narrow says whether a linear makes v that the group can compute where its result is used, and if it is one for all channels why not.
func (m *scanMatcher) narrow(v *ir.Value) (fits bool, why string) {
	p, op := &m.parts, v.Def
	if op == nil || op.Code != ir.OpLinear {
		return false, ""
	}
	x, w, b := op.Args[0], op.Args[1], op.Args[2]
	switch {
	case w.Weight == nil || w.Weight.Shape[0] != p.H || x.Type.Rank() != 2 || b != nil && b.Weight == nil:
		return false, ""
	case !x.Type.DType.Float() || op.Arg("s") != nil: // sums of codes, which a contraction makes
		return false, ""
	case p.P > 1:
		why = fmt.Sprintf("it makes one number a head of %d channels, and a contraction makes them for all heads at once", p.P)
	case w.Weight.Shape[1] > maxDTRank:
		why = fmt.Sprintf("its rows have %d numbers, more than %d", w.Weight.Shape[1], maxDTRank)
	case !m.inside(op):
		why = m.why(v)
	}
	return true, why
}

// only returns the op that alone reads v, once or more, or says why there is none. A reshape on the way is looked through and taken in
// if what follows it is.
func only(v *ir.Value, uses map[*ir.Value][]ir.Use) (*ir.Op, string) {
	var op *ir.Op
	for _, u := range uses[v] {
		if u.Op == nil || op != nil && u.Op != op {
			return nil, useNames(uses[v])
		}
		op = u.Op
	}
	if op == nil {
		return nil, useNames(nil)
	}
	return op, ""
}

// ends says why nothing joins a group behind v; nothing to say if v is just a result of the function.
func ends(v *ir.Value, uses map[*ir.Value][]ir.Use) string {
	if list := uses[v]; len(list) == 1 && list[0].Op == nil {
		return ""
	}
	return useNames(uses[v])
}

// useNames says who reads a value.
func useNames(list []ir.Use) string {
	if len(list) == 0 {
		return "is read by nothing"
	}
	if len(list) == 1 {
		return "is the function's " + list[0].String()
	}
	s := fmt.Sprintf("has %d uses: ", len(list))
	for i, u := range list {
		if i == 3 {
			return s + ", ..."
		}
		if i > 0 {
			s += ", "
		}
		s += u.String()
	}
	return s
}

// follow goes from the end of the group so far through reshapes to the one op that reads it, if that is inside. The reshapes are
// returned and not yet taken in.
func (m *scanMatcher) follow(uses map[*ir.Value][]ir.Use) (at *ir.Value, op *ir.Op, views []*ir.Op, why string) {
	at = m.parts.Y
	for {
		op, why = only(at, uses)
		if op == nil {
			return at, nil, views, why
		}
		if op.Code != ir.OpReshape || !m.inside(op) {
			break
		}
		if _, rows := perRow(op.Result()); !rows {
			break
		}
		views = append(views, op)
		at = op.Result()
	}
	if !m.inside(op) {
		return at, nil, views, "it is read by " + opName(op) + ", which is not in the group"
	}
	return at, op, views, ""
}

// advance makes op's result the end of the group.
func (m *scanMatcher) advance(op *ir.Op, views []*ir.Op) {
	for _, v := range append(views, op) {
		m.seen[v] = true
	}
	m.parts.Y = op.Result()
}

// skip takes in y + D*u, or fma(D, u, y).
func (m *scanMatcher) skip(uses map[*ir.Value][]ir.Use) {
	p := &m.parts
	y, add, views, _ := m.follow(uses)
	if add == nil || !add.Result().Type.Equal(y.Type) {
		return
	}
	row, _ := perRow(y)
	s := space(ints(row))
	before := maps.Clone(m.seen)
	list, adds := m.added(add, y, s)
	if !adds {
		return
	}
	if list == nil {
		m.seen = before
		m.leave("the addition behind the scan is no skip D*u: %s", m.outside(add.Args[0]))
		return
	}
	u, d := list[0], list[1]
	if u.v.Weight != nil {
		u, d = d, u
	}
	n, okU := u.layout(s, 1)
	blocks, okD := d.layout(s, 1)
	if u.v != p.U || !okU || n != p.E || d.v.Weight == nil || !okD || blocks != p.E && blocks != p.H {
		m.seen = before
		m.leave("the addition behind the scan is no skip D*u of u %%%s", p.U.Name)
		return
	}
	p.D, p.DHead = d.v, blocks == p.H && p.H != p.E
	m.advance(add, views)
}

// added is the two factors of the product that op adds to y; nil if it adds something else. adds says whether op adds to y at all.
func (m *scanMatcher) added(op *ir.Op, y *ir.Value, s space) (list []view, adds bool) {
	if op.Code == ir.OpFMA && op.Args[2] == y && op.Args[0] != y && op.Args[1] != y {
		for _, x := range op.Args[:2] {
			w, ok := whole(x, s)
			if !ok {
				return nil, true
			}
			list = append(list, m.peel(w))
		}
		return list, true
	}
	if op.Code != ir.OpAdd || op.Args[0] == op.Args[1] {
		return nil, false
	}
	other := op.Args[0]
	if other == y {
		other = op.Args[1]
	}
	w, ok := whole(other, s)
	if !ok {
		return nil, false
	}
	list, err := m.pair(w, s)
	if err != nil {
		list = nil
	}
	return list, true
}

// gate takes in the multiplication by a value of the same rows, and reshapes behind the end that nothing else reads.
func (m *scanMatcher) gate(uses map[*ir.Value][]ir.Use) {
	p := &m.parts
	y, mul, views, why := m.follow(uses)
	if mul != nil && mul.Code == ir.OpMul && mul.Result().Type.Equal(y.Type) {
		g := mul.Args[0]
		if g == y {
			g = mul.Args[1]
		}
		if gv := m.peel(view{v: g}).v; g != y && g.Type.Equal(y.Type) && isRows(gv, p.E) {
			m.takeGate(gv)
			m.advance(mul, views)
			y, _, views, _ = m.follow(uses)
		} else {
			m.leave("the multiplication behind the scan is no gate: %%%s is %s", g.Name, g.Type)
		}
	} else if why != "" && mul == nil {
		m.leave("no gate: %%%s %s", y.Name, why)
	}
	if len(views) > 0 {
		m.advance(views[len(views)-1], views[:len(views)-1])
	}
}

// takeGate makes g the gate. If it is codes, widened and scaled, that goes in, and a silu between as well.
func (m *scanMatcher) takeGate(g *ir.Value) {
	p := &m.parts
	p.Gate = g
	if g.Def != nil && g.Def.Code == ir.OpSiLU && m.inside(g.Def) {
		if x := m.peel(view{v: g.Def.Args[0]}).v; isRows(x, p.E) {
			if z, scale := m.takeCodes(x); scale != nil {
				m.seen[g.Def] = true
				p.Gate, p.GateScale, p.GateSiLU = z, scale, true
			}
		}
		return
	}
	p.Gate, p.GateScale = m.takeCodes(g)
}

// castCodes is the codes that v widens to f32; nil if it is no such cast.
func castCodes(v *ir.Value) *ir.Value {
	if v.Def != nil && v.Def.Code == ir.OpCast && v.Type.DType == ir.F32 && v.Def.Args[0].Type.DType == ir.I8 {
		return v.Def.Args[0]
	}
	return nil
}

// isScale says whether v is a number or a weight of n numbers.
func (m *scanMatcher) isScale(v *ir.Value, n int) bool {
	if _, ok := Number(v); ok {
		return m.inside(v.Def)
	}
	return v.Weight != nil && v.Weight.Len() == n
}

// codes is what v = f32(codes) * scale is made of, if that is inside; else nil. It takes nothing in.
func (m *scanMatcher) codes(v *ir.Value) (codes, scale *ir.Value) {
	if v.Def == nil || v.Def.Code != ir.OpMul || !m.inside(v.Def) {
		return nil, nil
	}
	x, s := v.Def.Args[0], v.Def.Args[1]
	c := castCodes(x)
	if c == nil || !m.inside(x.Def) || !m.isScale(s, rowSize(v)) || !v.Type.Equal(x.Type) {
		return nil, nil
	}
	return c, s
}

// takeCodes takes in the widening and scaling of codes that make v, and returns these; v itself, without a scale, if it is no codes.
func (m *scanMatcher) takeCodes(v *ir.Value) (codes, scale *ir.Value) {
	if codes, scale = m.codes(v); codes == nil {
		return v, nil
	}
	m.seen[v.Def], m.seen[v.Def.Args[0].Def] = true, true
	m.through(scale, ir.OpConst)
	return codes, scale
}

// inOrder lists a set of ops in the order in which they stand in the function.
func inOrder(f *ir.Func, set map[*ir.Op]bool) []*ir.Op {
	return slices.DeleteFunc(slices.Clone(f.Ops), func(op *ir.Op) bool { return !set[op] })
}
