"""What a terminal really sends, where Textual reads it otherwise."""

from __future__ import annotations

from typing import Any, cast

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS


def read_alt_digits() -> None:
    """Read escape and a digit as alt and the digit, as xterm, tmux and every terminal with a meta key send it.

    Textual reads it as the character that Option types on one Mac keyboard, `™` for alt+2; a Mac terminal whose
    Option key types characters sends those characters themselves.
    """
    keys = cast("dict[str, Any]", ANSI_SEQUENCES_KEYS)
    for digit in "0123456789":
        keys.pop(f"\x1b{digit}", None)
