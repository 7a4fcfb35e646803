package spmd

// Fragments of matrices. Lane l is number l%4 of group l/4. Of a it has, in a0 and a1, word l%4 of row l/4 and of the row eight below, in a2 and a3
// word 4 + l%4 of them; of b, in b0 and b1, words l%4 and 4 + l%4 of column l/4; of c, columns 2(l%4) and 2(l%4)+1 of row l/4, and of the row eight below.
const (
	fragmentLanes = 32
	fragmentRows  = 16
	fragmentCols  = 8
	fragmentWords = 8 // of a row of a, or a column of b
)

// fragments gives the words of a's rows and of b's columns.
func fragments(f *frame, in *inst) (a [fragmentRows][fragmentWords]uint32, b [fragmentCols][fragmentWords]uint32) {
	word := func(operand, l int) uint32 { return uint32(f.i[in.list[operand]+l]) }
	for l := range fragmentLanes {
		g, t := l/4, l%4
		a[g][t], a[g+8][t], a[g][4+t], a[g+8][4+t] = word(4, l), word(5, l), word(6, l), word(7, l)
		b[g][t], b[g][4+t] = word(8, l), word(9, l)
	}
	return a, b
}

// eachSum calls do for every element of c: its row and column, and the lane and the operand that have it.
func eachSum(do func(m, n, l, c int)) {
	for l := range fragmentLanes {
		for c := range 4 {
			do(l/4+c/2*8, 2*(l%4)+c%2, l, c)
		}
	}
}

func mmaI8(f *frame, in *inst) {
	a, b := fragments(f, in)
	eachSum(func(m, n, l, c int) {
		sum := f.i[in.list[c]+l]
		for w := range fragmentWords {
			x, y := a[m][w], b[n][w]
			for range 4 {
				sum += int32(int8(x)) * int32(int8(y))
				x, y = x>>8, y>>8
			}
		}
		f.i[in.results[c]+l] = sum
	})
}

// mmaBF16 sums in float64, in the order of the words: nobody may rely on it.
func mmaBF16(f *frame, in *inst) {
	a, b := fragments(f, in)
	eachSum(func(m, n, l, c int) {
		sum := float64(f.f[in.list[c]+l])
		for w := range fragmentWords {
			for half := range 2 {
				x, y := fromBF16(uint16(a[m][w]>>(16*half))), fromBF16(uint16(b[n][w]>>(16*half)))
				sum += float64(float64(x) * float64(y))
			}
		}
		f.f[in.results[c]+l] = float32(sum)
	})
}

func packBF16(f *frame, in *inst) {
	for l := range in.n {
		f.i[in.d+l] = int32(uint32(toBF16(f.f[in.a+l])) | uint32(toBF16(f.f[in.b+l]))<<16)
	}
}
