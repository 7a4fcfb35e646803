package artifact

import (
	"math"
	"strings"
	"testing"
)

func quantized() *Manifest {
	m := sample()
	m.Quantization = &Quantization{Scheme: "mine", Extends: []string{"w8a8"}, Rotations: "stream", Data: &CalibrationData{Samples: 2, Length: 3, Windows: "00"},
		Values:  []StoredValue{{Name: "layers.0.ssm.u", Type: "i8", Scale: "tensor", Observe: "amax", Scales: []float32{0.1}}},
		Weights: []StoredWeight{{Name: "head", Type: "i4", Scale: "group of 128", Method: "gptq"}}}
	m.Quantization.Values = append(m.Quantization.Values, StoredValue{Name: "head.in", Type: "i8", Scale: PerToken, Observe: "none"})
	m.States[0].DType, m.States[0].Offset = "I8", 65
	return m
}

func TestQuantizedManifest(t *testing.T) {
	m := quantized()
	comesBack(t, m)
	for _, test := range []struct {
		change func(q *Quantization)
		want   string
	}{
		{func(q *Quantization) { q.Scheme = "" }, "quantization.scheme: is empty"},
		{func(q *Quantization) { q.Values[0].Scales[0] = float32(math.Inf(1)) }, "has the scale +Inf"},
		{func(q *Quantization) { q.Values[0].Scales[0] = float32(math.NaN()) }, "has the scale NaN"},
		{func(q *Quantization) { q.Values[0].Scales[0] = 0 }, "has the scale 0"},
		{func(q *Quantization) { q.Values[1].Scales = []float32{1} }, `is stored as "i8" and has 1 scales`},
		{func(q *Quantization) { q.Values[0].Scales = nil }, `is stored as "i8" and has 0 scales`},
	} {
		m := quantized()
		test.change(m.Quantization)
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
	}
}
