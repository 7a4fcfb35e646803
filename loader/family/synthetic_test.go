package family_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
	"github.com/ssmc/ssmc/loader/family"
)

// synthetic is a checkpoint made by a test: a configuration and tensors of random numbers.
type synthetic struct {
	config  map[string]any // what JSON holds
	raw     string         // config.json as text, in place of config
	tensors map[string]array
}

type array struct {
	shape []int
	data  []float32
}

// random makes a tensor; scale and offset set its statistics.
func random(r *rand.Rand, scale, offset float32, shape ...int) array {
	n := 1
	for _, d := range shape {
		n *= d
	}
	a := array{shape, make([]float32, n)}
	for i := range a.data {
		a.data[i] = scale*float32(r.NormFloat64()) + offset
	}
	return a
}

// write puts the checkpoint into a folder.
func (s *synthetic) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := []byte(s.raw)
	if s.raw == "" {
		var err error
		if text, err = json.Marshal(s.config); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	var list []loader.Tensor
	for name, a := range s.tensors {
		tensor := loader.Tensor{Name: name, DType: loader.F32, Shape: a.shape, Data: make([]byte, 4*len(a.data))}
		if err := loader.Narrow(tensor.Data, loader.F32, a.data); err != nil {
			t.Fatal(err)
		}
		list = append(list, tensor)
	}
	if err := loader.Write(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// build writes, opens and builds it.
func (s *synthetic) build(t *testing.T) (*ir.Module, error) {
	t.Helper()
	c, err := loader.Open(s.write(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return family.Build(c)
}

// newMamba is a Mamba of two layers, width 6, 12 channels, 3 states.
func newMamba() *synthetic {
	r := rand.New(rand.NewPCG(1, 2))
	s := &synthetic{
		config: map[string]any{
			"model_type": "mamba", "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 2, "state_size": 3,
			"conv_kernel": 3, "time_step_rank": 2, "eos_token_id": []int{3, 4},
		},
		tensors: map[string]array{"backbone.embeddings.weight": random(r, 1, 0, 11, 6), "backbone.norm_f.weight": random(r, 0.2, 1, 6)},
	}
	for _, layer := range []string{"backbone.layers.0.", "backbone.layers.1."} {
		for name, a := range map[string]array{
			"norm.weight":           random(r, 0.2, 1, 6),
			"mixer.in_proj.weight":  random(r, 0.5, 0, 24, 6),
			"mixer.conv1d.weight":   random(r, 0.5, 0, 12, 1, 3),
			"mixer.conv1d.bias":     random(r, 0.5, 0, 12),
			"mixer.x_proj.weight":   random(r, 0.5, 0, 8, 12),
			"mixer.dt_proj.weight":  random(r, 0.5, 0, 12, 2),
			"mixer.dt_proj.bias":    random(r, 0.5, -1, 12),
			"mixer.A_log":           random(r, 0.5, 0, 12, 3),
			"mixer.D":               random(r, 0.5, 0, 12),
			"mixer.out_proj.weight": random(r, 0.5, 0, 6, 12),
		} {
			s.tensors[layer+name] = a
		}
	}
	return s
}

// newMamba2 is an original Mamba-2 of two layers, width 8, 4 heads of 4 channels in 2 groups, 3 states.
func newMamba2() *synthetic {
	r := rand.New(rand.NewPCG(3, 4))
	s := &synthetic{
		config: map[string]any{
			"d_model": 8, "n_layer": 2, "vocab_size": 9, "pad_vocab_size_multiple": 4, "rms_norm": true,
			"ssm_cfg": map[string]any{"layer": "Mamba2", "d_state": 3, "d_conv": 3, "headdim": 4, "ngroups": 2},
		},
		tensors: map[string]array{"backbone.embedding.weight": random(r, 1, 0, 12, 8), "backbone.norm_f.weight": random(r, 0.2, 1, 8)},
	}
	for _, layer := range []string{"backbone.layers.0.", "backbone.layers.1."} {
		for name, a := range map[string]array{
			"norm.weight":           random(r, 0.2, 1, 8),
			"mixer.in_proj.weight":  random(r, 0.5, 0, 48, 8),
			"mixer.conv1d.weight":   random(r, 0.5, 0, 28, 1, 3),
			"mixer.conv1d.bias":     random(r, 0.5, 0, 28),
			"mixer.dt_bias":         random(r, 0.5, -1, 4),
			"mixer.A_log":           random(r, 0.5, 0, 4),
			"mixer.D":               random(r, 0.5, 0, 4),
			"mixer.norm.weight":     random(r, 0.2, 1, 16),
			"mixer.out_proj.weight": random(r, 0.5, 0, 8, 16),
		} {
			s.tensors[layer+name] = a
		}
	}
	return s
}

// ssm is the ssm_cfg of an original checkpoint.
func (s *synthetic) ssm() map[string]any { return s.config["ssm_cfg"].(map[string]any) }

// each does something to a tensor's name of both layers.
func each(leaf string, do func(name string)) {
	for _, layer := range []string{"backbone.layers.0.", "backbone.layers.1."} {
		do(layer + leaf)
	}
}

// add gives both layers a tensor.
func (s *synthetic) add(leaf string, shape ...int) {
	r := rand.New(rand.NewPCG(5, uint64(len(leaf))))
	each(leaf, func(name string) { s.tensors[name] = random(r, 0.5, 0.1, shape...) })
}

// remove takes a tensor from both layers.
func (s *synthetic) remove(leaf string) {
	each(leaf, func(name string) { delete(s.tensors, name) })
}

// refusals are changes to good checkpoints, with all parts of the message.
var refusals = []struct {
	name string
	from func() *synthetic
	do   func(s *synthetic)
	want []string
}{
	{"known family", newMamba, func(s *synthetic) { s.config["model_type"] = "jamba" },
		[]string{`"model_type": is "jamba", a family that is not supported yet`, "fix: the families that can be built are mamba, mamba2, falcon_mamba"}},
	{"misspelt family", newMamba, func(s *synthetic) { s.config["model_type"] = "falcon-mamba" },
		[]string{`is "falcon-mamba", a family that is not known`, `if "falcon_mamba" is meant`}},
	{"strange family", newMamba, func(s *synthetic) { s.config["model_type"] = "xyz" }, []string{`is "xyz", a family that is not known`, "fix: the families"}},
	{"no family", newMamba, func(s *synthetic) { delete(s.config, "model_type") }, []string{`"model_type": is missing`, "d_model"}},
	{"unknown class", newMamba, func(s *synthetic) {
		delete(s.config, "model_type")
		s.config["architectures"] = []string{"LlamaForCausalLM"}
	}, []string{`"architectures": is ["LlamaForCausalLM"], which is not supported`}},
	{"family of another type", newMamba, func(s *synthetic) { s.config["model_type"] = 5 }, []string{`"model_type": is 5, must be a string`}},
	{"original layer", newMamba2, func(s *synthetic) { s.ssm()["layer"] = "Mamba3" }, []string{`"ssm_cfg.layer": is "Mamba3"`}},

	{"missing tensors, all", newMamba, func(s *synthetic) {
		s.remove("mixer.D")
		delete(s.tensors, "backbone.norm_f.weight")
	}, []string{`"backbone.layers.0.mixer.D"`, `"backbone.layers.1.mixer.D"`, `"backbone.norm_f.weight"`, "is missing"}},
	{"wrong shapes, all", newMamba, func(s *synthetic) {
		s.add("mixer.D", 11)
		s.add("mixer.A_log", 12, 4)
	}, []string{"has shape [11], config.json implies [12]", "has shape [12 4], config.json implies [12 3]"}},
	{"unknown tensor", newMamba, func(s *synthetic) { s.add("moe.gate", 3) },
		[]string{`tensor "backbone.layers.0.moe.gate": family "mamba" has no such tensor`, "fix: remove"}},
	{"renamed tensor", newMamba, func(s *synthetic) {
		s.tensors["backbone.norm_f.wieght"] = s.tensors["backbone.norm_f.weight"]
		delete(s.tensors, "backbone.norm_f.weight")
	}, []string{`if it is "backbone.norm_f.weight" under another name`, `"backbone.norm_f.weight": is missing`}},
	{"bias that the configuration denies", newMamba, func(s *synthetic) { s.add("mixer.in_proj.bias", 24) }, []string{"mixer.in_proj.bias", "has no such tensor"}},
	{"bias that is not there", newMamba, func(s *synthetic) { s.config["use_bias"] = true },
		[]string{"mixer.in_proj.bias", "mixer.out_proj.bias", "is missing"}},
	{"LayerNorm without bias", newMamba2, func(s *synthetic) { delete(s.config, "rms_norm") }, []string{"backbone.layers.1.norm.bias", "backbone.norm_f.bias", "is missing"}},

	{"too many layers", newMamba, func(s *synthetic) { s.config["num_hidden_layers"] = 2000000000 },
		[]string{`"num_hidden_layers": is 2000000000, but the weights have layers up to backbone.layers.1`}},
	{"too few layers", newMamba, func(s *synthetic) { s.config["num_hidden_layers"] = 1 }, []string{`"num_hidden_layers": is 1`}},
	{"no layers", newMamba, func(s *synthetic) {
		s.tensors = map[string]array{"transformer.h.0.w": s.tensors["backbone.norm_f.weight"]}
	}, []string{"no tensor is named backbone.layers.0", `the first is "transformer.h.0.w"`}},
	{"a million layers, of one tensor", newMamba, func(s *synthetic) {
		s.config["num_hidden_layers"] = 1000000
		s.tensors["backbone.layers.999999.norm.weight"] = s.tensors["backbone.norm_f.weight"]
	}, []string{`tensor "backbone.layers.2.norm.weight": is missing`, "and 80 more problems"}},
	{"several keys, all", newMamba, func(s *synthetic) {
		s.config["hidden_size"], s.config["state_size"], s.config["hidden_act"], s.config["time_step_rank"] = 0, "x", "mish", -1
	}, []string{`"hidden_size"`, `"state_size"`, `"hidden_act": is "mish", an activation that is not supported`, `"time_step_rank": is -1`, "supported are silu"}},
	{"huge sizes", newMamba, func(s *synthetic) {
		s.config["hidden_size"], s.config["state_size"], s.config["intermediate_size"] = 2147483647, 2147483647, 2147483647
	}, []string{"config.json implies"}},
	{"eps", newMamba, func(s *synthetic) { s.config["layer_norm_epsilon"] = -1 }, []string{`"layer_norm_epsilon": is -1, must be from 0 to 1`}},

	{"d_intermediate", newMamba2, func(s *synthetic) { s.config["d_intermediate"] = 16 }, []string{`"d_intermediate": is 16: blocks with an MLP`}},
	{"attention", newMamba2, func(s *synthetic) { s.config["attn_layer_idx"] = []int{1} }, []string{`"attn_layer_idx": lists 1 layers`}},
	{"d_ssm", newMamba2, func(s *synthetic) { s.ssm()["d_ssm"] = 8 }, []string{`"ssm_cfg.d_ssm": is 8 of 16 channels`}},
	{"D_has_hdim", newMamba2, func(s *synthetic) { s.ssm()["D_has_hdim"] = true }, []string{`"ssm_cfg.D_has_hdim": is true`}},
	{"headdim", newMamba2, func(s *synthetic) { s.ssm()["headdim"] = 5 }, []string{`"ssm_cfg.headdim": is 5, which does not divide the 16 channels`}},
	{"groups", newMamba2, func(s *synthetic) { s.ssm()["ngroups"] = 3 }, []string{`"ssm_cfg.ngroups": is 3, which does not divide the 4 heads`}},
	{"group width", newMamba2, func(s *synthetic) { s.ssm()["d_state"] = 2147483647 }, []string{`"ssm_cfg.d_state"`, "too wide"}},
	{"unknown argument", newMamba2, func(s *synthetic) { s.ssm()["head_dim"] = 4 }, []string{`"ssm_cfg.head_dim": is not an argument`, `if "headdim" is meant`}},
	{"limits", newMamba2, func(s *synthetic) { s.ssm()["dt_limit"] = []float64{2, 1} }, []string{`"ssm_cfg.dt_limit": is [2 1], must be two bounds`}},
	{"original without sizes", newMamba2, func(s *synthetic) { s.config["vocab_size"] = nil }, []string{`"vocab_size": is missing`}},
	{"heads", newMamba, func(s *synthetic) {
		s.config["model_type"], s.config["num_heads"], s.config["head_dim"], s.config["n_groups"] = "mamba2", 3, 5, 1
	}, []string{`"num_heads": 3 heads of 5 are 15 channels, expand * hidden_size is 12`}},
}

// TestRefuses makes one change each.
func TestRefuses(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			s := c.from()
			c.do(s)
			m, err := s.build(t)
			if err == nil {
				t.Fatalf("was built:\n%s", m)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

// TestAccepts changes good checkpoints in ways that are none.
func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		name string
		from func() *synthetic
		do   func(s *synthetic)
		eos  []int
	}{
		{"as it is", newMamba, func(*synthetic) {}, []int{3, 4}},
		{"original", newMamba2, func(*synthetic) {}, nil},
		{"singular embedding", newMamba, func(s *synthetic) {
			s.tensors["backbone.embedding.weight"] = s.tensors["backbone.embeddings.weight"]
			delete(s.tensors, "backbone.embeddings.weight")
		}, []int{3, 4}},
		{"tied head stored", newMamba, func(s *synthetic) { s.tensors["lm_head.weight"] = s.tensors["backbone.embeddings.weight"] }, []int{3, 4}},
		{"untied without a head", newMamba, func(s *synthetic) { s.config["tie_word_embeddings"] = false }, []int{3, 4}},
		{"class in place of the type", newMamba, func(s *synthetic) {
			delete(s.config, "model_type")
			s.config["architectures"] = []string{"MambaForCausalLM"}
		}, []int{3, 4}},
		{"ignorable tensors", newMamba, func(s *synthetic) {
			for _, name := range []string{"mtp.layers.0.w", "a.rotary_emb.inv_freq", "embeddings.position_ids"} {
				s.tensors[name] = s.tensors["backbone.norm_f.weight"]
			}
		}, []int{3, 4}},
		{"intermediate_size wins over expand", newMamba, func(s *synthetic) { s.config["expand"], s.config["intermediate_size"] = 16, 12 }, []int{3, 4}},
		{"automatic rank", newMamba, func(s *synthetic) {
			s.config["time_step_rank"] = "auto"
			s.add("mixer.x_proj.weight", 7, 12)
			s.add("mixer.dt_proj.weight", 12, 1)
		}, []int{3, 4}},
		{"default end", newMamba, func(s *synthetic) { delete(s.config, "eos_token_id") }, []int{0}},
		{"no end", newMamba, func(s *synthetic) { s.config["eos_token_id"] = -1 }, nil},
		{"newer Infinity", newMamba2, func(s *synthetic) {
			s.ssm()["dt_limit"] = []any{0.0, map[string]string{"__float__": "Infinity"}}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.from()
			c.do(s)
			m, err := s.build(t)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(m.Meta.EOS, c.eos) {
				t.Errorf("eos %v, want %v", m.Meta.EOS, c.eos)
			}
			if again, err := ir.Parse(m.String()); err != nil || again.String() != m.String() {
				t.Errorf("the text does not read back: %v", err)
			}
		})
	}
}
