package ir

import "github.com/ssmc/ssmc/internal/f32"

// arithmetic is what the two precisions do differently: float32 as the kernels do it, to the bit, float64 in plain sums.
type arithmetic[F Float] struct {
	fma     func(x, y, z F) F
	chain   func(z F, x, y []F) F                    // z + x[0] y[0] + x[1] y[1] + ..., in order
	chain4  func(z *[4]F, x []F, y0, y1, y2, y3 []F) // four of them
	sum     func(x []F) F
	squares func(x []F) F // sum of x[i]^2
}

var (
	exactFloat32 = arithmetic[float32]{f32.FMA, f32.Chain, f32.Chain4, f32.Sum16, f32.Sum16Squares}
	plainFloat64 = arithmetic[float64]{fma64, chain64, chain64x4, sum64, squares64}
)

// arithmeticOf picks one of the two. The switch on a pointer's type is how Go chooses between instances of a generic type.
func arithmeticOf[F Float]() (a arithmetic[F]) {
	switch p := any(&a).(type) {
	case *arithmetic[float32]:
		*p = exactFloat32
	case *arithmetic[float64]:
		*p = plainFloat64
	}
	return a
}

func fma64(x, y, z float64) float64 { return float64(x*y) + z }

func chain64(z float64, x, y []float64) float64 {
	for i, v := range x {
		z += float64(v * y[i])
	}
	return z
}

func chain64x4(z *[4]float64, x, y0, y1, y2, y3 []float64) {
	s0, s1, s2, s3 := z[0], z[1], z[2], z[3]
	y0, y1, y2, y3 = y0[:len(x)], y1[:len(x)], y2[:len(x)], y3[:len(x)]
	for i, v := range x {
		s0 += float64(v * y0[i])
		s1 += float64(v * y1[i])
		s2 += float64(v * y2[i])
		s3 += float64(v * y3[i])
	}
	*z = [4]float64{s0, s1, s2, s3}
}

func sum64(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func squares64(x []float64) float64 { return chain64(0, x, x) }
