"""Copying over SSH: by tmux where there is one, else by OSC 52, and always into a file.

Inside tmux `tmux load-buffer -w -` reaches both tmux's buffer and the outer terminal with stock settings, which an
OSC 52 written to the pane does not. A terminal that takes neither still leaves the text in the file.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from textual.app import App

from core.i18n import _
from core.untrusted import inert_line


async def copy(app: App[Any], text: str, folder: Path) -> None:
    """Copy a text, and tell the user by which way it went.

    Args:
        app: the app whose terminal it is.
        text: what to copy.
        folder: where the file copy goes (`clipboard.txt`, mode 0600).
    """
    try:
        told_file = _("and into {path}").format(path=inert_line(str(write_file(text, folder))))
    except OSError as error:
        told_file = _("but into no file: {reason}").format(reason=error.strerror or error)
    if os.environ.get("TMUX") and await _load_tmux_buffer(text):
        told = _("{n} characters copied through tmux, {file}")
    else:
        app.copy_to_clipboard(text)
        told = _("{n} characters sent to the terminal's clipboard, {file}")
    app.notify(told.format(n=len(text), file=told_file), markup=False)


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
