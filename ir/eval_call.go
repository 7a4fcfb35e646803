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
	arithmetic[F]
}

// evaluator holds an op's evaluator in both precisions.
type evaluator struct {
	f32 func(*call[float32]) error
	f64 func(*call[float64]) error
}

// evaluatorOf picks one of the two.
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

// unaryOp evaluates an elementwise function of one operand: in float32 the operations of the kernels, in float64 the mathematics.
func unaryOp(f32 func(float32) float32, f64 func(float64) float64) evaluator {
	return evaluator{mapUnary(f32), mapUnary(f64)}
}

func mapUnary[F Float](fn func(F) F) func(*call[F]) error {
	return func(c *call[F]) error {
		x, y := c.args[0].Data, c.out[0].Data
		for i, v := range x {
			y[i] = fn(v)
		}
		return nil
	}
}

// rounded is a function in float64 and one rounding: for what kernels do not have.
func rounded(fn func(float64) float64) func(float32) float32 {
	return func(x float32) float32 { return float32(fn(float64(x))) }
}

// binaryOp evaluates an elementwise function of two operands.
func binaryOp(f32 func(x, y float32) float32, f64 func(x, y float64) float64) evaluator {
	return evaluator{mapBinary(f32), mapBinary(f64)}
}

func mapBinary[F Float](fn func(x, y F) F) func(*call[F]) error {
	return func(c *call[F]) error {
		a, b, out := c.args[0], c.args[1], c.out[0]
		ia, ib := broadcastIndex(a.Shape, out.Shape), broadcastIndex(b.Shape, out.Shape)
		for i := range out.Data {
			out.Data[i] = fn(a.Data[ia.at(i)], b.Data[ib.at(i)])
		}
		return nil
	}
}

func evalFMA[F Float](c *call[F]) error {
	x, y, z, out := c.args[0], c.args[1], c.args[2], c.out[0]
	ix, iy, iz := broadcastIndex(x.Shape, out.Shape), broadcastIndex(y.Shape, out.Shape), broadcastIndex(z.Shape, out.Shape)
	for i := range out.Data {
		out.Data[i] = c.fma(x.Data[ix.at(i)], y.Data[iy.at(i)], z.Data[iz.at(i)])
	}
	return nil
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

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// minMachine and maxMachine are y where x or y is NaN, as the instructions minps and maxps are.
func minMachine(x, y float64) float64 {
	if x < y {
		return x
	}
	return y
}

func maxMachine(x, y float64) float64 {
	if x > y {
		return x
	}
	return y
}
