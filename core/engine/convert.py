"""`python -P -m core.engine.convert SOURCE.gguf FOLDER`: quantised weights made into an ordinary model folder, once.

Every later load, training and export then meets plain safetensors (bfloat16) with a tokenizer and a chat template,
and no second format. It writes into FOLDER as it goes; the caller makes a finished folder visible by a rename. On
standard output: one JSON line for each share of the work that is done.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel

from core.models.child import end_with_parent

_BITS = torch.bfloat16


def convert(source: Path, folder: Path) -> None:
    """Write the model, tokenizer, chat template and generation config of a GGUF file into a folder."""
    _read_once()
    where, file = str(source.parent), source.name
    _report(0.0)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file)
    _report(0.4)
    model = AutoModelForCausalLM.from_pretrained(
        where, gguf_file=file, dtype=_BITS, quantization_config=GgufConfig(dequantize=True)
    )
    _report(0.9)
    _forget_quantization(model)
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _report(1.0)


def _read_once() -> None:
    """Keep what transformers asks gguf for again and again: the parsed file, three times; a constant table, per module.

    Both take most of the minute that a conversion lasts without this.
    """
    for name in ("GGUFReader", "get_tensor_name_map"):
        setattr(gguf, name, functools.cache(getattr(gguf, name)))


def _forget_quantization(model: PreTrainedModel) -> None:
    """The weights are plain numbers by now; the mark of what they were would forbid saving and break loading."""
    model.__dict__.pop("hf_quantizer", None)
    for name in ("quantization_config", "_model_name_or_path"):
        if hasattr(model.config, name):
            delattr(model.config, name)


def _report(fraction: float) -> None:
    print(json.dumps({"fraction": fraction}), flush=True)


if __name__ == "__main__":
    end_with_parent()
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
