package ptx

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	kernels "github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestStreams wants the largest weight of each contraction and scan to be known, and to lie within the weights.
func TestStreams(t *testing.T) {
	g := graph(t, "mamba-tiny")
	p := plan(t, g, "ptx:sm_80", kernels.Options{}).Programs[0]
	m, err := newModule("model", testSHA, p)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{ // bytes of a panel of 32 columns of K float32
		"in_proj.x": 4 * 32 * 96, "in_proj.z": 4 * 32 * 96, "x_proj.r": 4 * 32 * 192, "x_proj.B": 4 * 32 * 192, "out_proj": 4 * 32 * 192, "scan": 4 * 32 * 16,
	}
	seen := map[string]bool{}
	for _, ph := range m.p.Phases {
		for _, l := range ph.Launches {
			s := m.streams[l.Kernel]
			for name, bytes := range want {
				if strings.Contains(l.Note, name) {
					seen[name] = true
					if s.bytes != bytes {
						t.Errorf("%s streams %d bytes a panel, want %d", l.Note, s.bytes, bytes)
					}
				}
			}
			if s.bytes > 0 && l.Args[s.param]+s.bytes*l.Grid.Panels > p.WeightBytes {
				t.Errorf("%s streams beyond the weights", l.Note)
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("only %v were found", seen)
	}
}

// TestLookAhead streams through a weight: the lines that are asked for are those of four iterations later, and none beyond the end.
func TestLookAhead(t *testing.T) {
	d := spmdtest.New(t, gpuTarget(t, 1))
	d.Weights = make([]byte, 10*4096)
	for i := range d.Weights {
		d.Weights[i] = byte(i * 7)
	}
	d.Kernel("sum", spmdtest.One, func(k *spmdtest.Body) {
		w, y := k.Arg(spmd.I32, spmd.Weights, 0), k.Output(spmd.I32, warp)
		sum := k.For(k.I(0), k.I(10*32), 32, []*val{k.Splat(k.I32(0))}, func(i *val, c []*val) []*val {
			s := c[0]
			for u := range int64(32) {
				s = k.Add(k.Xor(s, k.LoadV(w, k.Shl(i, 5), u*warp)), k.I32(int32(u)))
			}
			return []*val{s}
		})
		k.StoreV(y, nil, 0, sum[0])
	})
	d.Done()
	emulate(t, d, shape{1, warp})
	text, err := Emit("model", testSHA, d.Program)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`add\.s32 (%r\d+), %r\d+, 128;\n\tsetp\.lt\.s32 (%p\d+), %r\d+, 320;\n\tmad\.wide\.s32 %a\d+, %r\d+, 4, %a\d+;\n\tmad\.wide\.s32 %a\d+, %r\d+, 124, %a\d+;\n\t@%p\d+ prefetch\.global\.L2 \[%a\d+\+16384\];`)
	if n := len(want.FindAll(text, -1)); n != 1 {
		t.Errorf("%d loads look ahead, want 1:\n%s", n, firstLines(string(text), "prefetch"))
	}
}

// firstLines are the lines of a text that have a word in them.
func firstLines(text, word string) string {
	var b strings.Builder
	for i, l := range strings.Split(text, "\n") {
		if strings.Contains(l, word) {
			fmt.Fprintf(&b, "%d: %s\n", i+1, l)
		}
	}
	return b.String()
}
