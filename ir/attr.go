package ir

// Attrs holds the few attributes that ops have, typed. The table says which of them an op uses; the verifier, that the others are zero.
type Attrs struct {
	Axis     int
	Lo, Hi   int
	Shape    []Dim
	Perm     []int
	Eps      float64
	Groups   int // of a norm; 0 in an op that has none, as all that follow
	Kind     ReduceKind
	KeepDims bool
	To       DType
	Value    float64

	Inv       float32 // of a quantize: the reciprocal of the scale; 1 where there is none
	Full      bool    // of a quantize: codes from -128, not -127
	Count     bool    // of a quantize: the values that are clamped are counted
	GroupSize int     // of a linear with scales: so many neighbours along K share one
	Blocks    int     // of a hadamard: the last axis is Blocks * M * 2^K
	M, K      int

	Transposed bool // of a hadamard: the small matrix is transposed, signs come last
}

// ReduceKind is what a reduce computes.
type ReduceKind uint8

// The reductions.
const (
	NoReduce ReduceKind = iota
	ReduceSum
	ReduceMax
	ReduceMean
	numReduceKinds
)

var reduceKinds = [numReduceKinds]string{"none", "sum", "max", "mean"}

// String is the name in the text form.
func (k ReduceKind) String() string {
	if k >= numReduceKinds {
		return "reduce?"
	}
	return reduceKinds[k]
}

// ReduceKindByName finds a reduction by its name in the text form.
func ReduceKindByName(name string) (ReduceKind, bool) {
	for k := NoReduce + 1; k < numReduceKinds; k++ {
		if reduceKinds[k] == name {
			return k, true
		}
	}
	return NoReduce, false
}

// attrSet says which attributes an op uses.
type attrSet uint32

const (
	attrAxis attrSet = 1 << iota
	attrRange
	attrShape
	attrPerm
	attrEps
	attrGroups
	attrKind
	attrKeep
	attrTo
	attrValue
	attrInv
	attrFull
	attrCount
	attrGroup
	attrHadamard
)
