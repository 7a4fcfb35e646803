#!/usr/bin/env python3
"""Measure ssmc and llama.cpp in turn, and print the table of the figures to reach. run.sh prepares what this needs and calls it.

Every round runs each contender once, with the memory's read bandwidth before each, so that all of them see the same state of the
machine. Figures are medians over the rounds; a ratio is the median of the rounds' own ratios. All samples go to WORK/results.json.
"""
import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile, time

PREFILL, GENERATE, BATCH = 512, 32, 16


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def raise_priority(exclusive):
    """Runs in the child. Linux groups tasks by session, so that priority alone would count only among its own: hence a session of its own."""
    def child():
        for step in (os.setsid, lambda: os.nice(-15)):
            try:
                step()
            except OSError:
                pass
        if exclusive:
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            except OSError:
                pass
    return child


def may_be_exclusive():
    return subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0 if shutil.which("chrt") else False


class Runner:
    def __init__(self, exclusive):
        self.exclusive = exclusive

    def run(self, cmd):
        """Standard output, seconds and peak memory in bytes of a command; raises with its last words when it fails."""
        cmd = [str(c) for c in cmd]
        begin = time.perf_counter()
        with subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, preexec_fn=raise_priority(self.exclusive)) as p:
            out, err = p.communicate()
        seconds = time.perf_counter() - begin
        if p.returncode:
            raise RuntimeError(f"{' '.join(cmd)}: exit {p.returncode}: {err.decode(errors='replace').strip()[-400:]}")
        if self.exclusive:
            time.sleep(0.5 + 0.2 * seconds)  # let the others on the machine breathe
        return out.decode(), seconds

    def peak_memory(self, cmd):
        """Like run, with the peak memory in bytes, counted by a tiny parent of its own."""
        code = ("import resource,subprocess,sys;r=subprocess.call(sys.argv[2:]);"
                "open(sys.argv[1],'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss));sys.exit(r)")
        with tempfile.NamedTemporaryFile("r") as note:
            out, seconds = self.run([sys.executable, "-c", code, note.name, *cmd])
            return out, seconds, int(note.read()) * 1024


def cpu_flags():
    try:
        return set(next(l for l in open("/proc/cpuinfo") if l.startswith("flags")).split())
    except (OSError, StopIteration):
        return set()


def has_avx512(flags):
    return {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags


# What is compared: our weights, llama.cpp's file type, whether the levels are those for products of bytes.
WEIGHTS = {"f32": ("f32", False), "bf16": ("f16", False), "w8a8": ("Q8_0", True), "w4a8": ("Q4_0", True)}

# Four bits by rounding to nearest: with random weights GPTQ would change nothing but the time to compile.
NEAREST = {"scheme": "w4a8-nearest", "extends": "quamba2-w4a8", "weights": {"*": {"type": "i4", "scale": {"group": 128}, "method": "nearest"}}}


def levels_for(codes):
    flags = cpu_flags()
    levels = ["x86-64-v3"]
    if codes and "avx_vnni" in flags:
        levels.append("x86-64-v3+avxvnni")
    if codes and "avx512_vnni" in flags and has_avx512(flags):
        levels.append("x86-64-v4+vnni")
    elif not codes and has_avx512(flags):
        levels.append("x86-64-v4")
    if codes and {"amx_tile", "amx_int8"} <= flags:
        levels.append("x86-64-v4+vnni+amx")
    return levels


def compile_flags(a, w):
    if not WEIGHTS[w][1]:
        return ["--weights", w]
    scheme = w
    if w == "w4a8":
        scheme = a.work / "w4a8-nearest.json"
        scheme.write_text(json.dumps(NEAREST))
    return ["--scheme", scheme, "--calibration", a.text, "--samples", 8, "--length", 256]


def compile_all(a, r, doc):
    """One artefact for each model, weight type and CPU level; compile time and memory come with it."""
    arts = {}
    for m in a.models.split(","):
        for w in a.weights.split(","):
            levels = levels_for(WEIGHTS[w][1])
            for level in levels:
                out = a.work / "out" / f"{m}-{w}-{level}"
                shutil.rmtree(out, ignore_errors=True)
                log("compile", out.name)
                _, s, mem = r.peak_memory([a.ssmc, "compile", a.checkpoints / m, "-o", out, "--target", level, *compile_flags(a, w)])
                doc["compile"].append(dict(model=m, weights=w, level=level, seconds=s, peak_memory_bytes=mem))
                arts[m, w, level] = out
    if a.large:
        out = a.work / "out" / "large"
        shutil.rmtree(out, ignore_errors=True)
        log("compile", a.large)
        _, s, mem = r.peak_memory([a.ssmc, "compile", a.large, "-o", out, "--target", levels[-1]])
        doc["compile"].append(dict(model=a.large.name, weights="as-is", level=levels[-1], seconds=s, peak_memory_bytes=mem))
        shutil.rmtree(out)
    return arts


def measure_ssmc(a, r, art, batch):
    cmd = [a.ssmc, "bench", art, "--prompt", PREFILL, "--generate", GENERATE, "--threads", a.threads, "--json"]
    out, _, mem = r.peak_memory(cmd + (["--batch", batch] if batch > 1 else []))
    d = json.loads(out)
    row = {k: d[k] for k in ("decode_tokens_per_s", "prefill_tokens_per_s", "bandwidth_gb_s", "bandwidth_share", "peak_share", "load_ms") if k in d}
    row["peak_memory_bytes"] = d.get("peak_memory_bytes", mem)  # its own figure leaves out the buffer that measures the machine
    return row


def measure_llama(a, r, gguf):
    out, _, mem = r.peak_memory([a.llama / "llama-bench", "-m", gguf, "-t", a.threads, "-p", PREFILL, "-n", GENERATE, "-r", a.reps, "-o", "json"])
    row = {"peak_memory_bytes": mem}
    for d in json.loads(out):
        row["decode_tokens_per_s" if d["n_gen"] else "prefill_tokens_per_s"] = statistics.median(d["samples_ts"])
    return row


def measure_llama_batch(a, r, gguf):
    """Tokens per second of BATCH sequences together, and of one."""
    out, _ = r.run([a.llama / "llama-batched-bench", "-m", gguf, "-t", a.threads, "-c", 4096, "-npp", 1, "-ntg", GENERATE, "-npl", f"1,{BATCH}", "--output-format", "jsonl"])
    speeds = {d["pl"]: d["speed_tg"] for d in map(json.loads, (l for l in out.splitlines() if l.startswith("{")))}
    return {"decode_tokens_per_s": speeds[BATCH], "one": speeds[1]}


def contenders(a, arts):
    """(key, function of the runner), in the order of a round. The key is who, model, weights, level or '', batch."""
    for (m, w, level), art in arts.items():
        yield ("ssmc", m, w, level, 1), lambda r, art=art: measure_ssmc(a, r, art, 1)
        if a.llama and level == "x86-64-v3":
            gguf = a.checkpoints / f"{m}-{WEIGHTS[w][0]}.gguf"
            yield ("llama.cpp", m, w, "", 1), lambda r, gguf=gguf: measure_llama(a, r, gguf)
        if m == "mamba-130m":
            yield ("ssmc", m, w, level, BATCH), lambda r, art=art: measure_ssmc(a, r, art, BATCH)
            if a.llama and level == "x86-64-v3":
                yield ("llama.cpp", m, w, "", BATCH), lambda r, gguf=gguf: measure_llama_batch(a, r, gguf)


def measure(a):
    exclusive = a.exclusive and may_be_exclusive()
    if a.exclusive and not exclusive:
        log("real-time priority is not permitted here; going on without")
    r = Runner(exclusive)
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "")
    doc = dict(cpu=cpu, cores=os.cpu_count(), threads=a.threads, exclusive=exclusive, date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), compile=[], rounds=[], sizes={})
    doc["peak"] = json.loads(r.run([a.work / "bin/peak"])[0])
    arts = compile_all(a, r, doc)
    for (m, w, level), art in arts.items():
        doc["sizes"][f"ssmc {m} {w}"] = (art / "weights.safetensors").stat().st_size
    if a.llama:
        for m in a.models.split(","):
            for w in a.weights.split(","):
                doc["sizes"][f"llama.cpp {m} {w}"] = (a.checkpoints / f"{m}-{WEIGHTS[w][0]}.gguf").stat().st_size
    for n in range(a.rounds):
        rows = []
        for key, do in contenders(a, arts):
            bw = json.loads(r.run([a.work / "bin/membw", a.threads, 3])[0])["best_window_gbs"]
            try:
                row = do(r)
            except (RuntimeError, ValueError, KeyError) as e:
                row = {"error": str(e)}
            rows.append(dict(key=list(key), membw=bw, **row))
            log(f"round {n + 1}/{a.rounds}", *key, f"{bw:.1f} GB/s", {k: round(v, 1) if isinstance(v, float) else v for k, v in row.items()})
        doc["rounds"].append(rows)
        (a.work / "results.json").write_text(json.dumps(doc, indent=1))
    return doc


class Table:
    """Medians over rounds, and ratios within them."""

    def __init__(self, doc):
        self.doc = doc

    def values(self, key, field):
        """One value a round, None where it is missing."""
        return [next((row.get(field) for row in rows if row["key"] == list(key)), None) for rows in self.doc["rounds"]]

    def median(self, key, field):
        v = [x for x in self.values(key, field) if x is not None]
        return statistics.median(v) if v else None

    def ratio(self, ours, our_field, theirs, their_field):
        v = [x / y for x, y in zip(self.values(ours, our_field), self.values(theirs, their_field)) if x and y]
        return statistics.median(v) if v else None

    def share(self, key):
        """The weights' bytes times tokens per second over the read bandwidth of the same minute."""
        size = self.doc["sizes"].get(f"{key[0]} {key[1]} {key[2]}")
        v = [size * t / (b * 1e9) for t, b in zip(self.values(key, "decode_tokens_per_s"), self.values(key, "membw")) if size and t and b]
        return statistics.median(v) if v else None


# Of one layer, in order: weights in matrices, channels x state (one exp each), and the number of layers.
SHAPES = {"mamba-130m": (3_735_552, 1536 * 16, 24), "mamba-370m": (6_619_136, 2048 * 16, 48), "mamba2-130m": (3_753_984, 0, 24)}


def prefill_bound(doc, model, level, codes=False):
    """Tokens per second at the cores' peak: two operations a weight of the layers; for Mamba-1 one exp and eight operations a channel and state."""
    weights, exps, layers = SHAPES[model]
    p = doc["peak"]
    wide = level.startswith("x86-64-v4")
    products = flops = p["f32_fma_zmm_gflops" if wide else "f32_fma_ymm_gflops"]
    if codes:
        products = p["int8_vnni_zmm_gops" if wide else "int8_vnni_ymm_gops" if "vnni" in level else "int8_maddubs_ymm_gops"]
    seconds = layers * (2 * weights / products + exps / p["exp_ymm_gexp"] + exps * 8 / flops) / 1e9
    return min(doc["threads"], doc["cores"]) / seconds


def number(x, form="{:.1f}"):
    return "-" if x is None else form.format(x)


def percent(x):
    return number(x, "{:.0%}")


def times(x):
    return number(x, "{:.2f} x")


def lines_of(doc):
    """The rows: work, level, ssmc, its share of the bound, llama.cpp, its share, ratio, what is to be reached."""
    t = Table(doc)
    keys = {tuple(row["key"]) for rows in doc["rounds"] for row in rows}
    models = [m for m in SHAPES if any(k[1] == m for k in keys)]
    weights = [w for w in WEIGHTS if any(k[2] == w for k in keys)]
    levels = {w: sorted({k[3] for k in keys if k[0] == "ssmc" and k[2] == w}) for w in weights}
    goals = {"f32": "share >= 85%", "bf16": "share >= 80%, >= 1.5 x", "w8a8": "share >= 75%, >= 1.8 x", "w4a8": "share >= 65%, >= 2 x"}
    for w in weights:
        for m in models:
            for level in levels[w]:
                ours, theirs = ("ssmc", m, w, level, 1), ("llama.cpp", m, w, "", 1)
                yield (f"decode {m} {w} (llama.cpp: {WEIGHTS[w][0]})", level, number(t.median(ours, "decode_tokens_per_s")), percent(t.share(ours)),
                       number(t.median(theirs, "decode_tokens_per_s")), percent(t.share(theirs)),
                       times(t.ratio(ours, "decode_tokens_per_s", theirs, "decode_tokens_per_s")), goals[w])
    # Prefill in f32 stands against f16, llama.cpp's faster one; codes against its 8 bits.
    goals = {("f32", "mamba-130m"): ">= 55% of the bound, >= 2.2 x", ("f32", "mamba2-130m"): ">= 1.3 x",
             ("w8a8", "mamba-130m"): ">= 50% of the bound, >= 3.5 x", ("w8a8", "mamba2-130m"): ">= 1.8 x"}
    for w, peer in (("f32", "bf16"), ("w8a8", "w8a8")):
        for m in models if w in weights else []:
            for level in levels[w]:
                ours, theirs = ("ssmc", m, w, level, 1), ("llama.cpp", m, peer, "", 1)
                mine, bound = t.median(ours, "prefill_tokens_per_s"), prefill_bound(doc, m, level, WEIGHTS[w][1])
                other = t.median(theirs, "prefill_tokens_per_s")
                yield (f"prefill {PREFILL} {m} {w} (llama.cpp: {WEIGHTS[peer][0]})", level, number(mine), percent(mine and mine / bound), number(other),
                       percent(other and other / bound), times(t.ratio(ours, "prefill_tokens_per_s", theirs, "prefill_tokens_per_s")), goals.get((w, m), ""))
            v3 = ("ssmc", m, w, "x86-64-v3", 1)
            for level in levels[w][1:]:
                goal = ">= 1.6 x" if w == "f32" else ">= 3 x" if "amx" in level else ">= 1.5 x"
                yield (f"prefill {m} {w}, {level} over x86-64-v3", "", times(t.ratio(("ssmc", m, w, level, 1), "prefill_tokens_per_s", v3, "prefill_tokens_per_s")),
                       "", "", "", "", goal)
    for w in weights if "mamba-130m" in models else []:
        for level in levels[w]:
            ours, theirs, one = ("ssmc", "mamba-130m", w, level, BATCH), ("llama.cpp", "mamba-130m", w, "", BATCH), ("ssmc", "mamba-130m", w, level, 1)
            goal = ">= 6 x one" if not WEIGHTS[w][1] else ">= 4 x one" if level == "x86-64-v3" else ">= 8 x one"
            yield (f"decode of {BATCH} together, mamba-130m {w}, over one", level, times(t.ratio(ours, "decode_tokens_per_s", one, "decode_tokens_per_s")), "",
                   times(t.ratio(theirs, "decode_tokens_per_s", theirs, "one")), "", times(t.ratio(ours, "decode_tokens_per_s", theirs, "decode_tokens_per_s")), goal)


def memory_lines(doc):
    t = Table(doc)
    keys = sorted({tuple(row["key"]) for rows in doc["rounds"] for row in rows if row["key"][4] == 1})
    for k in keys:
        size, mem = doc["sizes"].get(f"{k[0]} {k[1]} {k[2]}"), t.median(k, "peak_memory_bytes")
        over = (mem - size) / 1e6 if mem and size else None
        weights = WEIGHTS[k[2]][0] if k[0] == "llama.cpp" else k[2]
        yield k[0], k[1], weights, k[3], number(size and size / 1e6, "{:.0f}"), number(mem and mem / 1e6, "{:.0f}"), number(over, "{:+.0f}"), number(t.median(k, "load_ms"))


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def report(doc):
    bw = [row["membw"] for rows in doc["rounds"] for row in rows]
    print(f"{doc['cpu']}, {doc['threads']} threads, {len(doc['rounds'])} rounds, {doc['date']}" + (", real-time priority" if doc["exclusive"] else ""))
    print(f"read bandwidth {statistics.median(bw):.1f} GB/s ({min(bw):.1f} to {max(bw):.1f}); one core at best: " + ", ".join(f"{k} {v}" for k, v in doc["peak"].items()) + "\n")
    table(["work", "level", "ssmc tok/s", "of the bound", "llama.cpp", "of the bound", "ratio", "to reach"], lines_of(doc))
    table(["who", "model", "weights", "level", "file MB", "peak memory MB", "over the file", "load ms"], memory_lines(doc))
    table(["compile", "weights", "level", "seconds", "peak memory MiB"],
          ((c["model"], c["weights"], c["level"], f"{c['seconds']:.2f}", f"{c['peak_memory_bytes'] / 2**20:.0f}") for c in doc["compile"]))
    for rows in doc["rounds"]:
        for row in rows:
            if "error" in row:
                print("FAILED:", *row["key"], row["error"])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", type=pathlib.Path, required=True)
    ap.add_argument("--checkpoints", type=pathlib.Path)
    ap.add_argument("--ssmc", type=pathlib.Path)
    ap.add_argument("--llama", type=pathlib.Path)
    ap.add_argument("--large", type=pathlib.Path)
    ap.add_argument("--models", default="mamba-130m,mamba-370m,mamba2-130m")
    ap.add_argument("--weights", default=",".join(WEIGHTS))
    ap.add_argument("--text", type=pathlib.Path)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--exclusive", action="store_true")
    ap.add_argument("--table", action="store_true")
    a = ap.parse_args()
    report(json.loads((a.work / "results.json").read_text()) if a.table else measure(a))


if __name__ == "__main__":
    main()
