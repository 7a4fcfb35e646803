package kernel

import (
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
)

// Products of codes of eight bits by codes of four go through fragments on a GPU, where a group is what the four lanes of a column load: a run or half of one
// each. Columns are the rows of these fragments, sixteen of them, and rows the columns, eight: a fragment's rows want four registers in a row, which is where
// unpacking puts its results, while the words of a row stay where a load of sixteen bytes leaves them, in pairs. (The other way round a third of the
// instructions of a loop were moves.)
//
// Each word that a lane has loaded gives two of bytes, of eight neighbours along K as everywhere, so what they are multiplied by is eight neighbours of a row
// too. A half byte is its code plus 8. With its topmost bit turned, in the upper half of a byte, it is sixteen times the code, signed: four operations for eight
// codes, and no sum of the row to take off again.
//
// A group's sum becomes a float without a conversion, which is slow: sums begin at the bits of a float whose last place stands for a sixteenth, and are then
// the bits of this float plus the sum. So the sixteen is gone too, and one subtraction remains.
const (
	sumOrigin     = 3 << 18    // as a float its last place is 2^-4, and stays so within 2^18 of it: 128 products of -8..7 by -128..127 are within 2^17
	sumOriginBits = 0x49400000 // math.Float32bits(sumOrigin)
)

// fragmentGroup is the size of a product's groups. A single one that ends with K may as well be a whole one for these.
func fragmentGroup(x, w *ir.Value, group int) int64 {
	size, k := int64(group), int64(w.Weight.Shape[1])
	if x.Type.DType == ir.I8 && productForm(x, w) == nibbles && size >= k {
		for _, whole := range [...]int64{rowBytes, 2 * rowBytes} {
			if k <= whole {
				return whole
			}
		}
	}
	return size
}

// inFragments says that a product is one of these. Another one by the same weight may have made its runs shorter.
func (p *planner) inFragments(linear *ir.Op) bool {
	x, w := linear.Args[0], linear.Args[1]
	group := fragmentGroup(x, w, linear.Attrs.GroupSize)
	return x.Type.DType == ir.I8 && productForm(x, w) == nibbles && p.runs[w]*spmd.I32.Bytes() == copyBytes && (group == rowBytes || group == 2*rowBytes)
}

// nibbleBytes is how many bytes of a column a group has.
func nibbleBytes(group int64) int64 { return group / 2 }

// sixteenfold makes bytes, sixteen times the codes, of packed words: of each the lower halves, then the upper ones.
func sixteenfold(k *code, packed []*spmd.Value) []*spmd.Value {
	var out []*spmd.Value
	upper := k.I32(-0x0f0f0f10)
	for _, w := range packed {
		w = k.Xor(w, k.I32(-0x77777778))
		out = append(out, k.And(k.Shl(w, 4), upper), k.And(w, upper))
	}
	return out
}

// groupSums is a group's sums of sixteen columns, of which a lane has two, by eight rows, of which it has one.
func groupSums(k *code, columns [2][]*spmd.Value, row []*spmd.Value) []*spmd.Value {
	sum := each(make([]*spmd.Value, 4), func(int) *spmd.Value { return k.Splat(k.I32(sumOriginBits)) })
	a, b := columns[0], columns[1]
	for i := 0; i < len(row); i += 2 {
		sum = k.MMAI8(sum, []*spmd.Value{a[i], b[i], a[i+1], b[i+1]}, row[i:i+2])
	}
	return each(sum, func(i int) *spmd.Value { return k.Sub(k.Bitcast(sum[i]), k.F(sumOrigin)) })
}

// Sums of eight rows by a panel lie in scratch as a block, as they were in the registers of two fragments: [register][lane], padded so that a row's columns
// are in different banks. Lane l has columns l/4 and l/4+8 of each fragment, and rows l%4*2 and the next.
const (
	blockRegister = panelWide + 1 // words from a register to the next
	blockWords    = 8 * blockRegister
)

// inBlock is where register i of a fragment's four lies: first the even rows, then the odd ones.
func inBlock(fragment, i int64) int64 { return (i%2*4 + fragment*2 + i/2) * blockRegister }

// columnInBlock and rowInBlock are what adds up to the place of the lane's column in row i.
func columnInBlock(k *code) *spmd.Value {
	lane := k.Lane()
	return k.Add(k.Mul(k.Shr(lane, 3), k.I32(blockRegister)), k.Shl(k.And(lane, k.I32(7)), 2))
}

func rowInBlock(k *code, i *spmd.Value) *spmd.Value {
	return k.Add(k.Mul(k.Rem(i, k.I(2)), k.I(4*blockRegister)), k.Div(k.Rem(i, k.I(8)), k.I(2)))
}
