"""The app with a clock in its event loop: how late is a task that wants to run every 20 ms?

Started as a script with the app's own arguments; writes (moment, seconds late) lines at the end. The app itself knows
nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from textual.app import App

from tui.__main__ import main

_EVERY = 0.02
_record: list[str] = []
_run_async = App.run_async


async def _clock(record: list[str]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(_EVERY)
        ended = time.perf_counter()
        record.append(f"{ended} {ended - begun - _EVERY}")


async def _run_with_clock(self: App[Any], **options: Any) -> Any:
    clock = asyncio.create_task(_clock(_record))
    try:
        return await _run_async(self, **options)
    finally:
        clock.cancel()


if __name__ == "__main__":
    App.run_async = _run_with_clock  # type: ignore[method-assign]
    try:
        sys.exit(main())
    finally:
        Path(os.environ["PROBE_RECORD"]).write_text("\n".join(_record))
