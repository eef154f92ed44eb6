"""A finetui command in the test's own process: what it printed, and what it exited with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tui.__main__ import main


class Run:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def runner(capsys: pytest.CaptureFixture[str], *verb: str) -> Callable[..., Run]:
    """What runs a command line, with the words of a verb before it."""

    def run(*words: str) -> Run:
        code = main((*verb, *words))
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return run
