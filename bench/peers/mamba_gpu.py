#!/usr/bin/env python3
"""Time a Mamba checkpoint's shape in PyTorch with the mamba_ssm kernels, in float16: decode of one sequence by a CUDA graph, and prefill. Prints JSON.

    mamba_gpu.py CHECKPOINT --prompt N --generate N --repeat N

The weights are random here as there: only the shape is read.
"""
import argparse, json, pathlib, time


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint", type=pathlib.Path)
    p.add_argument("--prompt", type=int, required=True)
    p.add_argument("--generate", type=int, required=True)
    p.add_argument("--repeat", type=int, required=True)
    a = p.parse_args()
    import mamba_ssm, torch
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel
    from mamba_ssm.utils.generation import InferenceParams

    c = json.loads((a.checkpoint / "config.json").read_text())
    layer = {"layer": "Mamba2"} if c["model_type"] == "mamba2" else {"layer": "Mamba1"}
    config = MambaConfig(d_model=c["hidden_size"], n_layer=c["num_hidden_layers"], vocab_size=c["vocab_size"], ssm_cfg=layer)
    model = MambaLMHeadModel(config, device="cuda", dtype=torch.float16).eval()
    ids = torch.randint(0, c["vocab_size"], (1, a.prompt), device="cuda")

    def timed(work):
        best = float("inf")
        for i in range(a.repeat + 1):  # the first one only warms
            torch.cuda.synchronize()
            begin = time.perf_counter()
            work()
            torch.cuda.synchronize()
            if i:
                best = min(best, time.perf_counter() - begin)
        return best

    with torch.inference_mode():
        prefill = timed(lambda: model(ids, num_last_tokens=1))
        state = InferenceParams(max_seqlen=a.prompt + a.generate + 8, max_batch_size=1)
        state.key_value_memory_dict = model.allocate_inference_cache(1, state.max_seqlen, dtype=torch.float16)
        state.seqlen_offset = 1
        token = ids[:, :1].clone()
        step = lambda: model(token, inference_params=state, num_last_tokens=1)
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()

        def decode():
            for _ in range(a.generate):
                graph.replay()
                torch.cuda.synchronize()  # each token is needed before the next

        decoded = timed(decode)
    print(json.dumps(dict(decode_tokens_per_s=a.generate / decoded, prefill_tokens_per_s=a.prompt / prefill, how="float16, CUDA graph",
                          versions=f"torch {torch.__version__}, mamba_ssm {mamba_ssm.__version__}")))


if __name__ == "__main__":
    main()
