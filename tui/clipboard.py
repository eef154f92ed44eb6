"""Copying over SSH: by tmux where there is one, else by OSC 52, and always into a file.

Inside tmux `tmux load-buffer -w -` reaches both tmux's buffer and the outer terminal with stock settings, which an
OSC 52 written to the pane does not. A terminal that takes neither still leaves the text in the file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from core.i18n import _


async def copy(text: str, *, folder: Path, osc52: Callable[[str], None]) -> str:
    """Copy a text; returns how, as a sentence for the user.

    Args:
        text: what to copy.
        folder: where the file copy goes (`clipboard.txt`, mode 0600).
        osc52: writes the text to the terminal as an OSC 52 sequence.
    """
    path = write_file(text, folder)
    if os.environ.get("TMUX") and await _load_tmux_buffer(text):
        return _("copied through tmux, and into {path}").format(path=path)
    osc52(text)
    return _("sent to the terminal's clipboard, and into {path}").format(path=path)


def write_file(text: str, folder: Path) -> Path:
    """Keep the text in `clipboard.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clipboard.txt"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text.encode(errors="replace"))
    return path


async def _load_tmux_buffer(text: str) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux",
            "load-buffer",
            "-w",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    await process.communicate(text.encode(errors="replace"))
    return process.returncode == 0
