package ir

import (
	"fmt"
	"hash/fnv"
	"math"
)

// NewWeight makes a weight that holds its own data: what a pass computes, or a test.
func NewWeight[F Float](name string, t DType, shape []int, data []F) (*Weight, error) {
	if len(data) != product(shape) {
		return nil, fmt.Errorf("weight %q: %d elements for shape %v", name, len(data), shape)
	}
	raw, err := Encode(t, data)
	if err != nil {
		return nil, fmt.Errorf("weight %q: %w", name, err)
	}
	return RawWeight(name, t, shape, raw), nil
}

// RawWeight makes a weight from bytes that are already little-endian and row-major.
func RawWeight(name string, t DType, shape []int, raw []byte) *Weight {
	return &Weight{Name: name, DType: t, Shape: shape, Bytes: func() ([]byte, error) { return raw, nil }}
}

// LoadWeight reads and widens a weight's elements. A weight without data (it came from text) is filled from a seed that is
// made of its name, the same in every run, so that text alone can be evaluated.
func LoadWeight[F Float](w *Weight) (*Tensor[F], error) {
	x := newTensor[F](w.DType, w.Shape)
	if w.Bytes == nil {
		seedTensor(x, w.DType, w.Name)
		return x, nil
	}
	raw, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("weight %q: %w", w.Name, err)
	}
	if w.DType.Float() {
		err = Decode(x.Data, w.DType, raw)
	} else {
		err = DecodeInts(x.Ints, w.DType, raw)
	}
	if w.Release != nil {
		w.Release()
	}
	if err != nil {
		return nil, fmt.Errorf("weight %q: %w", w.Name, err)
	}
	return x, nil
}

// LoadRows reads the rows lo to hi-1 of a floating-point matrix. Who has read enough calls the weight's Release, if it has one.
func LoadRows(w *Weight, lo, hi int) ([]float64, error) {
	if w.Rows != nil {
		return w.Rows(lo, hi)
	}
	k := w.Len() / max(w.Shape[0], 1)
	if w.Bytes == nil {
		x, err := LoadWeight[float64](w)
		if err != nil {
			return nil, err
		}
		return x.Data[lo*k : hi*k], nil
	}
	raw, err := w.Bytes()
	if err == nil && len(raw) != w.ByteLen() {
		err = fmt.Errorf("%d bytes, want %d", len(raw), w.ByteLen())
	}
	x := make([]float64, (hi-lo)*k)
	if err == nil {
		size := w.DType.Size()
		err = Decode(x, w.DType, raw[lo*k*size:hi*k*size])
	}
	if err != nil {
		return nil, fmt.Errorf("weight %q: %w", w.Name, err)
	}
	return x, nil
}

// seedTensor fills x from a hash of name: uniform numbers of variance about 1/K for matrices with rows of K, which keeps the values of a
// random network near 1, and small integers.
func seedTensor[F Float](x *Tensor[F], t DType, name string) {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := splitmix(h.Sum64())
	scale := 1.0
	if n := len(x.Shape); n > 1 && x.Shape[n-1] > 0 {
		scale = math.Sqrt(3 / float64(x.Shape[n-1]))
	}
	for i := range x.Data {
		x.Data[i] = F(float32(scale * (2*r.float() - 1)))
	}
	x.round16(t)
	lo, hi := int64(-8), int64(7)
	if t == U8 || t == Bool {
		lo, hi = intRange(t)
	}
	for i := range x.Ints {
		x.Ints[i] = lo + int64(r.next()%uint64(hi-lo+1))
	}
}

// splitmix is the generator SplitMix64: one state word, the same numbers on every machine.
type splitmix uint64

func (r *splitmix) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float gives a number in [0, 1).
func (r *splitmix) float() float64 { return float64(r.next()>>11) / (1 << 53) }
