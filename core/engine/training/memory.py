"""How much memory is held, and how to give it back."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import torch

_STATM = Path("/proc/self/statm")


def held_memory(device: torch.device) -> int:
    """Bytes of the device that this process holds; of main memory on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc
        return 0


def free_unused(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
