"""How long tests wait for a condition, and how: there is one number, since a landing's machine is anybody's.

A wait costs what the condition takes, never its limit: the limit only ends what would never end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0
"""Seconds until a wait fails; generous, for cores that are shared with everybody."""


def _nothing() -> str:
    return ""


def until(true: Callable[[], object], what: str = "") -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


async def until_true(pilot: Any, true: Callable[[], object], what: str, seen: Callable[[], str] = _nothing) -> None:
    """Wait for something to become true in an app's own time; `seen` says what is there when it does not."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}{seen()}"
        await pilot.pause(0.02)
