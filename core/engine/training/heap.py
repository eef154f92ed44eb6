"""Memory that an update frees is kept for the next one.

glibc hands a freed end of the heap back to the system at once, and gets it again page by page, each zeroed, some
100,000 of them for every update of a small model: a tenth of an update in float32 and more in bfloat16.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MAPPED_BYTES = 32 << 20
"""Larger tensors (slices of logits) still come and go by themselves, so that they leave no holes."""


def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed, until the process ends; False where it is not glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES) and set_option(_M_TRIM_THRESHOLD, 2**31 - 1))
