package spmd

import "math"

// immediate checks Imm by what the op table says it is.
func (v *verifier) immediate(in *Instr) {
	if in.Op != OpMMA8 && in.Op != OpCopyBulk && !in.Op.quad() && in.Strides != (Strides{}) {
		v.at(in, "has no strides")
	}
	switch ops[in.Op].imm {
	case noImm, immStrides:
		if in.Imm != 0 {
			v.at(in, "has no immediate, Imm is %d", in.Imm)
		}
	case immValue:
		v.constant(in)
	case immParam:
		if in.Imm < 0 || in.Imm >= int64(len(v.k.Params)) {
			v.at(in, "the kernel has %d parameters", len(v.k.Params))
		} else if p := v.k.Params[in.Imm]; len(in.Results) == 1 && in.Results[0] != nil && in.Results[0].Type.Elem != p.Elem {
			v.at(in, "parameter %s points to %v", printName(p.Name), p.Elem)
		}
	case immScratch:
		if in.Imm < 0 || in.Imm > v.k.Team || in.Imm%64 != 0 {
			v.at(in, "wanted is a multiple of 64 within the %d bytes of the team's scratch", v.k.Team)
		}
	case immOffset:
		if in.Imm < -maxBytes || in.Imm > maxBytes {
			v.at(in, "offset beyond any memory")
		}
	case immShift:
		if bits := 8 * in.Args[0].Type.Elem.Bytes(); in.Imm < 0 || in.Imm >= bits {
			v.at(in, "shift by 0..%d bits is wanted", bits-1)
		}
	case immMost:
		if in.Imm < 1 || in.Imm > 255 {
			v.at(in, "the largest byte is %d, not in 1..255", in.Imm)
		}
	case immByte:
		if in.Imm != 0 && in.Imm != 1 {
			v.at(in, "byte 0 or 1 is wanted")
		}
	case immLane:
		if in.Imm < 1 || in.Imm >= int64(v.k.Lanes) || in.Imm&(in.Imm-1) != 0 {
			v.at(in, "a power of two below %d lanes is wanted", v.k.Lanes)
		}
	case immGroups:
		if in.Imm < 0 || in.Imm > maxGroups {
			v.at(in, "0..%d groups of copies are wanted", maxGroups)
		}
	case immTiles:
		v.tiles(in)
	case immPieces:
		v.pieces(in)
	case immPred:
		if in.Imm < 0 || in.Imm >= int64(len(preds)) {
			v.at(in, "unknown predicate")
		}
	}
}

// tiles checks the form of an mma8: rows must not overlap, and groups of four bytes stay whole.
func (v *verifier) tiles(in *Instr) {
	if in.Imm < 1 || in.Imm > 2 {
		v.at(in, "1 or 2 tiles are wanted")
		return
	}
	run := in.Strides.run()
	if run != 1 && run != 4 {
		v.at(in, "runs of %d groups: 1 or 4 are wanted", in.Strides.Run)
		return
	}
	for _, s := range []struct {
		name            string
		n, least, whole int64
	}{{"c", in.Strides.C, 16 * in.Imm, 1}, {"a", in.Strides.A, 4, 4}, {"b", in.Strides.B, 64 * in.Imm * run, 4 * run}} {
		if s.n < s.least || s.n > maxStride || s.n%s.whole != 0 {
			v.at(in, "stride %d of %s: wanted is a multiple of %d in %d..%d", s.n, s.name, s.whole, s.least, int64(maxStride))
		}
	}
	if in.Strides.Ahead < 0 || in.Strides.Ahead > maxStride {
		v.at(in, "what lies %d bytes ahead: wanted is 0..%d", in.Strides.Ahead, int64(maxStride))
	}
	if rows, ok := in.Args[4].Const(); ok && (rows < 1 || rows > 16) {
		v.at(in, "%d rows: 1..16 are wanted", rows)
	}
}

func (v *verifier) constant(in *Instr) {
	if len(in.Results) != 1 || in.Results[0] == nil {
		return
	}
	switch e := in.Results[0].Type.Elem; {
	case e == F32 && (in.Imm < 0 || in.Imm > math.MaxUint32):
		v.at(in, "Imm %d is not the bits of an f32", in.Imm)
	case e == I32 && in.Imm != int64(int32(in.Imm)):
		v.at(in, "%d is not an i32", in.Imm)
	}
}

// pointers notes where a result points, and refuses stores to what is read only.
func (v *verifier) pointers(in *Instr) {
	switch in.Op {
	case OpParam:
		if in.Imm >= 0 && in.Imm < int64(len(v.k.Params)) {
			v.origin[in.Results[0]] = v.k.Params[in.Imm].Space
		}
	case OpScratch:
		v.origin[in.Results[0]] = teamScratch
	case OpOffset:
		v.origin[in.Results[0]] = v.origin[in.Args[0]]
	case OpCopyAsync, OpCopyBulk:
		from := in.Args[len(in.Args)/2]
		if s := v.origin[in.Args[0]]; s != teamScratch {
			v.at(in, "copies into %v, not into scratch", s)
		}
		if v.origin[from] == teamScratch {
			v.at(in, "copies out of scratch")
		}
	case OpQuadI8, OpQuadBF16, OpQuadTF32:
		for _, a := range in.Args[:in.Op.quadSums()] {
			if s := v.origin[a]; a.Type.Kind == Pointer && s != teamScratch {
				v.at(in, "multiplies what is in %v, not in scratch", s)
			}
		}
	case OpStore, OpStoreV, OpStoreVN, OpMMA8:
		if s := v.origin[in.Args[0]]; !s.Writable() && s != teamScratch {
			v.at(in, "%v is read only", s)
		}
	}
}

// loop checks a for: bounds, and the carried values' types at all four places where they stand.
func (v *verifier) loop(in *Instr) {
	index := Type{Elem: I64}
	if len(in.Regions) != 1 || len(in.Args) < 2 {
		v.at(in, "has %d regions and %d operands; wanted are one, and lo, hi, initial values", len(in.Regions), len(in.Args))
		return
	}
	r, carry := in.Regions[0], in.Args[2:]
	if r == nil {
		v.region(r)
		return
	}
	if in.Args[0].Type != index || in.Args[1].Type != index {
		v.at(in, "runs from %v to %v; both must be i64", in.Args[0].Type, in.Args[1].Type)
	}
	if in.Imm <= 0 {
		v.at(in, "step %d: at least 1 is wanted", in.Imm)
	}
	counts := len(r.Params) == len(carry)+1 && len(in.Results) == len(carry)
	if !counts {
		v.at(in, "starts with %d carried values, its region has %d parameters, %d results are taken", len(carry), len(r.Params), len(in.Results))
	} else {
		for i, c := range carry {
			p, out := r.Params[i+1], in.Results[i]
			if p == nil || out == nil || p.Type != c.Type || out.Type != c.Type {
				v.at(in, "carried value %d is %v at the start, %s in the region, %s after", i+1, c.Type, typeOf(p), typeOf(out))
				continue
			}
			if c.Type.Kind == Pointer {
				v.origin[p], v.origin[out] = v.origin[c], v.origin[c]
			}
		}
		if p := r.Params[0]; p == nil || p.Type != index {
			v.at(in, "the loop variable is %s; i64 is wanted", typeOf(p))
		}
	}
	v.region(r)
	if len(r.Yield) != len(carry) {
		v.at(in, "carries %d values, its region yields %d", len(carry), len(r.Yield))
	} else if counts {
		v.yields(in, r, carry)
	}
}

// yields compares what a region yields with values of the right types and origins.
func (v *verifier) yields(in *Instr, r *Region, like []*Value) {
	for i, y := range r.Yield {
		switch {
		case y == nil || like[i] == nil:
		case y.Type != like[i].Type:
			v.at(in, "yields %s of type %v as value %d; wanted is %v", y, y.Type, i+1, like[i].Type)
		case y.Type.Kind == Pointer && v.origin[y] != v.origin[like[i]]:
			v.at(in, "yields %s as value %d, a pointer into another space", y, i+1)
		}
	}
}

func (v *verifier) branch(in *Instr) {
	if len(in.Regions) != 2 || len(in.Args) != 1 {
		v.at(in, "has %d regions and %d operands; wanted are two, and one", len(in.Regions), len(in.Args))
		return
	}
	if in.Args[0].Type != (Type{Elem: Bool}) {
		v.at(in, "the condition is %v; a uniform bool is wanted", in.Args[0].Type)
	}
	for _, r := range in.Regions {
		v.region(r)
		if r == nil {
			return
		}
		if len(r.Params) > 0 {
			v.at(in, "a branch has parameters")
		}
	}
	then, els := in.Regions[0].Yield, in.Regions[1].Yield
	if len(then) != len(els) || len(then) != len(in.Results) {
		v.at(in, "the branches yield %d and %d values, %d results are taken", len(then), len(els), len(in.Results))
		return
	}
	for i, y := range then {
		if y != nil && y.Type.Kind == Pointer {
			v.origin[in.Results[i]] = v.origin[y]
		}
	}
	v.yields(in, in.Regions[0], in.Results)
	v.yields(in, in.Regions[1], in.Results)
}

func typeOf(x *Value) string {
	if x == nil {
		return "missing"
	}
	return x.Type.String()
}
