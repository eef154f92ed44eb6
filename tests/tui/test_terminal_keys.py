"""Bytes of a terminal, and the keys they are read as."""

from __future__ import annotations

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from tui.terminal import read_alt_digits


@pytest.mark.parametrize("digit", "1234")
def test_escape_and_a_digit_is_alt_and_the_digit(digit: str) -> None:
    read_alt_digits()
    parser = XTermParser()
    keys = [event.key for event in [*parser.feed(f"\x1b{digit}"), *parser.feed("")] if isinstance(event, events.Key)]
    assert keys == [f"alt+{digit}"]
