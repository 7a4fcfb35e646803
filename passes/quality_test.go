package passes

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/tokenizer"
)

// textWindows cuts n windows out of a part of the golden text, from and to given as shares of it.
func textWindows(t *testing.T, model string, n, length int, from, to float64) [][]int32 {
	t.Helper()
	golden := filepath.Join("..", "golden", "testdata")
	tok, err := tokenizer.Load(filepath.Join(golden, model, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(golden, "text", "valid-excerpt.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode(string(text), false)
	if err != nil {
		t.Fatal(err)
	}
	ids = ids[int(from*float64(len(ids))):int(to*float64(len(ids)))]
	windows := make([][]int32, n)
	for i := range windows {
		at := i * (len(ids) - length) / max(n-1, 1)
		windows[i] = ids[at : at+length]
	}
	return windows
}

// On trained weights the default scheme and the published layout are where their numpy model is: 35.4 and 29.6 dB (with the embedding in f32,
// 24 windows of calibration and 6 of test; here there are fewer, of another text).
func TestQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a trained model for some 20 seconds")
	}
	t.Setenv("SSMC_CHECK", "0")
	const model = "trained/mamba-en"
	test := textWindows(t, model, 2, 128, 0.5, 1)
	want := logits[float64](t, build(t, model), test)
	published := schemeOf(t, "extends: quamba-w8a8\nvalues: {head.in: {type: i8}}\nweights: {embed: {type: f32}, head: {type: i8, scale: tensor}}")
	// Both rotate alike, and the published layout stores all that ours does and more: one calibration serves both.
	float := prepared(t, model, published)
	points := pointsOf(t, float, published)
	c, grams := observe(t, float, points, textWindows(t, model, 6, 128, 0, 0.5))
	ours := loadScheme(t, "w8a8")
	for _, c8 := range []struct {
		scheme   *quant.Scheme
		points   []Point
		from, to float64
	}{
		{published, points, 27, 34},
		{ours, pointsOf(t, prepared(t, model, ours), ours), 34, 40},
	} {
		q := build(t, model)
		if _, err := Run(q, Options{Scheme: c8.scheme, Scales: scalesOf(t, c8.points, c, grams)}); err != nil {
			t.Fatal(err)
		}
		db := sqnr(want, logits[float32](t, q, test))
		t.Logf("%s: %.2f dB", c8.scheme.Name, db)
		if db < c8.from || db > c8.to {
			t.Errorf("%s: the logits are at %.2f dB, want %v to %v", c8.scheme.Name, db, c8.from, c8.to)
		}
	}
}
