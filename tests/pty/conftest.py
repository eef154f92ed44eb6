"""Workspaces with a model, and finetui started in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from finetui_app import start_finetui
from folders import make_adapter, make_model
from terminal import Terminal


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the model `demo` and its adapter `tuned`; nothing in it is real."""
    base = make_model(tmp_path / "models" / "demo")
    make_adapter(tmp_path / "models" / "tuned", str(base))
    return tmp_path


@pytest.fixture
def start() -> Iterator[Callable[..., Terminal]]:
    """`start_finetui`, and the end of whatever it started."""
    with ExitStack() as stack:

        def started(*arguments: Any, **options: Any) -> Terminal:
            return stack.enter_context(start_finetui(*arguments, **options))

        yield started
