package family

import (
	"fmt"
	"slices"

	"github.com/ssmc/ssmc/internal/spell"
)

// The original package (mamba_ssm) writes other keys than transformers: d_model, n_layer, and the mixer's arguments in ssm_cfg. The
// tensors are the same but for the embedding's name, the rows that pad the vocabulary, and a head that is stored although it is tied.

// Arguments that the package's two mixers take. It passes ssm_cfg to them as it is, so any other key would be an error there as well.
// Those that only choose initial values or a faster way are known and not read.
var (
	s6Args = []string{"layer", "d_state", "d_conv", "expand", "dt_rank", "conv_bias", "bias",
		"dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path"}
	ssdArgs = []string{"layer", "d_state", "d_conv", "expand", "headdim", "d_ssm", "ngroups", "conv_bias", "bias", "rmsnorm", "norm_before_gate",
		"dt_limit", "D_has_hdim", "conv_init", "A_init_range", "dt_min", "dt_max", "dt_init_floor", "chunk_size", "use_mem_eff_path",
		"process_group", "sequence_parallel"}
)

// readOriginal reads what both models of the original package have.
func readOriginal(c *checkpoint, args []string) (backbone, *reader) {
	r := &reader{Config: c.Config}
	bb := backbone{
		vocab:  r.SizeRequired("vocab_size"),
		width:  r.SizeRequired("d_model"),
		layers: r.SizeRequired("n_layer"),
		tied:   r.Bool("tie_embeddings", true),
		norm:   norm{eps: 1e-5, layer: !r.Bool("rms_norm", false)},
		bos:    -1,
	}
	if multiple := r.Size("pad_vocab_size_multiple", 1); bb.vocab%multiple != 0 {
		bb.vocab += multiple - bb.vocab%multiple
	}
	if n := r.Int("d_intermediate", 0); n > 0 {
		r.Problems().Add(r.Where("d_intermediate"), fmt.Sprintf("is %d: blocks with an MLP are not supported", n), "only models with d_intermediate 0 can be built")
	}
	if list := r.Ints("attn_layer_idx", nil); len(list) > 0 {
		r.Problems().Add(r.Where("attn_layer_idx"), fmt.Sprintf("lists %d layers: attention is not supported in this family", len(list)), "only models without attention layers can be built")
	}
	ssm := &reader{Config: r.Object("ssm_cfg")}
	for _, key := range ssm.Keys() {
		if !slices.Contains(args, key) {
			fix := "remove the key if it changes nothing"
			if near := spell.Nearest(key, args); near != "" {
				fix = fmt.Sprintf("if %q is meant, write that", near)
			}
			r.Problems().Add(ssm.Where(key), "is not an argument of this mixer", fix)
		}
	}
	c.layers("n_layer", bb.layers)
	return bb, ssm
}

func readOriginalMamba(c *checkpoint) (backbone, s6) {
	bb, r := readOriginal(c, s6Args)
	return bb, s6{
		width: bb.width,
		inner: r.expanded("expand", 2, bb.width),
		state: r.Size("d_state", 16),
		rank:  r.rank("dt_rank", bb.width),
		taps:  r.Size("d_conv", 4),

		bias:     r.Bool("bias", false),
		convBias: r.Bool("conv_bias", true),
		act:      activations[0],
	}
}

func readOriginalMamba2(c *checkpoint) (backbone, ssd) {
	bb, r := readOriginal(c, ssdArgs)
	inner := r.expanded("expand", 2, bb.width)
	m := ssd{
		width:   bb.width,
		headDim: r.Size("headdim", 64),
		groups:  r.Size("ngroups", 1),
		state:   r.Size("d_state", 128),
		taps:    r.Size("d_conv", 4),

		bias:      r.Bool("bias", false),
		convBias:  r.Bool("conv_bias", true),
		act:       activations[0],
		gatedNorm: r.Bool("rmsnorm", true),
		normFirst: r.Bool("norm_before_gate", false),
		eps:       1e-5,
	}
	m.lo, m.hi = r.limits("dt_limit")
	if n := r.Size("d_ssm", inner); n != inner {
		r.Problems().Add(r.Where("d_ssm"), fmt.Sprintf("is %d of %d channels: the others would be an MLP, which is not supported", n, inner), "only models whose d_ssm is expand * d_model can be built")
	}
	if r.Bool("D_has_hdim", false) {
		r.Problems().Add(r.Where("D_has_hdim"), "is true: a skip weight for each channel is not supported", "only models with one D a head can be built")
	}
	if m.heads = inner / m.headDim; m.heads*m.headDim != inner {
		r.Problems().Add(r.Where("headdim"), fmt.Sprintf("is %d, which does not divide the %d channels", m.headDim, inner), "correct headdim or expand")
	}
	r.divides("ngroups", m.groups, m.heads)
	r.groupWidth("d_state", m.groups, m.state)
	return bb, m
}
