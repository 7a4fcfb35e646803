package spmd

import "math"

// A quad is four members whose numbers begin at a multiple of four. Together they multiply 64 rows of a by up to 256 columns of b; member q of them has the
// sums of rows 16q to 16q+15, eight columns after the other, each as a fragment c.
//
// In scratch sixteen bytes of K of all rows, or of all columns, lie together, and a step of K has two of these runs.
const (
	quadMembers   = 4
	quadRows      = quadMembers * fragmentRows
	leastQuadCols = 32
	mostQuadCols  = 256
	runBytes      = 16
	quadBytes     = 2 * runBytes // of K
)

// quad says that an op is a product of four members.
func (o Op) quad() bool { return o == OpQuadI8 || o == OpQuadBF16 || o == OpQuadTF32 }

// quadSums is how many operands such an op has before its sums.
func (o Op) quadSums() int {
	if o == OpQuadBF16 {
		return 5
	}
	return 2
}

// quadRun reads n rows or columns from the first one on: of each its bytes of K.
func (f *frame) quadRun(in *inst, p pointer, first, n, stride int64) (lines [][quadBytes]byte) {
	if p.off%runBytes != 0 {
		f.fail(in, "begins at byte %d of scratch: a multiple of %d is wanted", p.off, runBytes)
		return nil
	}
	lines = make([][quadBytes]byte, n)
	for half := range int64(2) {
		b := f.sized(in, p, 1, half*stride+first*runBytes, n*runBytes, false)
		if f.stop {
			return nil
		}
		if at := p.off + half*stride + first*runBytes; f.mem.fresh(at, at+n*runBytes) {
			f.fail(in, "bytes %d to %d of scratch were written since the last barrier", at, at+n*runBytes)
			return nil
		}
		for i := range lines {
			copy(lines[i][half*runBytes:], b[int64(i)*runBytes:][:runBytes])
		}
	}
	return lines
}

// quadOperands gives the member's rows of a and the columns of b, nil after an error. It notes what the member takes part in: the others of the quad must, too.
func quadOperands(f *frame, in *inst) (a, b [][quadBytes]byte) {
	s, op := in.src.Strides, in.src.Op
	columns := int64((len(in.list) - op.quadSums()) / 4 * fragmentCols)
	at := f.p[in.list[op.quadSums()-1]]
	f.quads = (f.quads+uint64(f.pc))*0x9e3779b97f4a7c15 + uint64(at.off)
	if op != OpQuadBF16 {
		p := f.p[in.list[0]]
		f.quads = f.quads*0x9e3779b97f4a7c15 + uint64(p.off)
		a = f.quadRun(in, p, f.sys[sysMember]%quadMembers*fragmentRows, fragmentRows, s.A)
	} else {
		a = make([][quadBytes]byte, fragmentRows)
		for l := range fragmentLanes {
			for i := range 4 {
				le.PutUint32(a[l/4+i%2*8][i/2*runBytes+4*(l%4):], uint32(f.i[in.list[i]+l]))
			}
		}
	}
	if !f.stop {
		b = f.quadRun(in, at, 0, columns, s.B)
	}
	return a, b
}

// eachQuadSum calls do for the member's sums: row, column, and where c and the result of a lane are.
func eachQuadSum(f *frame, in *inst, do func(m, n, from, to int)) {
	sums := in.list[in.src.Op.quadSums():]
	for j := 0; j < len(sums); j += 4 {
		eachSum(func(m, n, l, c int) { do(m, j/4*fragmentCols+n, sums[j+c]+l, in.results[j+c]+l) })
	}
}

func quadI8(f *frame, in *inst) {
	a, b := quadOperands(f, in)
	if f.stop {
		return
	}
	eachQuadSum(f, in, func(m, n, from, to int) {
		sum := f.i[from]
		for k, x := range a[m] {
			sum += int32(int8(x)) * int32(int8(b[n][k]))
		}
		f.i[to] = sum
	})
}

func quadBF16(f *frame, in *inst) {
	quadFloats(f, in, 2, func(b []byte) float64 { return float64(fromBF16(le.Uint16(b))) })
}

func quadTF32(f *frame, in *inst) {
	quadFloats(f, in, 4, func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b) &^ (1<<13 - 1))) })
}

// quadFloats sums in float64, in the order of K: nobody may rely on it.
func quadFloats(f *frame, in *inst, size int, get func(b []byte) float64) {
	a, b := quadOperands(f, in)
	if f.stop {
		return
	}
	numbers := func(lines [][quadBytes]byte) (out [][quadBytes / 2]float64) {
		out = make([][quadBytes / 2]float64, len(lines))
		for i := range lines {
			for k := range quadBytes / size {
				out[i][k] = get(lines[i][k*size:])
			}
		}
		return out
	}
	x, y := numbers(a), numbers(b)
	eachQuadSum(f, in, func(m, n, from, to int) {
		sum := float64(f.f[from])
		for k := range quadBytes / size {
			sum += float64(x[m][k] * y[n][k])
		}
		f.f[to] = float32(sum)
	})
}
