"""Memory that an update frees is kept for the next one; or given back, where the next one is cut another way.

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
    library = _library()
    if library is None:
        return False
    set_option = library.mallopt
    return bool(set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES) and set_option(_M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> bool:
    """Hand what is free back to the system, the holes between other memory too; False where it is not glibc.

    Answers of other lengths at every step leave holes of other sizes: of a small model some 50 MB a step.
    """
    library = _library()
    if library is None:
        return False
    library.malloc_trim(0)
    return True


def _library() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except OSError:
        return None
