"""Makes variants.jsonl.gz: what the tokenizers library answers for variations of the tokenizers in reference/.

    python make_variants.py        needs the PyPI package tokenizers; the file in the repository was made with 0.22.2

Each line holds a name, the folder that is varied, a JSON merge patch (RFC 7386) and cases: text and ids, ids and text. The texts are random mixtures of pieces that
the parts of a tokenizer have something to do with. Answers on which the library itself fails by a bug are left out.
"""
import gzip, io, json, os, random

from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = 14
rng = random.Random(20)


def read(folder, name):
    return gzip.open(f"{HERE}/reference/{folder}/{name}.gz", "rt", encoding="utf-8").read()


folders = sorted(os.listdir(f"{HERE}/reference"))
base = {f: json.loads(read(f, "tokenizer.json")) for f in folders}
texts = [t for f in folders for t in (json.loads(line)["text"] for line in read(f, "cases.jsonl").splitlines()) if len(t) < 200]

FOLD = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"[^\r\n\p{L}\p{N}]?"
REGEX = {
    "o200k": f"{HEAD}{UPPER}*{LOWER}+{FOLD}|{HEAD}{UPPER}+{LOWER}*{FOLD}|" + r"\p{N}{1,3}" + TAIL,
    "tekken": f"{HEAD}{UPPER}*{LOWER}+|{HEAD}{UPPER}+{LOWER}*|" + r"\p{N}" + TAIL,
    "cl100k": r"(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "han": r"[\p{Han}]+|[\p{L}&&[^\p{Han}]]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek": "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WORDS = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def replace(pattern, content, kind="Regex"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def sequence(field, *parts):
    return {"type": "Sequence", field: list(parts)}


def pre(*parts):
    return {"pre_tokenizer": sequence("pretokenizers", *parts)}


def bert(clean, chinese, accents, lower):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}


def metaspace(scheme, **more):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, **more}


def added(folder, contents):
    """The folder's added tokens and more, numbered as the library does."""
    out, vocab = list(base[folder]["added_tokens"]), base[folder]["model"]["vocab"]
    number = max(len(vocab) - 1, *(a["id"] for a in out)) + 1
    for content in contents:
        n = vocab.get(content, number)
        number += n == number
        out.append({"id": n, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False})
    return out


def variants():
    for name, regex in REGEX.items():
        yield name, "llama3", pre(split(regex), BYTES)
        yield name + " inverted", "llama3", {**pre(split(regex, "Removed", True), BYTES), "model": {"ignore_merges": False}}
    yield "digits, kana, rest", "qwen2", {"normalizer": None, **pre(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(REGEX["deepseek"]), BYTES)}
    space = replace(" ", "▁", "String")
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "X", "type_id": 3}}, {"Sequence": {"id": "A", "type_id": 2}}],
        "pair": [{"SpecialToken": {"id": "X", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 5}}, {"Sequence": {"id": "A", "type_id": 1}}],
        "special_tokens": {"X": {"id": "X", "ids": [1, 2], "tokens": ["<|startoftext|>", "<|endoftext|>"]}},
    }
    runs = ["\n" * n for n in range(1, 6)] + ["▁" * n for n in range(2, 9)]
    yield "gemma", "yi", {"normalizer": space, "pre_tokenizer": split(" ", "MergedWithPrevious", False, "String"), "post_processor": template, "added_tokens": added("yi", runs)}
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for invert in (False, True):
            yield f"split {behavior} {invert}", "qwen2", pre(split(r"[a-e ]|\s+|[0-9]{2}", behavior, invert), split("o", behavior, invert, "String"), BYTES)
        yield f"punctuation {behavior}", "falcon", pre({"type": "Punctuation", "behavior": behavior}, WORDS, {"type": "Digits", "individual_digits": True})
    yield "empty matches", "qwen2", pre(split("x*", "Removed"), split("(?=b)"), split("$"), BYTES)
    accents = sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"})
    mixed = sequence("normalizers", {"type": "Prepend", "prepend": "  "}, {"type": "Strip", "strip_left": True, "strip_right": False}, replace(r"\s+", " "), {"type": "NFC"})
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    forms = {form: {"type": form} for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")}
    normalizers = {**forms, "accents": accents, "mixed": mixed, "strip": strip, "none": None, "blanks": replace(" {2,}", "▁"), "remove": replace("a", "", "String"), "th": replace("th", "x y", "String")}
    for name, normalizer in normalizers.items():
        for scheme in ("first", "always", "never"):
            yield f"metaspace {scheme} {name}", "mistral-metaspace", {"normalizer": normalizer, "pre_tokenizer": metaspace(scheme, split=name < "a")}
        if name not in ("mixed", "strip"):
            yield f"added tokens {name}", "added-tokens", {"normalizer": normalizer}
    for n, flags in enumerate([(True, True, None, True), (True, False, False, True), (False, True, True, False), (False, False, None, False), (True, True, None, False)]):
        yield f"bert {flags}", "bert", {"normalizer": bert(*flags), "decoder": {"cleanup": n % 2 == 0}}
    ends = {"sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    yield "bert processing, short words", "bert", {"model": {"max_input_chars_per_word": 3}, "post_processor": {"type": "BertProcessing", **ends}, "decoder": None}
    roberta = {"type": "RobertaProcessing", **ends, "trim_offsets": False, "add_prefix_space": True}
    yield "white space, digits", "bert", {**pre({"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": False}, {"type": "Punctuation"}), "post_processor": roberta}
    for fuse in (False, True):
        for fallback in (False, True):
            for unk in (None, "<unk>"):
                yield f"unknown {fuse} {fallback} {unk}", "sp-unknown", {"model": {"fuse_unk": fuse, "byte_fallback": fallback, "unk_token": unk}}
    yield "words that are tokens", "llama2", {"model": {"ignore_merges": True}, "pre_tokenizer": metaspace("never", split=True)}
    yield "unigram without words", "t5-unigram", {"pre_tokenizer": None}
    yield "unigram without unknown", "t5-unigram", {"model": {"unk_id": None}}
    vocab = base["t5-unigram"]["model"]["vocab"] + [[f"<0x{b:02X}>", -20 - b / 7] for b in range(256) if b != 0xE4]
    tokens = [dict(a, id=a["id"] + 255 * (a["id"] >= 3000)) for a in base["t5-unigram"]["added_tokens"]]
    yield "unigram with bytes", "t5-unigram", {"model": {"byte_fallback": True, "vocab": vocab}, "added_tokens": tokens}
    fuse, mark = {"type": "Fuse"}, {"type": "Strip", "content": "▁", "start": 2, "stop": 0}
    decoders = {
        "bytes": {"type": "ByteFallback"}, "fuse, bytes": sequence("decoders", fuse, {"type": "ByteFallback"}), "metaspace": metaspace("always"), "metaspace never": metaspace("never"),
        "none": None, "strip": sequence("decoders", {"type": "ByteFallback"}, mark), "fuse, strip": sequence("decoders", fuse, mark, replace("▁", " ", "String")),
        "fuse, metaspace": sequence("decoders", fuse, metaspace("first")), "fuse, replace": sequence("decoders", fuse, replace("▁t", "T", "String"), mark),
        "fuse, wordpiece": sequence("decoders", replace("▁", " ", "String"), fuse, {"type": "WordPiece", "prefix": "##", "cleanup": True}),
        "fuse, byte level": sequence("decoders", fuse, WORDS), "wordpiece": {"type": "WordPiece", "prefix": "▁", "cleanup": True}, "empty": sequence("decoders"),
    }
    for name, decoder in decoders.items():
        for folder in ("llama2", "gpt-neox"):
            yield f"decoder {name}", folder, {"decoder": decoder}
    bos = base["llama3"]["post_processor"]["processors"][1]
    ends = {"sep": ["<|end_of_text|>", 3778], "cls": ["<|begin_of_text|>", 3777]}
    processors = {"none": None, "byte level": WORDS, "sequence": sequence("processors", bos, WORDS), "bert": {"type": "BertProcessing", **ends}}
    processors["roberta"] = {"type": "RobertaProcessing", **ends, "trim_offsets": True, "add_prefix_space": False}
    for name, processor in processors.items():
        yield f"processor {name}", "llama3", {"post_processor": processor}


def patched(value, patch):
    if not isinstance(patch, dict):
        return patch
    out = dict(value) if isinstance(value, dict) else {}
    for key, part in patch.items():
        out[key] = patched(out.get(key), part)
        if part is None:
            del out[key]
    return out


MARKS = [chr(c) for c in (0x301, 0x300, 0x323, 0x327, 0x315, 0x345, 0x20D0, 0x1D165, 0x5B4, 0x64B, 0x93C, 0x9BE, 0x1161, 0x11A8, 0xFE0F, 0x200D, 0x34F, 0x95B, 0x344, 0xF73)]
CHARS = list("abcdefgSTXst 'éÅΣſKßİıǅﬁﬃ漢字かな가각한 글\u3000\u00a0\u0085\u2028\t\n\r▁_Ġ-.,!?#$€½²³٣Ⅷ①👩🏽\u0000\u001f\u200b\ufeff\ufffd") + MARKS
WORD = ["don't", "WE'LL", "x'Ş", "it'ſ", "1234567", "hello", "World", "naïve", "snake_case", "XMLHttp", "日本語", "привет", "  ", "\n\n", "a1b2", "3.14", "->", "</s>", "foo()"]


def text(contents):
    kind = rng.random()
    if kind < 0.25:
        a, b = rng.choice(texts), rng.choice(texts)
        out = a[: rng.randrange(len(a) + 1)] + b[rng.randrange(len(b) + 1) :]
    elif kind < 0.3:
        out = rng.choice("aeo가크") + "".join(rng.choice(MARKS) for _ in range(rng.choice([5, 9, 29, 31, 33, 60]))) + "b"
    elif kind < 0.35:
        out = rng.choice(["a", " ", "▁", "A1", "é", "漢", "\n", "!!", "<s>"]) * rng.choice([15, 16, 17, 100])
    elif kind < 0.5:
        out = " ".join(rng.choice(WORD) for _ in range(rng.randrange(12)))
    else:
        out = "".join(rng.choice(CHARS) for _ in range(rng.randrange(40)))
    for _ in range(rng.randrange(4) if contents and rng.random() < 0.4 else 0):
        at, content = rng.randrange(len(out) + 1), rng.choice(contents)
        out = out[:at] + rng.choice(["", " ", "  ", "\t"]) + content + rng.choice(["", " ", "  ", "\n"]) + out[at:]
    return out


def case(tokenizer, contents):
    c = {"text": text(contents), "special": rng.random() < 0.6}
    if rng.random() < 0.15:
        c["pair"] = text(contents)
    try:
        encoding = tokenizer.encode(c["text"], c.get("pair"), add_special_tokens=c["special"])
    except BaseException as problem:  # a panic of the library is none of the Exceptions
        return None if "bad split" in str(problem) else {**c, "fails": True}
    ids = encoding.ids
    c["ids"], c["types"] = ids, encoding.type_ids
    kind = rng.random()
    if kind < 0.3:
        ids = [rng.randrange(tokenizer.get_vocab_size() + 5) for _ in range(rng.randrange(20))]
    elif kind < 0.6:
        ids = ids[rng.randrange(len(ids) + 1) :]
    elif kind < 0.8:
        ids = rng.sample(ids, len(ids))
    c["decode"] = ids
    c["all"], c["plain"] = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
    return c


def main():
    lines = io.StringIO()
    for name, folder, patch in variants():
        whole = patched(base[folder], patch)
        tokenizer = Tokenizer.from_str(json.dumps(whole))
        contents = [a["content"] for a in whole["added_tokens"]]
        cases = [c for c in (case(tokenizer, contents) for _ in range(CASES)) if c]
        lines.write(json.dumps({"name": name, "base": folder, "patch": patch, "cases": cases}, ensure_ascii=False) + "\n")
    with open(f"{HERE}/variants.jsonl.gz", "wb") as f, gzip.GzipFile("", "wb", 9, f, 0) as z:
        z.write(lines.getvalue().encode())


main()
