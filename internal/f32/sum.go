package f32

// Lanes is the number of partial sums of every sum across lanes, whatever the width of the machine's vectors.
const Lanes = 16

// Fold adds sixteen partial sums by the fixed tree: lane l takes lane l+8, then l+4, l+2, l+1. It overwrites x.
func Fold(x *[Lanes]float32) float32 {
	for half := Lanes / 2; half > 0; half /= 2 {
		for l := range half {
			x[l] += x[l+half]
		}
	}
	return x[0]
}

// Sum16 is the sum of x: element i goes to lane i mod 16, in order; then Fold.
func Sum16(x []float32) float32 {
	var sum [Lanes]float32
	for i, v := range x {
		sum[i%Lanes] += v
	}
	return Fold(&sum)
}

// Dot16 is the sum of x[i] y[i], by FMA in the lanes of Sum16. The slices have one length.
func Dot16(x, y []float32) float32 {
	var sum [Lanes]float32
	for i, v := range x {
		sum[i%Lanes] = FMA(v, y[i], sum[i%Lanes])
	}
	return Fold(&sum)
}

// Sum16Squares is the sum of squares, by FMA in the lanes of Sum16.
func Sum16Squares(x []float32) float32 { return Dot16(x, x) }

// RMSScale is 1 / sqrt(mean(x^2) + eps): what an RMS norm multiplies each element of x by.
func RMSScale(x []float32, eps float32) float32 {
	mean := Sum16Squares(x) / float32(len(x))
	return 1 / Sqrt(float32(mean+eps))
}
