// Package family turns a checkpoint into a graph: which family it is of, what its configuration means, which tensors it must hold,
// and the composition of ops that it computes.
//
// Each family is one file (mamba.go, mamba2.go, falcon_mamba.go) that reads the configuration into a plain description and puts the
// blocks of blocks.go together. Four rules hold for all of them, because fusion relies on them:
//
//   - Weights are cut, not activations. The published in_proj that gives x and z at once is two linears on slices of the one weight.
//     Slices, and things like A = -exp(A_log), are ordinary ops on weight values; the pass fold-constants evaluates them once.
//   - The residual stream is f32, whatever the weights are. The rows whose logits are wanted are gathered before the final norm.
//   - Values are named for their role: embed, layers.3.x, layers.3.dt, layers.3.h (the residual stream after the layer), final_norm,
//     logits; states layers.3.conv and layers.3.ssm.
//   - Values and weights that a quantization scheme may store otherwise carry a role (ssm.u, norm.out, ssm.in_proj): schemes speak of roles,
//     never of tensors. blocks.go and the mixers mark them.
//
// A checkpoint that does not fit is refused with everything that is wrong with it: first its configuration, then its tensors.
package family

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/internal/spell"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
)

// Family is one kind of model.
type Family uint8

// The families that can be built. Original Mamba and Mamba-2 checkpoints are of the same families under other names.
const (
	None Family = iota
	Mamba
	Mamba2
	FalconMamba
	numFamilies
)

// families says how each is named in config.json.
var families = [numFamilies]struct {
	name  string // model_type
	class string // architectures
}{
	None:        {name: "none"},
	Mamba:       {"mamba", "MambaForCausalLM"},
	Mamba2:      {"mamba2", "Mamba2ForCausalLM"},
	FalconMamba: {"falcon_mamba", "FalconMambaForCausalLM"},
}

// builders says how each is built.
var builders = [numFamilies]func(c *checkpoint) (*ir.Module, error){
	Mamba:       buildMamba,
	Mamba2:      buildMamba2,
	FalconMamba: buildFalconMamba,
}

// String is the family's model_type.
func (f Family) String() string {
	if f >= numFamilies {
		return "family?"
	}
	return families[f].name
}

// Supported lists the families that can be built.
func Supported() []string {
	var names []string
	for f := None + 1; f < numFamilies; f++ {
		names = append(names, f.String())
	}
	return names
}

// known are families that people will try and that are not built yet.
var known = []string{
	"bamba", "falcon_h1", "falcon", "gemma", "gemma2", "gemma3", "gpt2", "gpt_neox", "granitemoehybrid", "griffin", "hyena", "jamba", "lfm2",
	"llama", "longformer", "minimax", "mistral", "mixtral", "nemotron_h", "phi", "phi3", "plamo2", "qwen2", "qwen3", "qwen3_next",
	"recurrent_gemma", "retnet", "rwkv", "s4", "s5", "vim", "zamba", "zamba2",
}

// Detect says which family a checkpoint is of, without reading more than its configuration.
func Detect(c *loader.Checkpoint) (Family, error) {
	config := c.Config
	kind := config.String("model_type", "")
	for f := None + 1; f < numFamilies; f++ {
		if kind == families[f].name {
			return f, nil
		}
	}
	if isOriginal(config) {
		return detectOriginal(config)
	}
	classes := config.Strings("architectures", nil)
	if kind == "" {
		for f := None + 1; f < numFamilies; f++ {
			if slices.Contains(classes, families[f].class) {
				return f, nil
			}
		}
	}
	if err := config.Problems().Err(); err != nil {
		return None, err
	}
	return None, unsupported(config, kind, classes)
}

// isOriginal says whether a configuration is the original package's, which names no family.
func isOriginal(config *loader.Config) bool {
	return !config.Has("model_type") && config.Has("d_model") && config.Has("n_layer")
}

// detectOriginal tells the original package's models apart.
func detectOriginal(config *loader.Config) (Family, error) {
	switch layer := config.Object("ssm_cfg").String("layer", "Mamba1"); layer {
	case "Mamba1":
		return Mamba, nil
	case "Mamba2":
		return Mamba2, nil
	default:
		return None, refuse(config, "ssm_cfg.layer", fmt.Sprintf("is %q", layer), `the layers that can be built are "Mamba1" and "Mamba2"`)
	}
}

// refuse is an error about one key of the configuration.
func refuse(config *loader.Config, key, what, fix string) error {
	var p loader.Problems
	p.Add(config.Where(key), what, fix)
	return p.Err()
}

// unsupported says by name what the model is, and what can be built.
func unsupported(config *loader.Config, kind string, classes []string) error {
	can := "the families that can be built are " + strings.Join(Supported(), ", ")
	switch {
	case kind == "" && len(classes) == 0:
		return refuse(config, "model_type", "is missing, and d_model and n_layer, by which the original Mamba package's models are known, are not both there",
			"add \"model_type\"; "+can)
	case kind == "":
		return refuse(config, "architectures", fmt.Sprintf("is %q, which is not supported", classes), can)
	case slices.Contains(known, kind):
		return refuse(config, "model_type", fmt.Sprintf("is %q, a family that is not supported yet", kind), can)
	}
	if near := spell.Nearest(kind, Supported()); near != "" {
		can = fmt.Sprintf("if %q is meant, write that; %s", near, can)
	}
	return refuse(config, "model_type", fmt.Sprintf("is %q, a family that is not known", kind), can)
}

// Build makes the graph of a checkpoint. The graph's weights read from the checkpoint's mapped files, so it must stay open.
func Build(c *loader.Checkpoint) (*ir.Module, error) {
	f, err := Detect(c)
	if err != nil {
		return nil, err
	}
	m, err := builders[f](newCheckpoint(c, f))
	if err != nil {
		return nil, fmt.Errorf("%s: building %s: %w", c.Dir, f, err)
	}
	return m, nil
}
