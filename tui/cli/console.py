"""What commands print, and how: answers on stdout, everything else on stderr.

Plain text and at most bold and dim, so that it reads the same in a log, on a dumb terminal and in a pipe. Nothing here
interprets markup; text from models and files is made inert by whoever prints it, streamed text by `InertStream`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import IO, Any

from core.errors import ConfigError, FinetuiError
from core.i18n import _
from core.untrusted import inert, inert_line

BOLD, DIM = "1", "2"


def make_safe_streams() -> None:
    """No text that a person or a model wrote may end a command with an encoding error."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a test's or a caller's own stream
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def takes_codes(stream: IO[str]) -> bool:
    """Whether a stream leads to a terminal that understands more than text."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def styled(text: str, style: str, stream: IO[str]) -> str:
    """The text in bold or dim, where that can be seen and is wanted (NO_COLOR)."""
    if not text or os.environ.get("NO_COLOR") or not takes_codes(stream):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


@contextlib.contextmanager
def ctrl_c(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    """What ctrl+c does for a while. Only for the main thread, as signals are."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def cancelled_by_signals() -> Iterator[threading.Event]:
    """A closed terminal and a kill end long work as cleanly as ctrl+c does."""
    cancelled = threading.Event()
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: cancelled.set()) for number in signals]
    try:
        yield cancelled
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def note(text: str) -> None:
    """A line for the person, not for the pipe."""
    print(text, file=sys.stderr, flush=True)


def print_json(record: Mapping[str, Any]) -> None:
    """One object, one line. Escaped to ASCII where the text could do something to a terminal."""
    text = json.dumps(record, ensure_ascii=False)
    print(text if inert(text) == text else json.dumps(record).replace("\x7f", "\\u007f"), flush=True)


def print_error(error: FinetuiError) -> None:
    """An error as every command tells it: what is wrong, and below it what to do."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            where = f"{problem.where}: " if problem.where else ""
            _print_problem(where + problem.what, problem.hint)
    else:
        _print_problem(error.message, error.hint)


def _print_problem(message: str, hint: str) -> None:
    note(f"{styled(_('error:'), BOLD, sys.stderr)} {inert(message)}")
    if hint:
        note(f"{styled(_('hint:'), BOLD, sys.stderr)} {inert(hint)}")


class InertStream:
    """Makes a text inert that comes in parts: a `\\r\\n` may be torn between two of them."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        return inert(text.removesuffix("\r"))

    def end(self) -> str:
        """What is left when no more text comes."""
        held, self._held = self._held, ""
        return inert(held)


class Progress:
    """Tells on stderr what is going on and for how long: one line that is written over, or without a terminal a line
    for each step."""

    def __init__(self) -> None:
        self._overwrites = takes_codes(sys.stderr)
        self._began = time.monotonic()
        self._step = self._detail = ""

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def show(self, step: str, detail: str = "") -> None:
        """Tell of a step; `detail` is what changes while it lasts."""
        if not self._overwrites and step != self._step:
            note(inert_line(step))
        self._step, self._detail = step, detail
        self.tick()

    def tick(self) -> None:
        """Let the time be seen to pass."""
        if self._overwrites and self._step:
            told = " ".join(filter(None, (self._step, self._detail, f"{self.seconds:.1f} s")))
            print(f"\r\x1b[K{inert_line(told)}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, where there is one to take."""
        if self._overwrites and self._step:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._step = ""
