"""F4: the table of reports and what is done from it, by the keyboard, in an app of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.widgets import Input, OptionList, Static
from textual.worker import WorkerFailed

from core.errors import FinetuiError
from core.report.layout import PlannedPart
from core.report.report import Subject
from core.runs.rundir import RunDirectory
from core.workspace import Workspace, load_state
from folders import make_model
from scripted_reports import ScriptedEvaluation, evaluation, predictions
from scripted_runs import ScriptedRun
from tui.run_watcher import Alarm, RunWatcher, runs_text
from tui.screens.compare import CompareScreen
from tui.screens.evaluate import EvaluateScreen
from tui.screens.evaluate_run import EvaluationRunScreen
from tui.screens.report import ReportScreen
from tui.screens.report_dialogs import ExportDialog
from tui.screens.train import TrainScreen
from tui.widgets.dialogs import Confirm

HOSTILE = "\x1b]0;owned\x07[bold]x[/bold]\x1b[2J"
LABELS = ["red", "green", "blue", "black"]
LORA = Subject("tuned", "demo", adapter="tuned", method="lora", dtype="float32", device="cpu")


class Host(App[None]):
    """An app with nothing but a screen and a watcher."""

    def __init__(self, workspace: Workspace, screen: type[Any] = EvaluateScreen) -> None:
        super().__init__()
        self.workspace = workspace
        self.alarms: list[Alarm] = []
        self.watcher = RunWatcher(workspace, alarm=self.alarms.append)
        self._screen_class = screen
        self.modes: list[str] = []

    def on_mount(self) -> None:
        self.push_screen(self._screen_class(self.workspace))
        self.run_worker(self.watcher.watch())

    def action_mode(self, mode: str) -> None:
        self.modes.append(mode)

    def _handle_exception(self, error: Exception) -> None:
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(cause, FinetuiError):
            self.notify(cause.hint, title=cause.message, markup=False)
        else:
            super()._handle_exception(error)


class Evaluate:
    """The screen under test, in the words of its user."""

    def __init__(self, app: Host, pilot: Any) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> Any:
        return self.app.screen

    def rows(self) -> list[list[str]]:
        """The cells of the table."""
        return [[cell.text for cell in row.cells] for row in self.screen.table.table.rows]

    def adapters(self) -> list[str]:
        return [row[1] for row in self.rows()]

    def seen(self) -> str:
        """What stands on the screen, line by line."""
        size = self.app.size
        return "\n".join(
            "".join(segment.text for segment in strip).rstrip()
            for strip in self.app.screen._compositor.render_strips(size)
        )

    def about(self) -> str:
        return str(self.screen.query_one("#evaluate-about", Static).content)

    @property
    def toasts(self) -> list[str]:
        return [f"{toast.title} {toast.message}".strip() for toast in self.app._notifications]

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def until(self, true: Callable[[], object], what: str) -> None:
        for _turn in range(400):
            if true():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"never came: {what}; on {self.screen}; toasts: {self.toasts}")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "ws")
    make_model(ws.models / "demo")
    return ws


@pytest.fixture
def evaluate(workspace: Workspace) -> Callable[..., Any]:
    """`async with evaluate() as screen`: the screen with its reports listed."""

    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36), screen: type[Any] = EvaluateScreen) -> AsyncIterator[Evaluate]:
        app = Host(workspace, screen)
        async with app.run_test(size=size) as pilot:
            shown = Evaluate(app, pilot)
            await shown.until(lambda: app.watcher.scanned, "the runs")
            if screen is EvaluateScreen:
                await shown.until(lambda: shown.screen._listed_once, "the reports")
            await pilot.pause()
            yield shown

    return start


def three_reports(workspace: Workspace) -> None:
    """A base that is right once and an adapter that is right thrice, of one set; and one of another set."""
    evaluation(workspace.runs / "eval-base", predictions(LABELS, ["red", "no", "no", ""]), time=1.0)
    evaluation(workspace.runs / "eval-tuned", predictions(LABELS, [*LABELS[:3], "no"]), subject=LORA, time=2.0)
    evaluation(workspace.runs / "eval-other", predictions(LABELS[:2], LABELS[:2]), dataset="other", time=3.0)


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
