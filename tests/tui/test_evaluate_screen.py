"""F4: the table of reports, and the evaluations that go on above it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList, Static

from core.report.layout import PlannedPart
from core.report.report import Subject
from core.workspace import Workspace, load_state
from evaluate_app import LABELS, LORA, opened_screen, three_reports
from folders import make_model
from scripted_reports import ScriptedEvaluation, evaluation, predictions, write_part
from scripted_runs import ScriptedRun
from tui.run_line import runs_text
from tui.screens.evaluate import EvaluateScreen
from tui.screens.evaluate_run import EvaluationRunScreen
from tui.screens.train import TrainScreen
from tui.widgets.dialogs import Confirm

HOSTILE = "\x1b]0;owned\x07[bold]x[/bold]\x1b[2J"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "ws")
    make_model(ws.models / "demo")
    return ws


@pytest.fixture
def evaluate(workspace: Workspace) -> Callable[..., Any]:
    """`async with evaluate() as screen`: the screen with its reports listed."""
    return partial(opened_screen, workspace)


# --- the table ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (60, 12)])
async def test_the_table_tells_who_answered_what_and_how_well(
    evaluate: Any, workspace: Workspace, size: tuple[int, int]
) -> None:
    three_reports(workspace)
    async with evaluate(size) as screen:
        assert [row[:4] for row in screen.rows()] == [
            ["demo", "–", "other", "2"],
            ["demo", "tuned", "exam", "4"],
            ["demo", "–", "exam", "4"],
        ]
        assert [row[4] for row in screen.rows()] == ["100.00", "*75.00", "25.00"]
        text = screen.seen()
        for word in ("model", "adapter", "set", "exact", "tuned", "exam", "*75.00"):
            assert word in text


async def test_what_is_best_of_its_set_is_marked_and_nothing_where_there_is_no_choice(
    evaluate: Any, workspace: Workspace
) -> None:
    evaluation(workspace.runs / "a", predictions(LABELS, LABELS), subject=LORA)
    evaluation(workspace.runs / "b", predictions(LABELS, LABELS))
    evaluation(workspace.runs / "c", predictions(LABELS, ["red"] * 4), sha256="cd" * 32)
    async with evaluate() as screen:
        assert not any("*" in cell for row in screen.rows() for cell in row)


async def test_intervals_are_shown_and_hidden_and_remembered(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("i")
        assert screen.rows()[2][4].startswith("25.00 [0.0, ")
        await screen.press("i")
        assert screen.rows()[2][4] == "25.00"
        await screen.press("i")
    async with evaluate() as screen:
        assert "[" in screen.rows()[2][4]


async def test_sorted_by_column_after_column_and_turned(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("s", "s")  # by model, by adapter
        assert screen.adapters() == ["tuned", "–", "–"] or screen.adapters()[-1] == "tuned"
        await screen.press("s", "s", "s")  # set, n, exact match
        assert [row[4] for row in screen.rows()] == ["100.00", "*75.00", "25.00"]
        assert "↓exact" in screen.seen()
        await screen.press("S")
        assert [row[4] for row in screen.rows()] == ["25.00", "*75.00", "100.00"]
        assert load_state(workspace)["reports"]["by"] == "exact_match"


async def test_filtered_by_words_and_back(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        await screen.press("slash", *"exam demo", "enter")
        assert [row[2] for row in screen.rows()] == ["exam", "exam"]
        assert "2 shown" in screen.seen()
        await screen.press("escape")
        assert len(screen.rows()) == 3
        assert not screen.screen.query_one("#evaluate-filter", Input).display


async def test_columns_are_chosen(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate() as screen:
        assert [column.heading for column in screen.screen.table.table.columns[4:]] == ["exact"]
        await screen.press("m")
        listed = screen.screen.query_one(OptionList)
        assert [str(option.prompt) for option in listed.options] == ["[x] exact", "[ ] edit sim."]
        await screen.press("down", "space", "enter")
        assert [column.heading for column in screen.screen.table.table.columns[4:]] == ["exact", "edit sim."]


async def test_columns_that_do_not_fit_are_one_key_away(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    async with evaluate((60, 24)) as screen:
        await screen.press("m", "down", "space", "enter", "i")
        heading = screen.screen.table.heading
        assert heading().plain.split() == ["model", "adapter", "set", "n", "exact", "»"]
        await screen.press("right", "right")
        assert heading().plain.split() == ["«", "model", "adapter", "set", "edit", "sim."]
        assert heading().plain.rstrip() in screen.seen()
        await screen.press("left", "left")
        assert heading().plain.split()[-2:] == ["exact", "»"]


async def test_below_the_table_stands_what_the_numbers_stand_on(evaluate: Any, workspace: Workspace) -> None:
    data = predictions([f"label {n}" for n in range(40)], [f"label {n}" for n in range(39)] + ["no"])
    evaluation(workspace.runs / "eval", data, subject=LORA, notes=("near-ties: 3",))
    async with evaluate() as screen:
        text = screen.about()
        assert "✓ finished  eval  40 answers" in text
        assert "exact 97.50 [" in text
        assert "! near-ties: 3" in text
        assert "lora · float32 · cpu · data abababababab" in text


async def test_an_empty_workspace_says_how_to_begin(evaluate: Any, workspace: Workspace) -> None:
    async with evaluate() as screen:
        assert "No evaluation yet in" in screen.seen()
        assert "n starts one" in screen.seen()


async def test_hostile_names_are_inert(evaluate: Any, workspace: Workspace) -> None:
    subject = Subject(HOSTILE, HOSTILE, adapter=HOSTILE)
    evaluation(workspace.runs / "eval", predictions(LABELS, LABELS), subject=subject, notes=(HOSTILE,))
    async with evaluate() as screen:
        assert "\x1b" not in screen.seen()
        await screen.press("enter")
        assert "\x1b" not in screen.seen()


# --- what goes on -------------------------------------------------------------------------------------------------

PARTS = [
    PlannedPart("base · exam", "base-exam", "base", "exam", 4),
    PlannedPart("tuned · exam", "tuned-exam", "tuned", "exam", 4),
]


async def test_what_goes_on_stands_on_top_with_its_numbers_so_far(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    run = ScriptedEvaluation(workspace.runs / "eval-live", PARTS)
    run.start()
    run.answering(PARTS[0], 4)
    run.scored(PARTS[0], predictions(LABELS, ["red", "no", "no", "no"]))
    run.answering(PARTS[1], 1, exact_match=40.0)
    async with evaluate() as screen:
        await screen.until(lambda: any("1/4" in row for row in screen.rows()), "how far it is")
        assert screen.rows()[0][1:5] == ["tuned", "exam", "1/4", "40.00"]
        head = str(screen.screen.query_one("#evaluate-running", Static).content)
        assert "eval-live" in head
        assert "1 going on" in screen.seen().splitlines()[0]
        assert "62%  answering · 5/8 answers · 3.5 rows/s · 20 s left" in head
        assert runs_text(screen.app.watcher.active) == "▸ eval-live 62%"
        run.answering(PARTS[1], 4, exact_match=75.0)
        run.scored(PARTS[1], predictions(LABELS, [*LABELS[:3], "no"]), subject=LORA)
        run.finish(8)
        await screen.until(lambda: screen.app.alarms, "the bell")
        assert [(alarm.kind, alarm.name, alarm.detail) for alarm in screen.app.alarms] == [
            ("finished", "eval-live", "8 answers")
        ]
        await screen.until(lambda: sum(row[4] == "*75.00" for row in screen.rows()) == 2, "its report")
        assert not screen.screen.query_one("#evaluate-running").display
        assert runs_text(screen.app.watcher.active) == ""


async def test_a_served_model_has_its_name_before_there_is_a_report(evaluate: Any, workspace: Workspace) -> None:
    part = PlannedPart("echo @ h:1 · exam", ".", "echo @ h:1", "exam", 4)
    run = ScriptedEvaluation(workspace.runs / "eval-served", [part], model="http://h:1/v1")
    run.start()
    run.answering(part, 1)
    async with evaluate() as screen:
        await screen.until(lambda: any("1/4" in row for row in screen.rows()), "how far it is")
        assert screen.rows()[0][:3] == ["echo @ h:1", "–", "exam"]


async def test_one_that_ended_early_says_of_how_many_its_numbers_are(evaluate: Any, workspace: Workspace) -> None:
    folder = workspace.runs / "eval-part"
    part = PlannedPart("demo · exam", ".", "demo", "exam", 4)
    run = ScriptedEvaluation(folder, [part])
    write_part(folder, predictions(LABELS, LABELS), complete=False)
    path = folder / "report.json"
    path.write_text(path.read_text().replace('"answered": 4', '"answered": 3'))
    async with evaluate() as screen:
        assert screen.rows()[0][3:5] == ["3/4", "100.00"]
    run.start()
    run.answering(part, 3, exact_match=50.0)  # gone on with: the numbers from before are behind
    async with evaluate() as screen:
        await screen.until(lambda: screen.rows()[0][3:5] == ["3/4", "50.00"], "the numbers so far")


async def test_an_evaluation_that_has_not_begun_is_there_and_can_be_stopped(
    evaluate: Any, workspace: Workspace
) -> None:
    run = ScriptedEvaluation(workspace.runs / "eval-new")
    run.start()
    run.wait("zh-lora")
    async with evaluate() as screen:
        await screen.until(lambda: screen.rows(), "its row")
        assert screen.rows()[0][:3] == ["demo", "–", "exam"]
        assert "eval-new" in str(screen.screen.query_one("#evaluate-running", Static).content)
        await screen.press("x")
        assert isinstance(screen.screen, Confirm)
        await screen.press("y")
        await screen.until(lambda: list(run.run.wishes()) == ["stop"], "the wish")
        await screen.until(lambda: "eval-new ends after the rows at hand." in screen.toasts, "that it is told")


async def test_its_log_and_facts(evaluate: Any, workspace: Workspace) -> None:
    run = ScriptedEvaluation(workspace.runs / "eval-live", PARTS)
    run.start()
    run.answering(PARTS[0], 2)
    run.log("loading the model\n")
    async with evaluate() as screen:
        await screen.until(lambda: screen.rows(), "its rows")
        await screen.press("l")
        await screen.until(lambda: "loading the model" in screen.seen(), "the log")
        assert isinstance(screen.screen, EvaluationRunScreen)
        await screen.press("2")
        await screen.until(lambda: "2/8" in screen.seen(), "the facts")
        assert "base · exam" in screen.seen()
        await screen.press("escape")
        assert isinstance(screen.screen, EvaluateScreen)


async def test_trainings_and_evaluations_have_each_their_list(evaluate: Any, workspace: Workspace) -> None:
    three_reports(workspace)
    training = ScriptedRun(workspace.runs / "zh-lora")
    training.start(alive=False)
    training.finish()
    checkpoint = Subject("zh-lora@20", "demo", adapter="zh-lora@20", path=str(training.run.checkpoint(20)))
    evaluation(workspace.runs / "eval-zh", predictions(LABELS, LABELS), subject=checkpoint)
    async with evaluate(screen=TrainScreen) as screen:
        await screen.until(lambda: screen.screen._shown, "the list")
        assert [path.name for path in screen.screen._shown] == ["zh-lora"]
        assert len(screen.app.watcher.runs) == 5
        await screen.until(lambda: "exact 100.00" in screen.seen(), "what was measured of it")


# --- in the whole app ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("f4",), ("ctrl+o", "e")])
async def test_every_way_to_it(start_chat: Any, chat_workspace: Workspace, keys: tuple[str, ...]) -> None:
    evaluation(chat_workspace.runs / "eval-demo", predictions(LABELS, LABELS))
    async with start_chat(answers=["hello"]) as chat:
        await chat.pilot.press(*keys)
        await chat.until(lambda: isinstance(chat.app.screen, EvaluateScreen), "the screen")
        await chat.until(lambda: chat.app.screen.row is not None, "its report")
        assert chat.app.screen.row.name == "eval-demo"
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen, "the chat again")
