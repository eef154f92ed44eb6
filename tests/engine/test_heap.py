"""Memory that is kept for the next update, and memory that is given back."""

from __future__ import annotations

import subprocess
import sys

from waiting import PATIENCE

_SCRIPT = """
from pathlib import Path
from core.engine.training.heap import give_back_freed_memory, keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

assert keep_freed_memory()
held = [bytearray(b"x") * 200_000 for _ in range(600)]
between = held[::50]
filled = resident()
held.clear()
kept = resident()
assert give_back_freed_memory()
print(filled, kept, resident())
"""


def test_what_is_freed_stays_until_it_is_given_back() -> None:
    """In a process of its own: what the C library is told holds to the end."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=PATIENCE, check=True)
    filled, kept, left = map(int, done.stdout.split())
    assert filled - kept < 10  # holes between what is held
    assert kept - left > 80
