package sensitivity_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/xml"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/sensitivity"
	"github.com/ssmc/ssmc/tokenizer"
)

const model = "../golden/testdata/trained/mamba-en"

// scaled is mamba-en under a scheme, calibrated on a little text.
func scaled(t *testing.T, scheme string) *compile.Scaled {
	t.Helper()
	t.Setenv("SSMC_CHECK", "")
	o := compile.Options{Model: model, Scheme: scheme}
	o.Source, o.Samples, o.Length, o.Threads = "../golden/testdata/text/valid-excerpt.txt", 4, 64, 1
	s, err := compile.Scale(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func options(t *testing.T, scheme string) sensitivity.Options {
	t.Helper()
	tok, err := tokenizer.Load(filepath.Join(model, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := calibrate.ReadText("../golden/testdata/text/valid-excerpt.txt", tok, 3, 48, false)
	if err != nil {
		t.Fatal(err)
	}
	return sensitivity.Options{Base: sensitivity.Base(scheme), Windows: d.Windows, Rows: 24}
}

// A study says of every layer and tensor what it costs, and the figures hang together.
func TestStudy(t *testing.T) {
	s := tiny(t)
	study, err := sensitivity.Run(context.Background(), s, sensitivity.Options{Base: "w8a8", Windows: tinyIDs(3, 40, 2), Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	if len(study.Layers) != 5 || study.Layers[4].Layer != quant.Outside || study.Whole.KL <= 0 {
		t.Fatalf("%+v", study.Layers)
	}
	for i, l := range study.Layers {
		if l.KL <= 0 || l.KL > study.Whole.KL || l.SQNR < study.Whole.SQNR || l.Bytes*10 > l.FloatBytes*6 || l.Bytes*10 < l.FloatBytes*2 {
			t.Errorf("%+v in a whole of %+v", l, study.Whole)
		}
		if (l.Stream != nil) != (i < 4) || l.Stream != nil && (*l.Stream < 12 || *l.Stream > 50) {
			t.Errorf("behind layer %d the stream is at %v dB", l.Layer, l.Stream)
		}
	}
	var roles []string
	for _, x := range study.Tensors {
		if x.Layer == 3 {
			roles = append(roles, x.Role)
			if x.Output == nil || *x.Output < 15 || x.SQNR < 15 || x.SQNR > 60 || x.Amax < x.RMS {
				t.Errorf("%+v", x)
			}
		}
		if x.Role != "ssm.u" && x.Clipped > 0 {
			t.Errorf("%+v: only ssm.u has a percentile", x)
		}
	}
	for _, want := range []string{"norm.out", "ssm.x", "ssm.z", "ssm.u", "ssm.y", "ssm.in_proj", "ssm.conv", "ssm.x_proj", "ssm.dt_proj", "ssm.out_proj"} {
		if !slices.Contains(roles, want) {
			t.Errorf("nothing about %s in %v", want, roles)
		}
	}
	checkPage(t, study)
}

// checkPage holds that the page is whole, and needs nothing else.
func checkPage(t *testing.T, s *sensitivity.Study) {
	t.Helper()
	var page, again bytes.Buffer
	if err := sensitivity.WriteHTML(&page, s); err != nil {
		t.Fatal(err)
	}
	if err := sensitivity.WriteHTML(&again, s); err != nil || !bytes.Equal(page.Bytes(), again.Bytes()) {
		t.Errorf("the same study gives another page: %v", err)
	}
	text := page.String()
	for _, want := range []string{"embedding, head", "layers.3.out_proj", "What the rotations do", "class=\"before\"", "class=\"limit\""} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	for _, bad := range []string{"NaN", "http://", "https://", "<script", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is on the page", bad)
		}
	}
	svg := text[strings.Index(text, "<svg"):]
	d := xml.NewDecoder(strings.NewReader(svg[:strings.Index(svg, "</svg>")+6]))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("a picture is broken: %v", err)
		}
	}
}

// What a search writes is a scheme, and it is not worse by the search's own measures.
func TestPercentiles(t *testing.T) {
	s := scaled(t, "w8a8")
	found, file, err := sensitivity.Percentiles(context.Background(), s, "found", options(t, "w8a8"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Choices) != 6 || found.After.KL > found.Before.KL {
		t.Fatalf("%d layers, %+v after %+v", len(found.Choices), found.After, found.Before)
	}
	scheme, kept := parsed(t, file), 0
	for _, c := range found.Choices {
		for _, x := range c.Tried {
			if x.Output > c.Tried[c.Best].Output {
				t.Errorf("layer %d: %+v is better than %+v", c.Layer, x, c.Tried[c.Best])
			}
		}
		want := `{"percentile":0.99999}`
		if c.Kept {
			want = c.Tried[c.Best].Observer
			kept++
		}
		got, err := scheme.Value(quant.SSMU, c.Layer).Observe.MarshalJSON()
		if err != nil || string(got) != want {
			t.Errorf("layer %d: the scheme observes by %s, want %s (%v)", c.Layer, got, want, err)
		}
	}
	if (kept > 0) != (found.After.KL < found.Before.KL) {
		t.Errorf("%d changes were kept: %+v after %+v", kept, found.After, found.Before)
	}
	if _, _, err := sensitivity.Percentiles(context.Background(), scaled(t, "w8a16"), "found", options(t, "w8a16")); err == nil {
		t.Error("a scheme without codes of ssm.u is searched")
	}
}

func parsed(t *testing.T, f *quant.SchemeFile) *quant.Scheme {
	t.Helper()
	text, err := f.JSON()
	if err != nil {
		t.Fatal(err)
	}
	s, err := quant.ParseScheme(f.Scheme, ".", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tinyIDs are windows for mamba-tiny, which has no tokenizer.
func tinyIDs(n, length int, seed uint64) [][]int32 {
	list := make([][]int32, n)
	for i := range list {
		for range length {
			seed = seed*6364136223846793005 + 1442695040888963407
			list[i] = append(list[i], int32(seed>>33%256))
		}
	}
	return list
}

// tiny is mamba-tiny under w8a8.
func tiny(t *testing.T) *compile.Scaled {
	t.Helper()
	t.Setenv("SSMC_CHECK", "")
	var raw []byte
	for _, w := range tinyIDs(4, 40, 1) {
		for _, id := range w {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(id))
		}
	}
	path := filepath.Join(t.TempDir(), "ids.safetensors")
	if err := loader.Write(path, []loader.Tensor{{Name: "input_ids", DType: loader.I32, Shape: []int{4, 40}, Data: raw}}, nil); err != nil {
		t.Fatal(err)
	}
	o := compile.Options{Model: "../golden/testdata/mamba-tiny", Scheme: "w8a8"}
	o.Source, o.Threads = path, 1
	s, err := compile.Scale(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Mixed precision takes the cheapest layers, as many as the budget allows.
func TestMix(t *testing.T) {
	smaller := parsed(t, &quant.SchemeFile{Scheme: "four", Extends: "w8a8", Weights: []quant.Rule{fourBits("ssm.in_proj"), fourBits("ssm.out_proj")}})
	s := tiny(t)
	all := mix(t, s, smaller, sensitivity.Budget{KL: 100})
	if len(all.Smaller) != 4 || len(all.Order) != 4 || all.Bytes >= all.Base {
		t.Fatalf("%+v", all)
	}
	bytes := mix(t, s, smaller, sensitivity.Budget{Bytes: all.Base - all.Order[0].Saved - 1})
	if len(bytes.Smaller) != 2 || !slices.Contains(bytes.Smaller, all.Order[0].Layer) || !slices.Contains(bytes.Smaller, all.Order[1].Layer) {
		t.Errorf("two layers are needed: %+v", bytes)
	}
	limit := (all.Found.KL + bytes.Found.KL) / 2
	if kl := mix(t, s, smaller, sensitivity.Budget{KL: limit}); len(kl.Smaller) < 2 || len(kl.Smaller) > 3 || kl.Found.KL > limit {
		t.Errorf("within %v: %+v", limit, kl)
	}
	for i := 1; i < len(all.Order); i++ {
		a, b := all.Order[i-1], all.Order[i]
		if a.KL/float64(a.Saved) > b.KL/float64(b.Saved)+1e-15 || math.IsNaN(a.KL) {
			t.Errorf("%+v stands before %+v", a, b)
		}
	}
	o := sensitivity.Options{Base: "w8a8", Windows: tinyIDs(1, 30, 2)}
	for _, b := range []sensitivity.Budget{{Bytes: 1}, {KL: 1e-9}} {
		if _, _, err := sensitivity.Mix(context.Background(), s, smaller, "mixed", b, o); err == nil {
			t.Errorf("%+v is met", b)
		}
	}
	other, err := quant.LoadScheme("naive-w8a8")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := sensitivity.Mix(context.Background(), s, other, "mixed", sensitivity.Budget{KL: 1}, o); err == nil || !strings.Contains(err.Error(), "rotations") {
		t.Errorf("layers of other rotations: %v", err)
	}
}

func fourBits(role string) quant.Rule {
	i4, group := quant.I4, quant.Granularity{Kind: quant.PerGroup, Group: 32}
	return quant.Rule{Name: role, Entry: quant.Entry{Type: &i4, Scale: &group}}
}

func mix(t *testing.T, s *compile.Scaled, smaller *quant.Scheme, b sensitivity.Budget) *sensitivity.Mixed {
	t.Helper()
	m, file, err := sensitivity.Mix(context.Background(), s, smaller, "mixed", b, sensitivity.Options{Base: "w8a8", Windows: tinyIDs(3, 60, 2)})
	if err != nil {
		t.Fatal(err)
	}
	scheme := parsed(t, file)
	for i := range 4 {
		want := quant.I8
		if slices.Contains(m.Smaller, i) {
			want = quant.I4
		}
		if got := scheme.Weight(quant.InProj, i).Type; got != want {
			t.Errorf("layer %d has in_proj in %s, want %s", i, got, want)
		}
	}
	return m
}
