"""What every test stands on: an environment that says nothing about the machine, and the real model, fetched once.

Modules beside this file (`fakes`, `hostile`) are imported by their plain names.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache"
_FROM_OUTSIDE = (
    "FINETUI_",
    "TEXTUAL",
    "HF_",
    "PIP_REQUIRE",
    "LC_",
    "LANGUAGE",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "TMUX",
    "STY",
    "SSH_",
    "OPENAI_",
)

_DEAREST_FIRST = ("engine", "pty", "tui", "core")
"""The folders by what a file in them costs."""

# A shell that runs pytest in the background has it ignored, and what is started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any module under test is imported: libraries read these at import.
for name in [name for name in os.environ if name.startswith(_FROM_OUTSIDE) and name != "FINETUI_TEST_MODEL"]:
    del os.environ[name]
os.environ.update(
    HF_HUB_OFFLINE="1",
    LANG="C.UTF-8",
    OMP_NUM_THREADS="1",  # many small processes on few cores
    OMP_WAIT_POLICY="PASSIVE",
    TOKENIZERS_PARALLELISM="false",
)
# Homes are fresh ones, but where packages come from is the machine's affair.
for config in (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"):
    if config.is_file():
        os.environ.setdefault("PIP_CONFIG_FILE", str(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the dearest files begin, those with the real model above all: xdist hands files out in this order, and at
    the end every process shall have small ones left to take. By itself it begins with those of many tests."""
    with_the_model = {item.path for item in items if item.get_closest_marker("slow")}
    folders = [ROOT / "tests" / name for name in _DEAREST_FIRST]
    items.sort(
        key=lambda item: (item.path not in with_the_model, *(folder not in item.path.parents for folder in folders))
    )


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's state, cache or models."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("FINETUI_LOCKS", str(home / "locks"))  # no run of a test waits for another's device
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a command within this process leaves in the environment for what it starts is gone with its test."""
    before = {name: value for name, value in os.environ.items() if name.startswith("FINETUI_")}
    yield
    for name in [name for name in os.environ if name.startswith("FINETUI_")]:
        del os.environ[name]
    os.environ.update(before)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time: pytest-xdist makes a session fixture once in each of its processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The folder of the real default model: `$FINETUI_TEST_MODEL`, else pulled once into `.cache/`, as a user would."""
    if given := os.environ.get("FINETUI_TEST_MODEL"):
        return Path(given)
    from core.models.pull import pull
    from core.workspace import Workspace

    with locked(CACHE / "pull.lock"):
        return Path(pull("default", Workspace(CACHE), lambda _: None, threading.Event()).path)
