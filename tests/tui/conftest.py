"""The app in the test's own process, in a workspace with a model that only looks like one, a scripted worker behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.notifications import Notification

import fake_trainer
from begun_runs import end_runs
from chat_app import Chat, StartChat
from commands import Run, runner
from core.launch import prepare as prepare_module
from core.launch.machine import Machine
from core.runs.catalog import list_runs
from core.workspace import Workspace
from data_app import data_alone, fill_data
from fakes import fake_worker_command
from folders import make_adapter, make_data, make_model
from train_app import train_alone, train_within
from tui.app import FinetuiApp
from waiting import PATIENCE


@pytest.fixture(autouse=True)
def _toasts_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may look at what was told when its seconds are over."""
    monkeypatch.setattr(Notification, "time_left", property(lambda _told: PATIENCE))


@pytest.fixture
def chat_workspace(tmp_path: Path) -> Workspace:
    """A workspace with the model `demo`, its adapter `tuned`, and another model, `other`."""
    base = make_model(tmp_path / "models" / "demo")
    make_adapter(tmp_path / "models" / "tuned", str(base))
    make_model(tmp_path / "models" / "other")
    return Workspace(tmp_path)


@pytest.fixture
def start_chat(chat_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> StartChat:
    """`async with start_chat(answers=[…]) as chat`: the app with a worker that behaves so."""

    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36), **behaviour: Any) -> AsyncIterator[Chat]:
        monkeypatch.setenv("FINETUI_WORKER_COMMAND", json.dumps(fake_worker_command(**behaviour)))
        app = FinetuiApp(chat_workspace)
        async with app.run_test(size=size) as pilot:
            chat = Chat(app, pilot)
            await chat.until(lambda: chat.screen, "the chat")
            await chat.until(lambda: chat.screen.conversation.columns[0].model, "a chosen model")
            yield chat

    return start


@pytest.fixture
def data_workspace(chat_workspace: Workspace) -> Workspace:
    """A workspace with the set `telecom`, a wrong entry, a set with bad rows, and a file that nobody entered."""
    fill_data(chat_workspace)
    return chat_workspace


@pytest.fixture
def start_data(data_workspace: Workspace) -> Callable[..., Any]:
    """`async with start_data() as data`: the Data screen alone."""
    return data_alone(data_workspace)


@pytest.fixture
def train(chat_workspace: Workspace) -> Callable[..., Any]:
    """`async with train() as screen`: the Train screen alone."""
    return train_alone(chat_workspace)


@pytest.fixture
def train_in_app(start_chat: Any) -> Callable[..., Any]:
    """The same in the whole app."""
    return train_within(start_chat)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """Of commands that train: with the model `demo` and the set `intro`, on a machine without accelerators, and with
    a fake trainer."""
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    rows = [{"instruction": f"question {number}", "input": "", "output": f"answer {number}"} for number in range(12)]
    make_data(found.data, rows)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(found.root))
    monkeypatch.setenv("FINETUI_TRAINER_COMMAND", json.dumps(fake_trainer.COMMAND))
    monkeypatch.setattr(prepare_module, "this_machine", lambda: Machine(accelerators=0))
    monkeypatch.chdir(found.root)
    yield found
    end_runs(list_runs(found))


@pytest.fixture
def finetui(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> Callable[..., Run]:
    """A finetui command in the workspace of the tests."""
    return runner(capsys)
