#!/usr/bin/env python3
"""Write random-weight checkpoints with published shapes in the Hugging Face layout.

    make_checkpoint.py --out DIR [--models mamba-130m,...] [--dtype f32|bf16] [--seed 0] [--text FILE...]

Needs numpy and, with --text, tokenizers; no torch. The weights are random; the shapes, the names and the initial values
of A_log, D and dt_bias are those of the published models, so that speed and memory are those of the real thing.
"""
import argparse, json, math, pathlib, struct, sys
import numpy as np

SPECS = {
    # state-spaces/mamba-130m-hf and its larger kin
    "mamba-130m": dict(kind="mamba", hidden=768, layers=24, state=16, vocab=50280),
    "mamba-370m": dict(kind="mamba", hidden=1024, layers=48, state=16, vocab=50280),
    "mamba-1.4b": dict(kind="mamba", hidden=2048, layers=48, state=16, vocab=50280),
    "mamba-2.8b": dict(kind="mamba", hidden=2560, layers=64, state=16, vocab=50280),
    # state-spaces/mamba2-130m (vocabulary padded to a multiple of 16)
    "mamba2-130m": dict(kind="mamba2", hidden=768, layers=24, state=128, head_dim=64, groups=1, vocab=50288),
    # a tiny one, for trying the scripts
    "mamba-tiny": dict(kind="mamba", hidden=64, layers=2, state=16, vocab=1024),
}


class Writer:
    """Streams tensors to a safetensors file: shapes are added first, and the data, made by a function, when it is written,
    so that memory stays at one tensor. bf16 is made by hand because numpy has no such type."""

    def __init__(self, dtype):
        self.dtype, self.t = dtype, {}

    def add(self, name, shape, make, keep32=False):
        self.t[name] = (shape, make, self.dtype == "bf16" and not keep32)

    def parameters(self):
        return sum(math.prod(shape) for shape, _, _ in self.t.values())

    def save(self, path):
        head, off = {"__metadata__": {"format": "pt"}}, 0
        for name, (shape, _, half) in self.t.items():
            size = math.prod(shape) * (2 if half else 4)
            head[name] = {"dtype": "BF16" if half else "F32", "shape": list(shape), "data_offsets": [off, off + size]}
            off += size
        h = json.dumps(head, separators=(",", ":")).encode()
        h += b" " * (-len(h) % 8)
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(h)))
            f.write(h)
            for name, (shape, make, half) in self.t.items():
                x = np.ascontiguousarray(make(shape), dtype=np.float32)
                assert x.shape == tuple(shape), (name, x.shape, shape)
                if half:
                    u = x.view(np.uint32)
                    x = ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)
                f.write(x.tobytes())
        return off


class Random:
    """What the tensors are filled with."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def normal(self, scale=1.0):
        return lambda shape: self.rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02 * scale)

    def uniform(self, bound):
        return lambda shape: (self.rng.random(shape, dtype=np.float32) * 2 - 1) * np.float32(bound)

    def dt_bias(self, lo=1e-3, hi=1e-1, floor=1e-4):
        def make(shape):
            dt = np.maximum(np.exp(self.rng.random(shape) * (math.log(hi) - math.log(lo)) + math.log(lo)), floor)
            return dt + np.log(-np.expm1(-dt))  # inverse of softplus
        return make

    def log_uniform(self):
        return lambda shape: np.log(self.rng.random(shape) * 15 + 1)


def ones(shape):
    return np.ones(shape, dtype=np.float32)


def log_range(shape):
    """A_log of Mamba: log 1, 2, ... N for each channel."""
    return np.log(np.tile(np.arange(1, shape[1] + 1, dtype=np.float32), (shape[0], 1)))


def mamba(s, w, r):
    H, L, N, V = s["hidden"], s["layers"], s["state"], s["vocab"]
    E, R = 2 * H, -(-H // 16)
    w.add("backbone.embeddings.weight", (V, H), r.normal())
    w.add("backbone.norm_f.weight", (H,), ones)
    for i in range(L):
        p = f"backbone.layers.{i}."
        w.add(p + "norm.weight", (H,), ones)
        p += "mixer."
        w.add(p + "in_proj.weight", (2 * E, H), r.normal())
        w.add(p + "conv1d.weight", (E, 1, 4), r.uniform(0.5))
        w.add(p + "conv1d.bias", (E,), r.uniform(0.5))
        w.add(p + "x_proj.weight", (R + 2 * N, E), r.normal())
        w.add(p + "dt_proj.weight", (E, R), r.uniform(R ** -0.5))
        w.add(p + "dt_proj.bias", (E,), r.dt_bias())
        w.add(p + "A_log", (E, N), log_range, True)
        w.add(p + "D", (E,), ones, True)
        w.add(p + "out_proj.weight", (H, E), r.normal(L ** -0.5))
    return dict(architectures=["MambaForCausalLM"], model_type="mamba", hidden_size=H, num_hidden_layers=L, state_size=N,
                vocab_size=V, intermediate_size=E, time_step_rank=R, conv_kernel=4, expand=2, use_bias=False, use_conv_bias=True,
                hidden_act="silu", layer_norm_epsilon=1e-5, residual_in_fp32=True, tie_word_embeddings=True,
                pad_vocab_size_multiple=8, time_step_min=1e-3, time_step_max=0.1, time_step_floor=1e-4, rescale_prenorm_residual=False,
                time_step_init_scheme="random", time_step_scale=1.0, initializer_range=0.1, bos_token_id=0, eos_token_id=0, pad_token_id=0,
                use_cache=True, use_mambapy=False)


def mamba2(s, w, r):
    H, L, N, V, P, G = s["hidden"], s["layers"], s["state"], s["vocab"], s["head_dim"], s["groups"]
    E = 2 * H
    heads, C = E // P, E + 2 * G * N
    w.add("backbone.embeddings.weight", (V, H), r.normal())
    w.add("backbone.norm_f.weight", (H,), ones)
    for i in range(L):
        p = f"backbone.layers.{i}."
        w.add(p + "norm.weight", (H,), ones)
        p += "mixer."
        w.add(p + "in_proj.weight", (2 * E + 2 * G * N + heads, H), r.normal())
        w.add(p + "conv1d.weight", (C, 1, 4), r.uniform(0.5))
        w.add(p + "conv1d.bias", (C,), r.uniform(0.5))
        w.add(p + "dt_bias", (heads,), r.dt_bias(), True)
        w.add(p + "A_log", (heads,), r.log_uniform(), True)
        w.add(p + "D", (heads,), ones, True)
        w.add(p + "norm.weight", (E,), ones)
        w.add(p + "out_proj.weight", (H, E), r.normal(L ** -0.5))
    return dict(architectures=["Mamba2ForCausalLM"], model_type="mamba2", hidden_size=H, num_hidden_layers=L, state_size=N,
                vocab_size=V, num_heads=heads, head_dim=P, n_groups=G, conv_kernel=4, expand=2, chunk_size=256, use_bias=False,
                use_conv_bias=True, hidden_act="silu", layer_norm_epsilon=1e-5, rms_norm=True, residual_in_fp32=True, norm_before_gate=False,
                tie_word_embeddings=True, pad_vocab_size_multiple=16, time_step_min=1e-3, time_step_max=0.1, time_step_floor=1e-4,
                time_step_rank=-(-H // 16), time_step_limit=[0.0, 1e30], initializer_range=0.1, bos_token_id=0, eos_token_id=0, pad_token_id=0,
                use_cache=True)


def tokenizer(texts, size, out):
    """A byte-level BPE; ids beyond the trained ones are filled with <|pad_N|> so that every id of the model has a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tr = trainers.BpeTrainer(vocab_size=min(size, 16384), special_tokens=["<|endoftext|>"], show_progress=False,
                             initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train([str(t) for t in texts], tr)
    tok.add_special_tokens([f"<|pad_{i}|>" for i in range(size - tok.get_vocab_size())])
    tok.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", bos_token="<|endoftext|>", eos_token="<|endoftext|>", model_max_length=1 << 20), indent=1))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--models", default="mamba-130m,mamba-370m,mamba2-130m")
    ap.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--text", nargs="*", type=pathlib.Path, help="text to train the tokenizer on (none: no tokenizer is written)")
    a = ap.parse_args()
    for m in a.models.split(","):
        if m not in SPECS:
            sys.exit(f"unknown model {m}; known: {', '.join(SPECS)}")
        s, w = SPECS[m], Writer(a.dtype)
        d = a.out / m
        d.mkdir(parents=True, exist_ok=True)
        cfg = {"mamba": mamba, "mamba2": mamba2}[s["kind"]](s, w, Random(a.seed))
        cfg["dtype"] = {"f32": "float32", "bf16": "bfloat16"}[a.dtype]
        if a.text:
            tokenizer(a.text, s["vocab"], d)
        n = w.save(d / "model.safetensors.tmp")
        (d / "model.safetensors.tmp").rename(d / "model.safetensors")
        (d / "generation_config.json").write_text(json.dumps(dict(bos_token_id=0, eos_token_id=0, pad_token_id=0)))
        (d / "config.json").write_text(json.dumps(cfg, indent=1, sort_keys=True))  # last: its presence says that the checkpoint is whole
        print(f"{m}: {w.parameters():,} parameters, {n:,} bytes")


if __name__ == "__main__":
    main()
