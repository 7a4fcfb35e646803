package compare_test

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/runtime"
)

// open compiles a golden model under a scheme; "" is none.
func open(t *testing.T, model, scheme string) *runtime.Model {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	o := compile.Options{Model: filepath.Join("..", "golden", "testdata", model), Out: dir, Target: "native", Scheme: scheme, MaxRows: 128, MaxSeqs: 4}
	if _, err := compile.Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Open(dir, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func ids(n int) []int32 {
	r := uint64(3)
	list := make([]int32, n)
	for i := range list {
		r = r*6364136223846793005 + 1442695040888963407
		list[i] = int32(r >> 33 % 256)
	}
	return list
}

// Both modes score what runtime.Likelihood scores; a model is at no distance from itself; a quantized one is at the same in both modes, bit for bit.
func TestRun(t *testing.T) {
	ctx := context.Background()
	m, q := open(t, "mamba-tiny", ""), open(t, "mamba-tiny", "w8a16")
	for _, test := range []struct{ tokens, window, stride int }{{300, 150, 150}, {300, 150, 37}, {20, 150, 150}, {2, 2, 1}, {40, 2, 2}} {
		list := ids(test.tokens)
		windows, scored, err := compare.Windows(list, test.window, test.stride)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Likelihood(ctx, list, test.window, test.stride, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Scored, scored); diff != "" {
			t.Errorf("%+v: scored (-likelihood +windows)\n%s", test, diff)
		}
		distances := map[compare.Mode]compare.Distance{}
		for _, mode := range []compare.Mode{compare.Prefill, compare.Decode} {
			d, err := compare.Run(ctx, m, m, windows, mode, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d.Tokens != want.Tokens || math.Abs(d.Perplexity/want.Perplexity()-1) > 1e-6 {
				t.Errorf("%+v, %s: perplexity %v of %d tokens, want %v of %d", test, mode, d.Perplexity, d.Tokens, want.Perplexity(), want.Tokens)
			}
			if d.KL != 0 || d.KLMax != 0 || d.Top1 != 1 || d.Ratio != 1 || d.SQNR != 300 {
				t.Errorf("%+v, %s: a model is not at no distance from itself: %+v", test, mode, d)
			}
			if distances[mode], err = compare.Run(ctx, q, m, windows, mode, nil); err != nil {
				t.Fatal(err)
			}
		}
		a, b := distances[compare.Prefill], distances[compare.Decode]
		if a.SQNR < 20 || a.SQNR > 80 || a.KL <= 0 || a.KL > 0.05 || a.KL99 < a.KL/2 || a.KLMax < 0.999*a.KL || a.Top1 < 0.5 {
			t.Errorf("%+v: %+v is not the distance of 8-bit weights", test, a)
		}
		if math.Abs(a.KL-b.KL) > 1e-9 || a.KLMax != b.KLMax || math.Abs(a.SQNR-b.SQNR) > 1e-6 {
			t.Errorf("%+v: prefill %+v, decode %+v", test, a, b)
		}
	}
}

func TestGreedy(t *testing.T) {
	m := open(t, "mamba-tiny", "")
	windows, _, err := compare.Windows(ids(200), 50, 50)
	if err != nil {
		t.Fatal(err)
	}
	d, err := compare.Greedy(context.Background(), m, m, windows)
	if err != nil {
		t.Fatal(err)
	}
	if d.Prompts != 4 || d.First != d.Tokens || d.Median != d.Tokens {
		t.Errorf("a model departs from itself: %+v", d)
	}
}

func TestRefuses(t *testing.T) {
	for _, test := range [][3]int{{100, 1, 1}, {100, 10, 0}, {100, 10, 11}, {1, 10, 10}, {0, 10, 10}} {
		if _, _, err := compare.Windows(ids(test[0]), test[1], test[2]); err == nil {
			t.Errorf("%v makes windows", test)
		}
	}
	m := open(t, "mamba-tiny", "")
	if _, err := compare.Run(context.Background(), m, nil, nil, compare.Prefill, nil); err == nil {
		t.Error("no windows give a perplexity")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	windows, _, _ := compare.Windows(ids(100), 50, 50)
	if _, err := compare.Run(ctx, m, nil, windows, compare.Decode, nil); err == nil {
		t.Error("an interrupted run gives a perplexity")
	}
}

func TestDB(t *testing.T) {
	for _, test := range []struct{ signal, noise, want float64 }{{1, 1, 0}, {100, 1, 20}, {1, 0, 300}, {0, 0, 0}, {0, 1, 0}} {
		if got := compare.DB(test.signal, test.noise); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("DB(%v, %v) = %v, want %v", test.signal, test.noise, got, test.want)
		}
	}
}
