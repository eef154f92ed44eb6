"""A defect of ours leaves a trace in a file, and one line on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.workspace import Workspace
from tui.app import FinetuiApp
from tui.app_log import log_defect


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
            await pilot.pause(0.2)

    with pytest.raises(ZeroDivisionError):
        await run()
    assert app.return_code == 1
    told = "".join(capsys.readouterr().err.split("\n"))
    assert told.startswith("finetui ended by a defect of its own: ZeroDivisionError: in a timer")
    assert told.endswith(".finetui/logs/app.log")
    assert "in a timer" in (tmp_path / ".finetui" / "logs" / "app.log").read_text()
