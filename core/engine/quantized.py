"""Weights in 8 or 4 bits, by bitsandbytes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from core.engine.fused_layer import Module
from core.errors import ModelError
from core.i18n import _


def few_bits(bits: int, dtype: torch.dtype) -> object:
    """transformers' configuration of weights in 4 or 8 bits, computed with in `dtype`.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    try:
        version("bitsandbytes")
    except PackageNotFoundError as error:
        raise ModelError(
            _("quantization_bit {bits} needs bitsandbytes, which is not installed").format(bits=bits),
            _("install it with: pip install 'finetui[quant]'; or leave quantization_bit out"),
        ) from error
    from transformers import BitsAndBytesConfig  # with the extra only

    config: Any = BitsAndBytesConfig
    if bits == 8:
        return config(load_in_8bit=True)
    return config(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def settle(network: Module) -> None:
    """Keep 4-bit weights as they are packed, and what is not quantised in float32.

    On CPUs with AVX512-BF16 one forward pass without gradients would repack the weights; every gradient after that is
    wrong (cosine 0.2 to the true one).
    """
    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    for name, parameter in network.named_parameters():
        if "norm" in name and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()
