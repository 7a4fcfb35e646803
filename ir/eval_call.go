package ir

import "math"

// call is one op about to be evaluated: its operands (nil where absent), its attributes, zero-filled results, and where sequences begin.
// An evaluator sees nothing else; in particular not the table of ops, which points to the evaluators.
type call[F Float] struct {
	attrs *Attrs
	args  []*Tensor[F]
	out   []*Tensor[F]
	start []int // sequence s has rows start[s] to start[s+1]-1
	to    DType // element type of the first result
}

// evaluator holds an op's evaluator in both precisions.
type evaluator struct {
	f32 func(*call[float32]) error
	f64 func(*call[float64]) error
}

// evaluatorOf picks one of the two. The switch on a pointer's type is how Go chooses between instances of a generic function.
func evaluatorOf[F Float](e evaluator) func(*call[F]) error {
	var f func(*call[F]) error
	switch p := any(&f).(type) {
	case *func(*call[float32]) error:
		*p = e.f32
	case *func(*call[float64]) error:
		*p = e.f64
	}
	return f
}

// unaryOp evaluates an elementwise function of one operand. It is computed in float64 and rounded once to F.
func unaryOp(fn func(float64) float64) evaluator {
	return evaluator{mapUnary[float32](fn), mapUnary[float64](fn)}
}

func mapUnary[F Float](fn func(float64) float64) func(*call[F]) error {
	return func(c *call[F]) error {
		x, y := c.args[0].Data, c.out[0].Data
		for i, v := range x {
			y[i] = F(fn(float64(v)))
		}
		return nil
	}
}

// binaryOp evaluates an elementwise function of two operands. For float32 it is computed in float64 and rounded, which for + - * /
// gives the same bits as float32 arithmetic.
func binaryOp(fn func(x, y float64) float64) evaluator {
	return evaluator{mapBinary[float32](fn), mapBinary[float64](fn)}
}

func mapBinary[F Float](fn func(x, y float64) float64) func(*call[F]) error {
	return func(c *call[F]) error {
		a, b, out := c.args[0], c.args[1], c.out[0]
		ia, ib := broadcastIndex(a.Shape, out.Shape), broadcastIndex(b.Shape, out.Shape)
		for i := range out.Data {
			out.Data[i] = F(fn(float64(a.Data[ia.at(i)]), float64(b.Data[ib.at(i)])))
		}
		return nil
	}
}

// index maps flat positions of a shape to flat positions of a tensor that is repeated to that shape.
type index struct {
	same  bool // every position maps to itself
	shape []int
	step  []int // 0 along repeated axes
}

// broadcastIndex prepares reading a tensor of shape from at positions of shape to.
func broadcastIndex(from, to []int) index {
	ix := index{same: len(from) == len(to), shape: to, step: make([]int, len(to))}
	skip, step := len(to)-len(from), 1
	for i := len(from) - 1; i >= 0; i-- {
		if from[i] == to[skip+i] {
			ix.step[skip+i] = step
		} else {
			ix.same = false
		}
		step *= from[i]
	}
	return ix
}

func (ix *index) at(i int) int {
	if ix.same {
		return i
	}
	at := 0
	for k := len(ix.shape) - 1; k >= 0 && i > 0; k-- {
		n := ix.shape[k]
		q := i / n
		at += (i - q*n) * ix.step[k]
		i = q
	}
	return at
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func silu(x float64) float64 { return x / (1 + math.Exp(-x)) }

// softplus follows the references, which return x itself above 20.
func softplus(x float64) float64 {
	if x > 20 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// minNumber and maxNumber are NaN if either operand is, as numpy's minimum and maximum are.
func minNumber(x, y float64) float64 {
	if x != x || x < y {
		return x
	}
	return y
}

func maxNumber(x, y float64) float64 {
	if x != x || x > y {
		return x
	}
	return y
}
