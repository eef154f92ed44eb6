"""A defect of ours leaves a trace in a file, and one line on the terminal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from textual.css.query import NoMatches
from textual.worker import WorkerFailed

from chat_app import StartChat
from core.workspace import Workspace
from tui.app import FinetuiApp
from tui.app_log import log_defect
from waiting import until_true


def defect() -> ZeroDivisionError:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        return error
    raise AssertionError


def test_the_traceback_is_kept_privately(tmp_path: Path) -> None:
    path = log_defect(Workspace(tmp_path), defect())
    assert path is not None
    assert "ZeroDivisionError: division by zero" in path.read_text()
    assert "test_app_log.py" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_is_no_second_error(tmp_path: Path) -> None:
    (tmp_path / ".finetui").write_text("a file where the folder should be")
    assert log_defect(Workspace(tmp_path), defect()) is None


async def test_a_crash_tells_where_its_traceback_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = FinetuiApp(Workspace(tmp_path))

    def crash() -> None:
        raise ZeroDivisionError("in a timer")

    async def run() -> None:
        async with app.run_test() as pilot:
            app.call_later(crash)
            await until_true(pilot, lambda: app._exception, "the crash")

    with pytest.raises(ZeroDivisionError):
        await run()
    assert app.return_code == 1
    told = "".join(capsys.readouterr().err.split("\n"))
    assert told.startswith("finetui ended by a defect of its own: ZeroDivisionError: in a timer")
    assert told.endswith(".finetui/logs/app.log")
    assert "in a timer" in (tmp_path / ".finetui" / "logs" / "app.log").read_text()


async def test_what_is_still_on_its_way_when_the_app_ends_is_no_defect(start_chat: StartChat) -> None:
    """Textual takes a screen's widgets away before its last messages are done."""
    async with start_chat() as chat:

        async def late() -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            while chat.screen.query("#columns"):  # noqa: ASYNC110  what takes them away tells nobody
                await asyncio.sleep(0)
            await chat.screen.show_columns()

        late_worker = chat.screen.run_worker(late())
        await chat.pilot.pause()
        chat.app.leave()
    with pytest.raises(WorkerFailed):
        await late_worker.wait()
    assert isinstance(late_worker.error, NoMatches)
    assert chat.app.return_code == 0
    assert not (chat.app.workspace.state / "logs" / "app.log").exists()
