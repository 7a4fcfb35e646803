package passes

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/ir"
)

// maxDTRank is the widest input of a dt projection that is computed inside the scan group. Its E x K products a row are then made where
// they are used; K is dt_rank, D/16 in Mamba (160 at 2.8B). A wider one is a contraction of its own, and so is that of Mamba-2, which makes
// one number a head: all channels of the head would make it again.
const maxDTRank = 256

// ScanParts is a selective scan taken apart. For every row t of a sequence, with h(e) = e/P the head and g(e) = e/(E/G) the group of
// channel e:
//
//	dt[h]   = clamp(softplus(DTProj[h] . DT[t] + DTBias[h]), Lo, Hi)     without DTProj: DT[t, h] in the place of the product
//	s[e,n]  = exp(dt[h] * A) * s[e,n] + dt[h] * U[t,e] * B[t,g,n]         A[e,n] if AState, else A[h]
//	y[e]    = sum over n of s[e,n] * C[t,g,n]  +  D * U[t,e]              D[h] if DHead, else D[e]
//	Y[t,e]  = y[e] * Gate[t,e]                                            silu(Gate) if GateSiLU
//
// All values are rows of so many numbers, whatever their shape is: U, Gate and Y of E, B and C of G*N, DT of H or K. The state is [E, N].
//
// In a quantized model U, B, C and Gate may be i8 codes: then UScale and so on is there, a number (Number) or a weight of as many numbers as
// the row, and f32(code)*scale, rounded, stands in the formulas. With DTScale dt is softplus(fma(x, DTScale[h], DTBias[h])): x is the product
// with DTProj, whose elements are then codes, or f32(DT[t, h]), DT being codes.
type ScanParts struct {
	Scan *ir.Op

	E int // channels
	N int // states of a channel
	H int // heads: dt is one number a row and head. Mamba-1: E
	P int // channels of a head, E/H. Mamba-1: 1
	G int // groups that share a row of B and of C. Mamba-1: 1

	DT       *ir.Value // rows of H numbers, or of K if DTProj is there
	DTProj   *ir.Value // weight [H, K]; nil: none
	DTScale  *ir.Value // number, or weight of H numbers; nil: none
	DTBias   *ir.Value // weight of H numbers; nil: none
	Softplus bool
	Lo, Hi   float64 // bounds of dt after the softplus; -Inf and +Inf: none

	A      *ir.Value // weight
	AState bool      // A has E*N numbers, else H
	U      *ir.Value
	B, C   *ir.Value
	D      *ir.Value // weight; nil: no skip
	DHead  bool      // D has H numbers, else E
	Gate   *ir.Value // nil: none

	UScale, BScale, CScale, GateScale *ir.Value // nil: the value is no codes
	HScale, HInv                      *ir.Value // of the state; nil: it is no codes. A number, or a weight of E or of E*N numbers
	GateSiLU                          bool

	H0, H1 *ir.Value // the state before and after the step
	Y      *ir.Value // what the group makes: rows of E numbers
}

// K is the length of a row of DT: H, or the rank of the projection.
func (p *ScanParts) K() int { return rowSize(p.DT) }

// MatchScan takes a scan group apart. The error says what is not as ScanParts has it; the Note of a group that the pass could not match
// says the same.
func MatchScan(f *ir.Func, g *ir.Group) (ScanParts, error) {
	ops := GroupOps(f, g)
	scan := Anchor(f, g)
	if g.Kind != ir.GroupScan || scan == nil || scan.Code != ir.OpScan {
		return ScanParts{}, fmt.Errorf("group g%d is a %s group without a scan", g.ID, g.Kind)
	}
	inside := map[*ir.Op]bool{}
	for _, op := range ops {
		inside[op] = true
	}
	m := &scanMatcher{
		inside: func(op *ir.Op) bool { return inside[op] },
		why:    func(v *ir.Value) string { return fmt.Sprintf("%%%s is made outside of the group", v.Name) },
	}
	uses := f.AllUses()
	if err := m.match(scan, uses); err != nil {
		return ScanParts{}, fmt.Errorf("scan group g%d: %w", g.ID, err)
	}
	for _, op := range ops {
		if !m.seen[op] {
			return ScanParts{}, fmt.Errorf("scan group g%d: %s has no part in it", g.ID, opName(op))
		}
	}
	return m.parts, nil
}

// scanMatcher takes a scan apart, looking only through ops that are inside.
type scanMatcher struct {
	inside func(*ir.Op) bool
	why    func(*ir.Value) string // why the op that makes a value is not inside

	seen  map[*ir.Op]bool // ops that have a part
	full  space           // channels' axes and, last, the state's
	parts ScanParts
	left  []string // what might have been in the group and is not, and why
}

// match fills parts and seen.
func (m *scanMatcher) match(scan *ir.Op, uses map[*ir.Value][]ir.Use) error {
	m.seen, m.left = map[*ir.Op]bool{scan: true}, nil
	h0, scale := m.state(scan.Arg("h0"))
	m.full = space(ints(h0.Type.Shape[1:]))
	m.parts = ScanParts{
		Scan: scan, H0: h0, H1: scan.Results[1], Y: scan.Results[0], Lo: math.Inf(-1), Hi: math.Inf(1),
		E: m.channels().size(), N: m.full[len(m.full)-1], HScale: scale,
	}
	if err := m.nextState(scan, uses); err != nil {
		return err
	}
	if h0.State == nil {
		return fmt.Errorf("h0 %%%s is not a state", h0.Name)
	}
	if m.full.size() == 0 {
		return fmt.Errorf("the state %%%s is empty: %s", h0.Name, h0.Type)
	}
	dt, err := m.decay(scan.Arg("a"))
	if err != nil {
		return err
	}
	if err := m.input(scan.Arg("b"), dt); err != nil {
		return err
	}
	if err := m.output(scan.Arg("c")); err != nil {
		return err
	}
	if p := &m.parts; p.H%p.G != 0 {
		return fmt.Errorf("%d groups do not divide %d heads", p.G, p.H)
	}
	m.timeStep()
	m.skip(uses)
	m.gate(uses)
	p := &m.parts
	p.U, p.UScale = m.takeCodes(p.U)
	p.B, p.BScale = m.takeCodes(p.B)
	p.C, p.CScale = m.takeCodes(p.C)
	return nil
}

// state looks through the widening and scaling of a state that is stored as codes.
func (m *scanMatcher) state(h0 *ir.Value) (state, scale *ir.Value) {
	if h0.Def == nil || h0.Def.Code != ir.OpMul || !m.inside(h0.Def) {
		return h0, nil
	}
	x, s := h0.Def.Args[0], h0.Def.Args[1]
	codes := castCodes(x)
	if codes == nil || codes.State == nil || !m.inside(x.Def) || !isConstant(s) {
		return h0, nil
	}
	m.seen[h0.Def], m.seen[x.Def] = true, true
	m.through(s, ir.OpConst)
	return codes, s
}

// nextState finds the codes that are made of the state behind the step, if it is stored so.
func (m *scanMatcher) nextState(scan *ir.Op, uses map[*ir.Value][]ir.Use) error {
	p := &m.parts
	if p.HScale == nil {
		return nil
	}
	q, why := only(scan.Results[1], uses)
	if q == nil || q.Code != ir.OpQuantize || !m.inside(q) || q.Args[1] != nil && !isConstant(q.Args[1]) {
		return fmt.Errorf("the state is stored as codes, but %%%s does not become such: it %s", scan.Results[1].Name, why)
	}
	m.seen[q] = true
	p.H1, p.HInv = q.Result(), q.Args[1]
	return nil
}

// channels is the space without the state's axis.
func (m *scanMatcher) channels() space { return m.full[:len(m.full)-1] }

// through says whether the op that makes v has that code and is inside, and if so takes it in.
func (m *scanMatcher) through(v *ir.Value, code ir.OpCode) bool {
	if v.Def == nil || v.Def.Code != code || !m.inside(v.Def) {
		return false
	}
	m.seen[v.Def] = true
	return true
}

// peel looks through reshapes that keep rows apart.
func (m *scanMatcher) peel(w view) view {
	for w.v.Def != nil && w.v.Def.Code == ir.OpReshape {
		x := w.v.Def.Args[0]
		_, before := perRow(x)
		_, after := perRow(w.v)
		if before != after || !m.through(w.v, ir.OpReshape) {
			break
		}
		w.v = x
	}
	return w
}

// factors takes a product of values apart into what is multiplied. A value times a constant is one factor: what made it has scaled it.
func (m *scanMatcher) factors(w view, s space) ([]view, error) {
	w = m.peel(w)
	if op := w.v.Def; op != nil && op.Code == ir.OpMul && (isConstant(op.Args[0]) || isConstant(op.Args[1])) || !m.through(w.v, ir.OpMul) {
		return []view{w}, nil
	}
	var out []view
	for _, a := range w.v.Def.Args {
		x, err := w.operand(a, s)
		if err != nil {
			return nil, err
		}
		list, err := m.factors(x, s)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// pair takes a product apart into the two that are multiplied; nil if it is none in the group.
func (m *scanMatcher) pair(w view, s space) ([]view, error) {
	w = m.peel(w)
	if !m.through(w.v, ir.OpMul) {
		return nil, nil
	}
	var out []view
	for _, a := range w.v.Def.Args {
		x, err := w.operand(a, s)
		if err != nil {
			return nil, err
		}
		out = append(out, m.peel(x))
	}
	return out, nil
}

// outside explains why v was not looked through.
func (m *scanMatcher) outside(v *ir.Value) string {
	if v.Def == nil || m.inside(v.Def) {
		return fmt.Sprintf("%%%s is %s", v.Name, source(v))
	}
	return m.why(v)
}

// source says what makes v.
func source(v *ir.Value) string {
	switch {
	case v.Def != nil:
		return "made by " + v.Def.Code.String()
	case v.Weight != nil:
		return "a weight"
	case v.State != nil:
		return "a state"
	}
	return "an input"
}

// decay matches a = exp(dt * A) and returns dt's view.
func (m *scanMatcher) decay(a *ir.Value) (view, error) {
	w, ok := whole(a, m.full)
	if !ok {
		return w, fmt.Errorf("a %%%s: its shape %s does not broadcast over rows", a.Name, a.Type)
	}
	w = m.peel(w)
	if !m.through(w.v, ir.OpExp) {
		return w, fmt.Errorf("a is not exp(dt*A) in the group: %s", m.outside(w.v))
	}
	w.v = w.v.Def.Args[0]
	list, err := m.pair(w, m.full)
	if err != nil {
		return w, err
	}
	if list == nil {
		return w, fmt.Errorf("the exponent of a is no product of dt and A: %s", m.outside(m.peel(w).v))
	}
	dt, aw := list[0], list[1]
	if dt.v.Weight != nil {
		dt, aw = aw, dt
	}
	if aw.v.Weight == nil {
		return dt, fmt.Errorf("neither %%%s nor %%%s, the factors of a's exponent, is a weight", dt.v.Name, aw.v.Name)
	}
	p := &m.parts
	var heads int
	if heads, ok = m.blocks(dt, 1, false); !ok {
		return dt, fmt.Errorf("dt %%%s is not one number a row and head: %s", dt.v.Name, dt.v.Type)
	}
	p.H, p.P, p.A, p.DT = heads, p.E/heads, aw.v, dt.v
	if n, ok := m.blocks(aw, 1, false); ok && n == p.H {
		return dt, nil
	}
	if n, ok := m.blocks(aw, p.N, true); ok && n == p.E {
		p.AState = true
		return dt, nil
	}
	return dt, fmt.Errorf("A %%%s is %s: want one number for each of %d heads, or for each of %d channels and %d states", aw.v.Name, aw.v.Type, p.H, p.E, p.N)
}

// blocks is the layout over the channels of a view that repeats over the state (state false) or has N neighbours there.
func (m *scanMatcher) blocks(w view, unit int, state bool) (int, bool) {
	last := w.strides[len(w.strides)-1]
	if m.parts.N > 1 && (last != 0) != state || state && m.parts.N > 1 && last != 1 {
		return 0, false
	}
	c := view{w.v, w.strides[:len(w.strides)-1]}
	return c.layout(m.channels(), unit)
}

// input matches b = dt * u * B.
func (m *scanMatcher) input(b *ir.Value, dt view) error {
	w, ok := whole(b, m.full)
	if !ok {
		return fmt.Errorf("b %%%s: its shape %s does not broadcast over rows", b.Name, b.Type)
	}
	list, err := m.factors(w, m.full)
	if err != nil {
		return err
	}
	p := &m.parts
	at := -1
	for i, x := range list {
		if n, ok := m.blocks(x, 1, false); at < 0 && ok && x.v == dt.v && n == p.H {
			at = i
		}
	}
	if at < 0 || len(list) != 3 {
		return fmt.Errorf("b is a product of %d, want dt %%%s, u and B: %s", len(list), dt.v.Name, m.outside(list[0].v))
	}
	rest := append(append([]view(nil), list[:at]...), list[at+1:]...)
	u, bv := rest[0], rest[1]
	if n, ok := m.blocks(u, 1, false); !ok || n != p.E || u.v.Weight != nil {
		u, bv = bv, u
	}
	if n, ok := m.blocks(u, 1, false); !ok || n != p.E || !isRows(u.v, p.E) {
		return fmt.Errorf("u %%%s is %s: want rows of %d channels in order", u.v.Name, u.v.Type, p.E)
	}
	p.U, p.B = u.v, bv.v
	if p.G, ok = m.blocks(bv, p.N, true); !ok || !isRows(bv.v, p.G*p.N) {
		return fmt.Errorf("B %%%s is %s: want rows of %d states for each group", bv.v.Name, bv.v.Type, p.N)
	}
	return nil
}

// isRows says whether v has n numbers in each row.
func isRows(v *ir.Value, n int) bool {
	_, rows := perRow(v)
	return rows && rowSize(v) == n
}

// output matches c = C.
func (m *scanMatcher) output(c *ir.Value) error {
	w, ok := whole(c, m.full)
	if !ok {
		return fmt.Errorf("c %%%s: its shape %s does not broadcast over rows", c.Name, c.Type)
	}
	w = m.peel(w)
	p := &m.parts
	if g, ok := m.blocks(w, p.N, true); !ok || g != p.G || !isRows(w.v, p.G*p.N) {
		return fmt.Errorf("C %%%s is %s: want rows of %d states for each of B's %d groups", w.v.Name, w.v.Type, p.N, p.G)
	}
	p.C = w.v
	return nil
}
