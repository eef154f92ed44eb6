"""In which number format a training computes, and what the machine makes of it.

On a CPU bfloat16 pays only where the chip multiplies it in tiles (Intel's AMX: six times float32's speed); elsewhere it
is slower than float32 and changes what is learnt. A checkpoint in bfloat16 is therefore widened on CPUs without AMX,
which loses nothing.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from core.config.optimization import OptimizationOptions

_CPUINFO = Path("/proc/cpuinfo")


def has_bf16_tiles() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in tiles (AMX)."""
    try:
        flags = _CPUINFO.read_text()
    except OSError:
        return False
    return "amx_bf16" in flags.split()


def weights_dtype(name: str, device: torch.device, options: OptimizationOptions) -> torch.dtype:
    """How a model's weights are held in a training.

    Args:
        name: the option `dtype`: auto, float32, bfloat16 or float16.
        device: where it is trained.
        options: pure_bf16 holds everything in bfloat16; bf16 holds frozen weights so where nothing else is asked for.
    """
    if options.pure_bf16:
        return torch.bfloat16
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        return torch.bfloat16 if options.bf16 and has_bf16_tiles() else torch.float32
    if options.fp16:
        return torch.float16
    return torch.bfloat16 if device.type != "cuda" or torch.cuda.is_bf16_supported() else torch.float16


def autocast(model: Any, options: OptimizationOptions) -> AbstractContextManager[object]:
    """Where weights are wider than what is to be computed in, products are narrowed one by one; else nothing is done."""
    wanted = torch.bfloat16 if options.bf16 else torch.float16 if options.fp16 else None
    device = next(model.parameters()).device
    if wanted is None or not any(p.dtype == torch.float32 and p.dim() > 1 for p in frozen_or_all(model)):
        return contextlib.nullcontext()
    return torch.autocast(device.type, wanted)


def frozen_or_all(model: Any) -> list[torch.nn.Parameter]:
    """The weights that most products are made with: the frozen ones, or all where none is."""
    weights = [p for p in model.parameters() if not p.requires_grad]
    return weights or list(model.parameters())
