package quant

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/x448/float16"
)

func TestFourBitReference(t *testing.T) {
	r := openReference(t, "w4")
	w, rows := r.f64("w"), r.shape("w")[0]
	for _, group := range []int{32, 128} {
		name := fmt.Sprintf("rtn.%d.", group)
		q, err := QuantizeWeight4(w, rows, group)
		if err != nil {
			t.Fatal(err)
		}
		same(t, name+"code", q.Codes, r.i8(name+"code"))
		sameBits(t, name+"scale", q.Scales, r.f32(name+"scale"))
		packed := q.Pack()
		same(t, name+"packed", apply(packed, func(b byte) int64 { return int64(b) }), r.ints(name+"packed"))
		back, err := Unpack(packed, q.Rows, q.K)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "unpacked", back, q.Codes)

		name = fmt.Sprintf("w4a8.%d.", group)
		e := q.Expand()
		same(t, name+"w8", e.Codes, r.i8(name+"w8"))
		sameBits(t, name+"channel_scale", e.Scales, r.f32(name+"channel_scale"))
		sameBits(t, name+"factor", apply(e.Factors, float16.Float16.Float32), r.f32(name+"factor"))
	}
}

// loss is the mean squared error of the products with x [n, k] under other weights.
func loss(x, w []float64, k int, got []float64) float64 {
	var sum float64
	n := 0
	for i := 0; i < len(x); i += k {
		for j := 0; j < len(w); j += k {
			var e float64
			for c := range k {
				e += x[i+c] * (w[j+c] - got[j+c])
			}
			sum += e * e
			n++
		}
	}
	return sum / float64(n)
}

func TestGPTQReference(t *testing.T) {
	r := openReference(t, "w4")
	w, x, k := r.f64("w"), r.f32("x"), r.shape("w")[1]
	gram, err := NewGram(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := gram.Add(x[:37*k]); err != nil {
		t.Fatal(err)
	}
	if err := gram.Add(x[37*k:]); err != nil {
		t.Fatal(err)
	}
	for _, group := range []int{32, 128} {
		name := fmt.Sprintf("gptq.%d.", group)
		q, err := GPTQ(w, len(w)/k, gram, group, 0.01)
		if err != nil {
			t.Fatal(err)
		}
		want := r.f64(name + "loss_rtn_gptq")
		plain, err := QuantizeWeight4(w, len(w)/k, group)
		if err != nil {
			t.Fatal(err)
		}
		if got := loss(wide(x), w, k, plain.Float()); math.Abs(got-want[0]) > 1e-6*want[0] {
			t.Errorf("group %d: the loss of nearest is %v, want %v", group, got, want[0])
		}
		if got := loss(wide(x), w, k, q.Float()); math.Abs(got-want[1]) > 0.01*want[1] {
			t.Errorf("group %d: the loss of GPTQ is %v, want %v", group, got, want[1])
		}
		codes, differ := r.i8(name+"code"), 0
		for i, c := range q.Codes {
			if c != codes[i] {
				differ++
			}
		}
		if differ > len(codes)/1000 {
			t.Errorf("group %d: %d of %d codes differ from the reference's", group, differ, len(codes))
		}
	}
}

// TestGPTQEdges has dead inputs, a short last group, few rows and one column.
func TestGPTQEdges(t *testing.T) {
	r := random(11)
	for _, c := range []struct{ rows, k, group, samples int }{{1, 1, 32, 1}, {3, 17, 16, 40}, {17, 33, 32, 64}, {2, 67, 0, 5}, {5, 131, 64, 300}} {
		w := wide(normal32(r, c.rows*c.k))
		x := normal32(r, c.samples*c.k)
		for i := range x {
			if c.k > 5 && i%c.k == 3 {
				x[i] = 0
			} else if i%c.k > 0 {
				x[i] += x[i-1]
			}
		}
		gram, err := NewGram(c.k)
		if err != nil {
			t.Fatal(err)
		}
		if err := gram.Add(x); err != nil {
			t.Fatal(err)
		}
		got, err := GPTQ(w, c.rows, gram, c.group, 0.01)
		if err != nil {
			t.Fatal(err)
		}
		near4, err := QuantizeWeight4(w, c.rows, c.group)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := loss(wide(x), w, c.k, got.Float()), loss(wide(x), w, c.k, near4.Float()); a > b*1.05 {
			t.Errorf("%+v: the loss %v is above that of nearest, %v", c, a, b)
		}
		for _, s := range got.Scales {
			if !GoodScale(s) {
				t.Errorf("%+v: scale %v", c, s)
			}
		}
	}
	gram, _ := NewGram(2)
	if _, err := GPTQ([]float64{1, 2}, 1, gram, 32, 0.01); err == nil {
		t.Error("GPTQ without any inputs")
	}
	if err := gram.Add([]float32{1, 1, 2, 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := GPTQ([]float64{1, 2}, 1, gram, 32, 0); err == nil || !strings.Contains(err.Error(), "larger damp") {
		t.Errorf("a singular matrix without damping: %v", err)
	}
	if gram.Add([]float32{1, float32(math.NaN())}) == nil || gram.Add([]float32{1}) == nil {
		t.Error("a NaN or half a row is added")
	}
}

// TestGram compares with the plain sums, whatever the pieces are.
func TestGram(t *testing.T) {
	r := random(13)
	for _, k := range []int{1, 3, 4, 16, 17, 31} {
		x := normal32(r, 600*k)
		whole, pieces := must(NewGram(k)), must(NewGram(k))
		if err := whole.Add(x); err != nil {
			t.Fatal(err)
		}
		for n := 1; len(x) > 0; n = n*2 + 1 {
			rows := min(n, len(x)/k)
			if err := pieces.Add(x[:rows*k]); err != nil {
				t.Fatal(err)
			}
			x = x[rows*k:]
		}
		same(t, "sums", pieces.sum, whole.sum)
		x = normal32(r, 600*k)
		fresh := must(NewGram(k))
		if err := fresh.Add(x); err != nil {
			t.Fatal(err)
		}
		for i := range k {
			for j := range k {
				var want float64
				for row := 0; row < len(x); row += k {
					want += float64(x[row+i]) * float64(x[row+j])
				}
				if got := fresh.At(i, j); got != want {
					t.Fatalf("K %d: sum [%d, %d] is %v, want %v", k, i, j, got, want)
				}
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestFactorOfInverse multiplies back: L L^T H is the identity.
func TestFactorOfInverse(t *testing.T) {
	r := random(17)
	for _, n := range []int{1, 2, 3, 5, 16, 31, 63, 64, 65, 130, 200} {
		h := make([]float64, n*n)
		x := wide(normal32(r, 2*n*n))
		for i := range n {
			for j := range n {
				for s := range 2 * n {
					h[i*n+j] += x[s*n+i] * x[s*n+j]
				}
			}
			h[i*n+i] += 0.1
		}
		l, err := factorOfInverse(append([]float64(nil), h...), n)
		if err != nil {
			t.Fatal(err)
		}
		for column := range n {
			z, y := make([]float64, n), make([]float64, n) // z = L^T h, y = L z
			for a := range n {
				for b := range n {
					if b > a && l[a*n+b] != 0 {
						t.Fatalf("n %d: L has %v above its diagonal", n, l[a*n+b])
					}
					z[b] += l[a*n+b] * h[a*n+column]
				}
			}
			for a := range n {
				for b := range n {
					y[a] += l[a*n+b] * z[b]
				}
			}
			y[column]--
			for j, v := range y {
				if math.Abs(v) > 1e-9 {
					t.Fatalf("n %d: element [%d, %d] of L L^T H - I is %v", n, j, column, v)
				}
			}
		}
	}
	if _, err := factorOfInverse([]float64{1, 2, 2, 1}, 2); err == nil {
		t.Error("an indefinite matrix is factored")
	}
}

func TestQuantizeWeight(t *testing.T) {
	w := []float64{1, -2, 127, 0, 0, 0, -0.5, 0.25, 254}
	q, err := QuantizeWeight(w, 3, true, Narrow)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "codes", q.Codes, []int8{1, -2, 127, 0, 0, 0, 0, 0, 127})
	same(t, "scales", q.Scales, []float32{1, 1, 2})
	same(t, "compensations", q.Compensations(), []int32{-128 * 126, 0, -128 * 127})
	q, err = QuantizeWeight(w, 3, false, Narrow)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "codes", q.Codes, []int8{0, -1, 64, 0, 0, 0, 0, 0, 127})
	if q.Scale(2) != 2 {
		t.Errorf("scale %v", q.Scale(2))
	}
	codes, scale, stands, err := QuantizeParams([]float64{-254, 2})
	if err != nil || scale != 2 {
		t.Fatalf("scale %v (%v)", scale, err)
	}
	same(t, "parameters", codes, []int8{-127, 1})
	same(t, "what they stand for", stands, []float64{-254, 2})
	if _, err := QuantizeWeight([]float64{1, math.NaN()}, 1, true, Narrow); err == nil || !strings.Contains(err.Error(), "[0, 1]") {
		t.Errorf("a NaN: %v", err)
	}
	for _, rows := range []int{0, 2} {
		if _, err := QuantizeWeight([]float64{1, 2, 3}, rows, true, Narrow); err == nil {
			t.Errorf("3 elements in %d rows", rows)
		}
	}
}

// TestFourBitEdges has widths that fill no byte and no group.
func TestFourBitEdges(t *testing.T) {
	r := random(19)
	for _, k := range []int{0, 1, 15, 16, 17, 33, 131} {
		w := wide(normal32(r, 3*k))
		for _, group := range []int{0, 32, 128} {
			q, err := QuantizeWeight4(w, 3, group)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range q.Float() {
				s := float64(q.Scales[i/k*q.Groups()+i%k/q.Group])
				if math.Abs(v-w[i]) > 0.5001*s {
					t.Fatalf("K %d group %d: weight %v becomes %v, the scale is %v", k, group, w[i], v, s)
				}
			}
			back, err := Unpack(q.Pack(), 3, k)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "unpacked", back, q.Codes)
			e := q.Expand()
			for i, c := range e.Codes {
				if want := q.Float()[i]; math.Abs(float64(c)*float64(e.Scale(i/k))-want) > 0.51*float64(e.Scale(i/k)) {
					t.Fatalf("K %d group %d: %v is expanded to code %d", k, group, want, c)
				}
			}
		}
	}
	if _, err := Unpack(make([]byte, 3), 1, 4); err == nil {
		t.Error("3 bytes hold 4 codes")
	}
	if _, err := QuantizeWeight4([]float64{1}, 1, -1); err == nil {
		t.Error("a group of -1")
	}
}

// TestToFloat16 compares with the exact nearest float16, on ties and beside them.
func TestToFloat16(t *testing.T) {
	for bits := uint16(1); bits < 0x7bff; bits += 37 {
		low, high := float64(float16.Frombits(bits).Float32()), float64(float16.Frombits(bits+1).Float32())
		middle, even := (low+high)/2, bits+bits&1
		for _, c := range []struct {
			v    float64
			want uint16
		}{{low, bits}, {middle, even}, {math.Nextafter(middle, 0), bits}, {math.Nextafter(middle, 1e9), bits + 1}} {
			if got := toFloat16(c.v).Bits(); got != c.want {
				t.Fatalf("%x becomes %#04x, want %#04x", c.v, got, c.want)
			}
			if got := toFloat16(-c.v).Bits(); got != c.want|0x8000 {
				t.Fatalf("%x becomes %#04x, want %#04x", -c.v, got, c.want|0x8000)
			}
		}
	}
}

func BenchmarkGram(b *testing.B) {
	const k, rows = 768, 512
	g, x := must(NewGram(k)), normal32(random(1), rows*k)
	for b.Loop() {
		if err := g.Add(x); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*k*k*rows/b.Elapsed().Seconds()/1e9, "Gflop/s")
}

func BenchmarkGPTQ(b *testing.B) {
	const k, rows = 768, 3072
	g := must(NewGram(k))
	if err := g.Add(normal32(random(1), 2048*k)); err != nil {
		b.Fatal(err)
	}
	w := wide(normal32(random(2), rows*k))
	b.Run("factor", func(b *testing.B) {
		for b.Loop() {
			h, _ := moments(g, 0.01)
			if _, err := factorOfInverse(h, k); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*k*k*k*2/3/b.Elapsed().Seconds()/1e9, "Gflop/s")
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if _, err := GPTQ(w, rows, g, 128, 0.01); err != nil {
				b.Fatal(err)
			}
		}
	})
}
