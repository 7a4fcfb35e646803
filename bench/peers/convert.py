#!/usr/bin/env python3
"""llama.cpp's convert_hf_to_gguf.py for a checkpoint whose tokenizer it does not know (it insists on known hashes).

    convert.py LLAMA_CPP_SOURCE MODEL_DIR --outfile X.gguf --outtype f16

Needs torch, transformers, sentencepiece; gguf is taken from the source tree.
"""
import pathlib, runpy, sys

src = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(src))
sys.path.insert(1, str(src / "gguf-py"))
from conversion import base  # noqa: E402

base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
sys.argv = [str(src / "convert_hf_to_gguf.py")] + sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
