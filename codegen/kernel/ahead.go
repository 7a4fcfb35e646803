package kernel

import "github.com/ssmc/ssmc/codegen/spmd"

// What a CPU's products ask memory for ahead of time (docs/RATIONALE.md has the measurements).

// Each block of rows asks for weights so many bytes further on in its own panel, which matters where it is the first to read them. The hardware's prefetchers stop at
// each page, and a core's scheduler is full of instructions that wait for weights long before as many lines as it could are under way.
const (
	streamAhead = 4096 // one or two rows; matrix tiles
	blockAhead  = 2048 // more, which take longer
)

// askRows is from how many rows on a block asks for a part of the next panel, too. This one is used several times then, so that the first pass would wait for
// memory, and nothing else would read ahead meanwhile.
const askRows = 4

// mostShares is how many blocks of rows share the work of asking for a panel.
const mostShares = 4

// share is the part of the next panel that a block of rows asks for while it multiplies by this one: the first blocks together ask for all of it, evenly
// over their time. Were it all asked for by the first one, a core would wait for memory then, and memory for the core later.
type share struct {
	from   *spmd.Value // unit
	number *spmd.Value // of units, with each mostShares units of this panel; 0: others ask for all
}

// plan says what a block of some, of as many rows, asks for.
func (t *tile) plan(k *code, block, blocks *spmd.Value) {
	t.further = streamAhead
	if len(t.at) < askRows {
		return
	}
	t.further = blockAhead
	n := k.Select(k.Cmp(spmd.GE, blocks, k.I(mostShares)), k.I(mostShares), k.Select(k.Cmp(spmd.GE, blocks, k.I(2)), k.I(2), k.I(1)))
	t.ahead = &share{from: k.Mul(block, k.Div(k.I(t.m.units), n)), number: k.Select(k.Cmp(spmd.LT, block, n), k.Div(k.I(mostShares), n), k.I(0))}
}

// weight is W packed elements of unit u.
func (t *tile) weight(k *code, j int, unit *spmd.Value, u int64) *spmd.Value {
	column := int64(t.first+j) * int64(k.Target.Lanes)
	at, off := k.Shl(unit, log2(t.m.panel)), u*t.m.panel+column
	if t.further > 0 && off%t.line() == 0 {
		k.PrefetchFar(t.weights, at, off+t.further/t.m.w.elem.Bytes())
	}
	if t.ahead != nil && j == 0 && u%mostShares == 0 {
		t.askNext(k, k.Add(unit, k.I(u)))
	}
	return k.LoadV(t.weights, at, off)
}

// line is how many packed elements a cache line holds.
func (t *tile) line() int64 { return 64 / t.m.w.elem.Bytes() }

// askNext asks for as much of the next panel's columns as goes with mostShares units of this one, from unit on. Codes are asked for in the second-level cache: two panels
// of them are more than the first holds beside the rows (measured with 16 rows: 8 to 10 % faster; floats would be 3 % slower).
func (t *tile) askNext(k *code, unit *spmd.Value) {
	ask := k.Prefetch
	if t.m.w.form != plain {
		ask = k.PrefetchFar
	}
	next := k.Add(t.ahead.from, k.Mul(k.Shr(unit, log2(mostShares)), t.ahead.number))
	first, n := int64(t.first*k.Target.Lanes), int64(t.n*k.Target.Lanes)
	k.For(k.I(0), t.ahead.number, 1, nil, func(i *spmd.Value, _ []*spmd.Value) []*spmd.Value {
		at := k.Shl(k.Add(next, i), log2(t.m.panel))
		for column := roundUp(first, t.line()); column < first+n; column += t.line() {
			ask(t.weights, at, t.m.units*t.m.panel+column)
		}
		return nil
	})
}
