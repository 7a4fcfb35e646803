package runtime_test

import (
	"context"
	"encoding/binary"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/runtime"
)

func int64Tensor(name string, shape []int, values ...int64) loader.Tensor {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, uint64(v))
	}
	return loader.Tensor{Name: name, DType: loader.I64, Shape: shape, Data: data}
}

func write(t *testing.T, tensors ...loader.Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.safetensors")
	if err := loader.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// A batch gives what its rows give, in the shape of a batch.
func TestBatchOfPrompts(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 2})
	batch, err := runtime.ReadPrompts(write(t, int64Tensor("input_ids", []int{2, 3}, 1, 2, 3, 7, 8, 9)))
	if err != nil {
		t.Fatal(err)
	}
	together, err := m.Evaluate(context.Background(), batch.Rows, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer together.Free()
	vocab := m.Manifest.Model.Vocab
	var shapes [][]int
	for _, x := range together.Tensors(batch.Batch, vocab) {
		shapes = append(shapes, x.Shape)
	}
	if diff := cmp.Diff([][]int{{2, 3, vocab}, {2, 5}}, shapes); diff != "" {
		t.Error(diff)
	}
	for i, row := range [][]int64{{1, 2, 3}, {7, 8, 9}} {
		one, err := runtime.ReadPrompts(write(t, int64Tensor("input_ids", []int{3}, row...)))
		if err != nil {
			t.Fatal(err)
		}
		alone, err := m.Evaluate(context.Background(), one.Rows, 5)
		if err != nil {
			t.Fatal(err)
		}
		defer alone.Free()
		if diff := cmp.Diff(alone.Logits[0], together.Logits[i]); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
		if diff := cmp.Diff(alone.Generated[0], together.Generated[i]); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
		if x := alone.Tensors(one.Batch, vocab); !cmp.Equal(x[0].Shape, []int{3, vocab}) || !cmp.Equal(x[1].Shape, []int{5}) {
			t.Errorf("one row has the shapes %v and %v", x[0].Shape, x[1].Shape)
		}
	}
}

func TestReadPromptsRefuses(t *testing.T) {
	ids := int64Tensor("input_ids", []int{2}, 1, 2)
	tests := []struct {
		name    string
		tensors []loader.Tensor
		want    string
	}{
		{"no ids", []loader.Tensor{int64Tensor("ids", []int{1}, 1)}, `has no tensor "input_ids"`},
		{"no tokens", []loader.Tensor{int64Tensor("input_ids", []int{0})}, "at least one token"},
		{"an empty batch", []loader.Tensor{int64Tensor("input_ids", []int{0, 4})}, "at least one token"},
		{"a scalar", []loader.Tensor{int64Tensor("input_ids", nil, 1)}, "shape []"},
		{"three axes", []loader.Tensor{int64Tensor("input_ids", []int{1, 1, 2}, 1, 2)}, "shape [1 1 2]"},
		{"a negative id", []loader.Tensor{int64Tensor("input_ids", []int{2}, 1, -1)}, "holds -1"},
		{"a huge id", []loader.Tensor{int64Tensor("input_ids", []int{1}, math.MaxInt64)}, "which is no token"},
		{"padding", []loader.Tensor{ids, int64Tensor("attention_mask", []int{2}, 1, 0)}, "padding is not supported"},
	}
	for _, test := range tests {
		_, err := runtime.ReadPrompts(write(t, test.tensors...))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
	p, err := runtime.ReadPrompts(write(t, ids, int64Tensor("attention_mask", []int{2}, 1, 1)))
	if err != nil || !cmp.Equal(p, runtime.Prompts{Rows: [][]int32{{1, 2}}}) {
		t.Errorf("a mask of ones: %v, %v", p, err)
	}
}

// Windows score each token once, and with a stride below the window every token but the first.
func TestLikelihoodWindows(t *testing.T) {
	m := open(t, "mamba-tiny", runtime.Options{Threads: 2})
	ids := randomIDs(20, 100, m.Manifest.Model.Vocab)
	tests := []struct{ window, stride, scored int }{
		{100, 100, 99}, {512, 512, 99}, {10, 10, 90}, {10, 5, 99}, {30, 30, 87}, {2, 2, 50}, {2, 1, 99}, {33, 16, 96},
	}
	for _, test := range tests {
		s, err := m.Likelihood(context.Background(), ids, test.window, test.stride, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, scored := range s.Scored {
			if scored {
				n++
			}
		}
		if s.Tokens != test.scored || n != test.scored {
			t.Errorf("windows of %d every %d: %d tokens scored, %d marked, want %d", test.window, test.stride, s.Tokens, n, test.scored)
		}
	}
	whole, err := m.Likelihood(context.Background(), ids, 100, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	nats := 0.0
	for i, row := range feed(t, m, newSlot(t, m), ids, len(ids))[:99] {
		sum := 0.0
		for _, l := range row {
			sum += math.Exp(float64(l))
		}
		nats += math.Log(sum) - float64(row[ids[i+1]])
	}
	if math.Abs(whole.Nats-nats) > 1e-9*nats || math.Abs(whole.Perplexity()-math.Exp(nats/99)) > 1e-6*whole.Perplexity() {
		t.Errorf("%v nats, want %v", whole.Nats, nats)
	}
	for _, bad := range [][2]int{{1, 1}, {10, 0}, {10, 11}} {
		if _, err := m.Likelihood(context.Background(), ids, bad[0], bad[1], nil); err == nil {
			t.Errorf("windows of %d every %d are accepted", bad[0], bad[1])
		}
	}
	if _, err := m.Likelihood(context.Background(), ids[:1], 10, 10, nil); err == nil {
		t.Error("a text of one token was scored")
	}
}
