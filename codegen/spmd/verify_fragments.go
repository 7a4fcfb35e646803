package spmd

// What is particular to products of fragments and of quads.

// maxQuadStride is the longest way from the first sixteen bytes of K to the second.
const maxQuadStride = 1<<18 - 16

// fragments checks the instructions on fragments.
func (v *verifier) fragments(in *Instr) {
	if v.k.Lanes != fragmentLanes {
		v.at(in, "fragments are for %d lanes, the kernel has %d", fragmentLanes, v.k.Lanes)
	}
	if len(in.Results) != 4 {
		v.at(in, "has four results, %d are taken", len(in.Results))
	}
}

// quad checks the products of four members.
func (v *verifier) quad(in *Instr) {
	if v.k.Lanes != fragmentLanes || v.k.Members%quadMembers != 0 {
		v.at(in, "quads are for %d lanes and a multiple of %d members, the kernel has %d and %d", fragmentLanes, quadMembers, v.k.Lanes, v.k.Members)
	}
	sums := len(in.Args) - in.Op.quadSums()
	columns := int64(sums / 4 * fragmentCols)
	if sums%16 != 0 || columns < leastQuadCols || columns > mostQuadCols {
		v.at(in, "%d sums a lane: multiples of 16 up to %d are wanted", sums, mostQuadCols/fragmentCols*4)
		return
	}
	if len(in.Results) != sums {
		v.at(in, "has %d results, %d are taken", sums, len(in.Results))
	}
	least := int64(runBytes * quadRows)
	if in.Op == OpQuadBF16 {
		if least = 0; in.Strides.A != 0 {
			v.at(in, "a is in registers, and has no stride")
		}
	}
	for _, s := range []struct {
		name     string
		n, least int64
	}{{"a", in.Strides.A, least}, {"b", in.Strides.B, runBytes * columns}} {
		if s.n < s.least || s.n > maxQuadStride || s.n%runBytes != 0 {
			v.at(in, "stride %d of %s: wanted is a multiple of %d in %d..%d", s.n, s.name, runBytes, s.least, maxQuadStride)
		}
	}
}

// pieces checks the form of a copybulk.
func (v *verifier) pieces(in *Instr) {
	if in.Imm < 1 || in.Imm > maxPieces {
		v.at(in, "1..%d pieces are wanted", maxPieces)
	}
	s := in.Strides
	if s.B < copyBytes || s.B > maxPieceBytes || s.B%copyBytes != 0 {
		v.at(in, "pieces of %d bytes: wanted is a multiple of %d up to %d", s.B, copyBytes, maxPieceBytes)
	}
	for _, n := range []int64{s.C, s.A} {
		if n < s.B || n > maxStride || n%copyBytes != 0 {
			v.at(in, "stride %d: wanted is a multiple of %d in %d..%d", n, copyBytes, s.B, int64(maxStride))
		}
	}
}
