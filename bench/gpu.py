#!/usr/bin/env python3
"""Compile for a GPU, measure, and print a table. gpu.sh prepares what this needs and calls it.

Each artefact is made once; those of the same ssmc, target and flags are used again. Weights are random, so the windows that the 8-bit scales are
calibrated on say nothing of quality: two of 64 tokens, which are enough for every scale to be a number, since the float model runs on the CPU for them.
All samples go to WORK/results.json.
"""
import argparse, hashlib, json, pathlib, shutil, subprocess, sys, time

SAMPLES, LENGTH = 2, 64

# Quamba's own figures for FP16 to W8A8, 2.8b, decode (arXiv 2410.13229): ratios of time for a token.
PUBLISHED = "Quamba (published, FP16 to W8A8): 1.72 x on Orin Nano, 1.61 x on A5000"

# Four bits by rounding to nearest: with random weights GPTQ would change nothing but the time to compile.
NEAREST = {"scheme": "w4a8-nearest", "extends": "quamba2-w4a8", "weights": {"*": {"type": "i4", "scale": {"group": 128}, "method": "nearest"}}}


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def run(cmd):
    p = subprocess.run([str(c) for c in cmd], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if p.returncode:
        raise RuntimeError(f"{' '.join(map(str, cmd))}: exit {p.returncode}: {p.stderr.strip()[-800:]}")
    return p.stdout


def calibration(a):
    """Token ids, so that no tokenizer is needed."""
    import numpy as np
    path = a.work / "ids.npy"
    vocab = 1024 if "mamba-tiny" in a.models else 50280
    np.save(path, np.random.default_rng(0).integers(0, vocab, (SAMPLES, LENGTH), dtype=np.int64))
    return path


def compile_flags(a, w):
    if w in ("bf16", "f32"):
        return ["--weights", w]
    scheme = w
    if w == "w4a8":
        scheme = a.work / "w4a8-nearest.json"
        scheme.write_text(json.dumps(NEAREST))
    return ["--scheme", scheme, "--calibration", calibration(a), "--samples", SAMPLES, "--length", LENGTH]


def artefact(a, model, w):
    """The artefact's folder, and the seconds that it took; None if it was there."""
    cmd = [a.ssmc, "compile", a.work / "models" / model, "--target", a.target, "--max-rows", a.max_rows, *compile_flags(a, w)]
    key = hashlib.sha256(a.ssmc.read_bytes() + repr([str(c) for c in cmd]).encode()).hexdigest()
    out, note = a.work / "out" / f"{model}-{w}", a.work / "out" / f"{model}-{w}.key"
    if note.exists() and note.read_text() == key and (out / "manifest.json").exists():
        return out, None
    shutil.rmtree(out, ignore_errors=True)
    note.unlink(missing_ok=True)
    log("compile", out.name)
    begin = time.perf_counter()
    run([*cmd, "-o", out])
    note.write_text(key)
    return out, time.perf_counter() - begin


def bench(a, out):
    cmd = [a.ssmc, "bench", out, "--prompt", a.prompt, "--generate", a.generate, "--repeat", a.repeat, "--profile", "--json"]
    if a.device:
        cmd += ["--device", a.device]
    return json.loads(run(cmd))


def peer(a, model):
    """PyTorch with mamba_ssm, in a process of its own; or why not."""
    here = pathlib.Path(__file__).parent
    try:
        return json.loads(run([a.peer, here / "peers" / "mamba_gpu.py", a.work / "models" / model, "--prompt", a.prompt, "--generate", a.generate, "--repeat", a.repeat]))
    except (RuntimeError, OSError, ValueError) as e:
        return {"skipped": str(e).strip().splitlines()[-1][-300:]}


def measure(a):
    doc = dict(target=a.target, prompt=a.prompt, generate=a.generate, calibration=f"{SAMPLES} x {LENGTH} random tokens", runs=[], peers={})
    for model in a.models.split(","):
        for w in a.weights.split(","):
            row = dict(model=model, weights=w)
            try:
                out, seconds = artefact(a, model, w)
                log("measure", out.name)
                row.update(compile_s=seconds, bench=bench(a, out))
            except RuntimeError as e:  # the others are measured all the same
                row["failed"] = str(e)
                log(row["failed"])
            doc["runs"].append(row)
        if a.peer:
            log("measure PyTorch,", model)
            doc["peers"][model] = peer(a, model)
            if "skipped" in doc["peers"][model]:
                log("PyTorch with mamba_ssm is left out:", doc["peers"][model]["skipped"])
        (a.work / "results.json").write_text(json.dumps(doc, indent=1))
    return doc


def table(head, rows):
    return ["| " + " | ".join(map(str, r)) + " |" for r in [head, ["---"] * len(head), *rows]]


def lines_of(doc):
    rows, base = [], {}
    for r in doc["runs"]:
        b, p = r.get("bench"), doc["peers"].get(r["model"], {})
        if not b:
            rows.append([r["model"], r["weights"], "failed", "", "", "", "", "", ""])
            continue
        base.setdefault(r["model"], b["decode_tokens_per_s"] if r["weights"] == "bf16" else None)
        against = lambda x: f"{b['decode_tokens_per_s'] / x:.2f} x" if x else ""
        share = f"{100 * b['peak_share']:.0f}% of {b['machine_peak_gflop_s'] / 1e3:.0f} T ({b['machine_peak_of']})" if b["machine_peak_gflop_s"] else ""
        rows.append([r["model"], r["weights"], f"{b['decode_tokens_per_s']:.1f}", f"{100 * b['bandwidth_share']:.0f}% of {b['machine_bandwidth_gb_s']:.0f} GB/s",
                     against(base[r["model"]]), f"{b['prefill_tokens_per_s']:.0f}", share, against(p.get("decode_tokens_per_s")),
                     f"{b['device_memory_bytes'] / 1e9:.2f}"])
    device = next((r["bench"]["device"] for r in doc["runs"] if "bench" in r), "nothing was measured")
    ahead = next((r["bench"].get("steps_ahead", 1) for r in doc["runs"] if "bench" in r), 1)
    out = [f"{device}, {doc['target']}; decode of one sequence, {ahead} steps queued at once, prefill of {doc['prompt']}; best of the repeats. 8-bit scales from {doc['calibration']}: for speed only.", ""]
    out += table(["model", "weights", "decode tok/s", "of the read bandwidth", "to bf16", "prefill tok/s", "of the tensor peak", "decode to PyTorch", "GB on the GPU"], rows)
    out.append("")
    for model, p in doc["peers"].items():
        out.append(f"PyTorch with mamba_ssm, {model}: " + (f"left out: {p['skipped']}" if "skipped" in p else
                   f"decode {p['decode_tokens_per_s']:.1f} tok/s ({p['how']}), prefill {p['prefill_tokens_per_s']:.0f} tok/s, {p['versions']}"))
    return out + [PUBLISHED]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--ssmc", type=pathlib.Path)
    p.add_argument("--target")
    p.add_argument("--models", default="mamba-130m,mamba-1.4b,mamba-2.8b")
    p.add_argument("--weights", default="bf16,w8a8,w4a8")
    p.add_argument("--prompt", type=int, default=2048)
    p.add_argument("--generate", type=int, default=128)
    p.add_argument("--repeat", type=int, default=5)
    p.add_argument("--max-rows", type=int, default=512)
    p.add_argument("--device", default="")
    p.add_argument("--peer", default="")
    p.add_argument("--table", action="store_true")
    a = p.parse_args()
    results = a.work / "results.json"
    if a.table and not results.exists():
        sys.exit("bench-gpu: there is no last run")
    doc = json.loads(results.read_text()) if a.table else measure(a)
    print("\n".join(lines_of(doc)))
    if any("failed" in r for r in doc["runs"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
