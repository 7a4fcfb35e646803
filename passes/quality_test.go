package passes

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/tokenizer"
)

func textWindows(t *testing.T, model, text string, n, length int) [][]int32 {
	tok, err := tokenizer.Load(filepath.Join("..", "golden", "testdata", model, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode(string(raw), false)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]int32
	for i := range n {
		at := 0
		if n > 1 {
			at = i * (len(ids) - length - 1) / (n - 1)
		}
		w := make([]int32, length)
		for k := range w {
			w[k] = int32(ids[at+k])
		}
		out = append(out, w)
	}
	return out
}

func TestAdhoc(t *testing.T) {
	if os.Getenv("ADHOC_MODEL") == "" {
		t.Skip()
	}
	t.Setenv("SSMC_CHECK", "0")
	model := "trained/" + os.Getenv("ADHOC_MODEL")
	nc, nt, length := 24, 6, 256
	cal := textWindows(t, model, "/work/shared/text/calib.txt", nc, length)
	test := textWindows(t, model, "/work/shared/text/valid.txt", 6, length)[:nt]
	want := logits[float64](t, build(t, model), test)
	calibrated := map[string]*Scales{}
	_ = calibrated
	for _, text := range strings.Split(os.Getenv("ADHOC"), ";") {
		s, err := quant.ParseScheme("adhoc.yaml", "", []byte("scheme: adhoc\n"+strings.ReplaceAll(text, "|", "\n")))
		if err != nil {
			t.Fatal(err)
		}
		scales := calibrate(t, prepared(t, model, s), s, cal)
		q := build(t, model)
		if _, err := Run(q, Options{Scheme: s, Scales: scales}); err != nil {
			t.Fatal(err)
		}
		got := logits[float32](t, q, test)
		per := ""
		for i := range got {
			per += fmt.Sprintf(" %.2f", sqnr(want[i:i+1], got[i:i+1]))
		}
		ppl := func(l [][]float64) float64 {
			var sum float64
			n := 0
			for w, ids := range test {
				v := len(l[w]) / len(ids)
				for i := range len(ids) - 1 {
					row := l[w][i*v : (i+1)*v]
					most := row[0]
					for _, x := range row {
						most = max(most, x)
					}
					var z float64
					for _, x := range row {
						z += math.Exp(x - most)
					}
					sum += math.Log(z) + most - row[ids[i+1]]
					n++
				}
			}
			return math.Exp(sum / float64(n))
		}
		t.Logf("%s %s: SQNR %.2f dB ppl ratio %.4f per window%s", model, text, sqnr(want, got), ppl(got)/ppl(want), per)
	}
}
