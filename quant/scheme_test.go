package quant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/internal/goldentest"
)

// show writes what a scheme resolves to in a layer: every role that is not f32 by default.
func show(s *Scheme, layer int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v: %d x %d, rotate stream %v ssm.y %v", s.Name, s.Extends, s.Calibrate.Samples, s.Calibrate.Length, s.Stream, s.Y)
	if tied, why := s.KeepsTie(); tied {
		b.WriteString(", tied\n")
	} else {
		fmt.Fprintf(&b, ", untied: %s\n", why)
	}
	for _, m := range s.Smooth {
		fmt.Fprintf(&b, "smooth %s %v\n", m.Role, m.Alpha)
	}
	line := func(role Role, from string, v any) {
		if from != "" {
			text, _ := json.Marshal(v)
			fmt.Fprintf(&b, "%-12s %s\n", role, text)
		}
	}
	for i, v := range s.Values(layer) {
		line(valueRoles[i].role, v.From, v)
	}
	for _, r := range append(s.weightNames(), "attn.q_proj", "mlp.up_proj") {
		w := s.Weight(r, layer)
		line(r, w.From, w)
	}
	return b.String()
}

// TestSchemes reads schemes and shows what they resolve to, or what is wrong with them.
func TestSchemes(t *testing.T) {
	datadriven.Walk(t, "testdata/scheme", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			layer := 0
			if d.HasArg("layer") {
				d.ScanArgs(t, "layer", &layer)
			}
			var s *Scheme
			var err error
			switch d.Cmd {
			case "scheme":
				s, err = ParseScheme("mine.yaml", "testdata", []byte(d.Input))
			case "builtin":
				s, err = LoadScheme(strings.TrimSpace(d.Input))
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			if err == nil && d.HasArg("layers") {
				var layers int
				d.ScanArgs(t, "layers", &layers)
				err = s.Check(layers)
			}
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			if d.HasArg("ok") {
				return "ok\n"
			}
			return show(s, layer)
		})
	})
}

// TestSchemaNames wants the schema and the tables of roles to know the same names.
func TestSchemaNames(t *testing.T) {
	var doc struct {
		Properties struct {
			Smooth struct{ PropertyNames struct{ Enum []string } }
		}
		Defs struct {
			ValueName  struct{ Enum []string }
			WeightName struct{ Pattern string }
			Shared     struct{ Enum []string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(SchemeSchema, &doc); err != nil {
		t.Fatal(err)
	}
	sorted := func(names []string) []string { return slices.Sorted(slices.Values(names)) }
	same(t, "value names", sorted(doc.Defs.ValueName.Enum), sorted(entryNames("values")))
	same(t, "smooth names", sorted(doc.Properties.Smooth.PropertyNames.Enum), sorted(entryNames("smooth")))
	for _, r := range doc.Defs.Shared.Enum {
		if !IsValueRole(Role(r)) {
			t.Errorf("shared role %s", r)
		}
	}
	for _, name := range []string{"*", "ssm.*", "attn.*", "mlp.*", "expert.*", "embed", "head", "router", "attn.q_proj", "expert.w1", "ssm.conv", "ssm.params", "ssm.in_proj",
		"ssm.x_proj", "ssm.dt_proj", "ssm.out_proj", "ssm.u", "attn.", "attn.Q", "moe.*", "", "ssm", "attn.q*", "embed.x"} {
		text, _ := json.Marshal(map[string]any{"scheme": "a", "weights": map[string]any{name: map[string]any{}}})
		_, err := ParseSchemeFile("x", text)
		s, err2 := schema()
		if err2 != nil {
			t.Fatal(err2)
		}
		var doc any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if bySchema := s.Validate(doc); (bySchema == nil) != (err == nil) {
			t.Errorf("weight name %q: the schema says %v, the table %v", name, bySchema, err)
		}
	}
}

// TestSchemaCopy keeps docs/scheme.schema.json the copy of the schema that is used.
func TestSchemaCopy(t *testing.T) {
	goldentest.File(t, filepath.Join("..", "docs", "scheme.schema.json"), string(SchemeSchema))
}

// everything is a file with every kind of entry.
func everything() *SchemeFile {
	i4, i8, f32, full, tied := I4, I8, F32, Full, true
	return &SchemeFile{
		Scheme: "mine", Extends: "w8a8", Tied: &tied,
		Calibrate: &Calibrate{Samples: 24, Length: 256, Carry: true},
		Rotate:    &Rotations{Stream: Rotation{Hadamard: true, Signs: true, Seed: 7}, Y: Rotation{Hadamard: true}},
		Smooth:    &[]Smooth{{NormOut, 0.25}},
		Values: []Rule{
			{Name: "ssm.x", Entry: Entry{Type: &i8, Share: &[]Role{SSMZ}, Range: &full}},
			{Name: "ssm.z", Entry: Entry{Range: &full}},
			{Name: "ssm.u", Entry: Entry{Scan: &f32, Observe: &Observer{EMAPercentile, 0.9995, 0.02}}},
			{Name: "norm.out", Entry: Entry{Scale: &Granularity{Kind: PerToken}, Observe: &Observer{Kind: NoObserver}}},
		},
		Weights: []Rule{{Name: "ssm.*", Entry: Entry{Type: &i4, Scale: &Granularity{Kind: PerGroup, Group: 64}, Method: &Method{true, 0.05}, Expand: &i8}}},
		Overrides: []Override{
			{Layers: []Layers{{0, 0}, {20, 23}}, Values: []Rule{{Name: "ssm.u", Entry: Entry{Observe: &Observer{Kind: Percentile, Alpha: 0.9999}}}}},
			{Layers: []Layers{{3, 3}}, Values: []Rule{{Name: "ssm.u", Entry: Entry{Scale: &Granularity{Kind: PerCell, Heads: 4, Channels: 2}}}},
				Weights: []Rule{{Name: "ssm.out_proj", Entry: Entry{Type: &i8}}}},
		},
	}
}

// TestWriteScheme writes a file, reads it, and writes the same.
func TestWriteScheme(t *testing.T) {
	text, err := everything().JSON()
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseSchemeFile("mine", text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.JSON()
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("%s\nbecomes (%v)\n%s", text, err, again)
	}
	path := filepath.Join(t.TempDir(), "mine.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadScheme(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		layer int
		want  Observer
	}{{0, Observer{Kind: Percentile, Alpha: 0.9999}}, {1, Observer{EMAPercentile, 0.9995, 0.02}}, {21, Observer{Kind: Percentile, Alpha: 0.9999}}, {3, Observer{}}} {
		if got := s.Value(SSMU, c.layer).Observe; got != c.want {
			t.Errorf("layer %d: ssm.u is observed by %+v, want %+v", c.layer, got, c.want)
		}
	}
	if w := s.Weight(OutProj, 3); w.Type != I8 || w.Scale.Kind != PerChannel || w.Method.GPTQ || w.Expand {
		t.Errorf("out_proj of layer 3: %+v", w)
	}
	if s.Value("no.role", 0).Type != F32 || s.Weight("no.role", 0).Type != F32 {
		t.Error("a role that is none has a type")
	}
	if _, err := (&SchemeFile{Scheme: "a b"}).JSON(); err == nil {
		t.Error("a name with a space is written")
	}
	i4 := I4
	if _, err := (&SchemeFile{Scheme: "a", Values: []Rule{{Name: "ssm.u", Entry: Entry{Type: &i4}}}}).JSON(); err == nil {
		t.Error("an i4 value is written")
	}
}

// TestExtends follows files from folder to folder, and circles.
func TestExtends(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("base/low.yaml", "scheme: low\nextends: w8a16\nweights: {head: {type: bf16}}\n")
	write("base/mid.yaml", "scheme: mid\nextends: low.yaml\n")
	top := write("top.yaml", "scheme: top\nextends: base/mid.yaml\n")
	s, err := LoadScheme(top)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "extends", s.Extends, []string{"mid", "low", "w8a16"})
	if w := s.Weight(Head, Outside); w.Type != BF16 || w.From != "low: weights.head" {
		t.Errorf("head: %+v", w)
	}
	circle := write("circle.yaml", "scheme: circle\nextends: circle.yaml\n")
	if _, err := LoadScheme(circle); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("a circle: %v", err)
	}
	if _, err := LoadScheme(dir); err == nil {
		t.Error("a folder is a scheme")
	}
	long := write("long.yaml", "scheme: a\n#"+strings.Repeat("x", maxSchemeBytes))
	if _, err := LoadScheme(long); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a file that is too long: %v", err)
	}
}

// FuzzScheme reads anything: no panic, and what is read is written and read alike.
func FuzzScheme(f *testing.F) {
	for _, name := range BuiltinSchemes() {
		data, err := builtin.ReadFile("schemes/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	text, err := everything().JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, s := range []string{"", "[[[[", "- - - -", "scheme: a\noverrides: [{roles: [head], weights: {type: bf16}}]", "scheme: &a b\nvalues: *a", "{\"scheme\": \"a\", \"values\": {}}",
		"scheme: a\nvalues: {ssm.u: {scale: {group: 9, heads: 2, channels: 2}, observe: {percentile: 1, ema_percentile: 1}}}", "scheme: a\noverrides: [{layers: 9-3, values: {}}]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseSchemeFile("x", data)
		if err != nil {
			return
		}
		text, err := file.JSON()
		if err != nil {
			t.Fatalf("%q was read, but is not written: %v", data, err)
		}
		again, err := ParseSchemeFile("x", text)
		if err != nil {
			t.Fatal(err)
		}
		second, err := again.JSON()
		if err != nil || !bytes.Equal(text, second) {
			t.Fatalf("%q is written as %s and then as %s (%v)", data, text, second, err)
		}
		if file.Extends != "" && !slices.Contains(BuiltinSchemes(), file.Extends) {
			return // a fuzzer must not open files
		}
		if s, err := extendAll(file, ""); err == nil {
			show(s, 0)
		}
	})
}
