"""What is done from the table of F4: read, compare, write down, copy, delete."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.report.layout import PlannedPart
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from evaluate_app import LABELS, opened_screen, three_reports
from folders import make_model
from scripted_reports import ScriptedEvaluation, predictions
from tui.screens.compare import CompareScreen
from tui.screens.report import ReportScreen
from tui.screens.report_dialogs import ExportDialog

PARTS = [
    PlannedPart("base · exam", "base-exam", "base", "exam", 4),
    PlannedPart("tuned · exam", "tuned-exam", "tuned", "exam", 4),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "ws")
    make_model(ws.models / "demo")
    return ws


@pytest.fixture
def evaluate(workspace: Workspace) -> Callable[..., Any]:
    """`async with evaluate() as screen`: the screen with its reports listed."""
    return partial(opened_screen, workspace)


# --- what is done with reports ------------------------------------------------------------------------------------


async def test_enter_opens_the_rows(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("down", "enter")
        await screen.until(lambda: isinstance(screen.screen, ReportScreen), "the report")
        assert screen.screen.folder == workspace.runs / "eval-tuned"


async def test_marked_reports_are_compared_the_base_first(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("c")
        assert "Mark two reports of one test set with space, then c compares them." in screen.toasts
        await screen.press("down", "space", "space")
        assert "2 marked" in screen.seen()
        await screen.press("c")
        assert isinstance(screen.screen, CompareScreen)
        assert [folder.name for folder in screen.screen._folders] == ["eval-base", "eval-tuned"]


async def test_the_table_is_written_as_it_is_shown(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("slash", *"exam", "enter", "e")
        assert isinstance(screen.screen, ExportDialog)
        await screen.press("enter")
        await screen.until(lambda: (workspace.root / "reports.csv").is_file(), "the file")
        written = list(csv.DictReader((workspace.root / "reports.csv").open(encoding="utf-8-sig")))
        assert [(row["report"], float(row["exact_match"])) for row in written] == [
            ("eval-tuned", 75.0),
            ("eval-base", 25.0),
        ]
        assert f"Written: {workspace.root / 'reports.csv'}" in screen.toasts


async def test_an_html_report_is_written_beside_the_report(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("h")
        path = workspace.runs / "eval-other" / "report.html"
        await screen.until(lambda: f"Written: {path}" in screen.toasts, "where it is")
        assert path.read_text().lower().startswith("<!doctype html")


async def test_the_command_that_evaluates_the_same_is_copied(
    evaluate: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_reports(workspace)
    copied: list[str] = []

    async def copy(_app: object, text: str, _folder: Path) -> None:
        copied.append(text)

    monkeypatch.setattr("tui.clipboard.copy", copy)
    async with evaluate() as screen:
        await screen.press("down", "y")
        await screen.until(lambda: copied, "the command")
        assert copied == ["finetui eval --model_name_or_path demo --dataset exam"]


async def test_deleting_an_evaluation_asks_and_takes_all_of_its_reports(evaluate: Any, workspace: Workspace) -> None:
    run = ScriptedEvaluation(workspace.runs / "eval-two", PARTS)
    run.start(alive=False)
    for part in PARTS:
        run.scored(part, predictions(LABELS, LABELS))
    run.finish(8)
    async with evaluate() as screen:
        await screen.until(lambda: len(screen.rows()) == 2, "its reports")
        await screen.press("d")
        assert "2 reports in" in screen.seen()
        await screen.press("n")
        assert run.run.path.is_dir()
        await screen.press("d", "y")
        await screen.until(lambda: not run.run.path.exists(), "that it is gone")
        await screen.until(lambda: "No evaluation yet" in screen.seen(), "an empty table")


async def test_folders_of_other_tools_are_listed_and_left_alone(evaluate: Any, workspace: Workspace) -> None:
    folder = workspace.runs / "factory"
    folder.mkdir(parents=True)
    rows = [{"prompt": "q", "predict": "a", "label": "a"}] * 3
    (folder / "generated_predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "predict_results.json").write_text(json.dumps({"predict_bleu-4": 61.25, "predict_rouge-1": 50.0}))
    async with evaluate() as screen:
        assert screen.rows()[0][0] == "factory"
        assert screen.rows()[0][3:6] == ["3", "61.25", "50.00"]
        await screen.press("d")
        assert "Another tool wrote this folder: delete it by hand." in screen.toasts
        await screen.press("y")
        await screen.press("l")
        assert len([toast for toast in screen.toasts if toast.startswith("Another tool wrote")]) == 3
        assert RunDirectory(folder).path.is_dir()


async def test_a_failed_evaluation_says_why(evaluate: Any, workspace: Workspace) -> None:
    run = ScriptedEvaluation(workspace.runs / "eval-bad", PARTS[:1])
    run.start()
    run.fail("the adapter does not fit", "name another")
    async with evaluate() as screen:
        await screen.until(lambda: screen.rows(), "its row")
        await screen.until(lambda: "the adapter does not fit" in screen.about(), "the reason")
        assert "✗ failed" in screen.about()
