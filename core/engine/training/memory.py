"""How much memory is held, and how to tell that there is none left."""

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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that no memory was left, on whichever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error).lower() for sign in ("out of memory", "not enough memory", "can't allocate memory")
    )


def free_unused(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
