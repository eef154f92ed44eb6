"""A comparison on the screen: its numbers and what they mean, its rows, one row with every model's answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.widgets import Input, Static

from core.metrics.shown import signed_text
from core.report.compare import compare
from core.report.paired import Delta, McNemar
from core.report.report import Subject
from core.report.rows import open_report
from core.workspace import Workspace
from screen_app import Shown
from scripted_reports import predictions, write_part
from tui.comparison_tables import delta_interval, meaning, numbers_table
from tui.screens.compare import CompareScreen
from tui.screens.report_dialogs import ExportDialog
from tui.widgets.comparison_sheet import ComparisonSheet, sheet_content

COUNT = 40
LABELS = [f"补卡方式_{n}" for n in range(COUNT)]


def subject(name: str) -> Subject:
    return Subject(name, "demo", adapter="" if name == "demo" else name, dtype="float32", device="cpu")


def answers(right: range, wrong: str = "开通方式") -> list[str]:
    return [label if at in right else wrong for at, label in enumerate(LABELS)]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A base that is right on 4 rows, an SFT that is right on 30, a PPO that is right on 32, two of them lost."""
    said = {"demo": answers(range(4)), "sft": answers(range(30)), "ppo": answers(range(2, 34), "没有")}
    for name, texts in said.items():
        write_part(tmp_path / "runs" / name, predictions(LABELS, texts), subject=subject(name))
    return [tmp_path / "runs" / name for name in said]


class Compare(Shown):
    """The screen under test."""

    def cells(self, page: str) -> list[list[str]]:
        return [[cell.text for cell in row.cells] for row in self.screen._table(page).table.rows]

    def keys(self) -> list[Any]:
        return [row.key for row in self.screen._table("rows").table.rows]


@pytest.fixture
def shown(tmp_path: Path) -> Callable[..., Any]:
    """`async with shown(folders) as screen`: the comparison of these reports."""

    @asynccontextmanager
    async def start(folders: list[Path], size: tuple[int, int] = (120, 36)) -> AsyncIterator[Compare]:
        app: App[None] = App()
        async with app.run_test(size=size) as pilot:
            await app.push_screen(CompareScreen(Workspace(tmp_path), folders))
            screen = Compare(app, pilot)
            none = app.screen.query_one("#compare-none", Static)
            await screen.until(lambda: not none.display or "comparing" not in str(none.content), "the comparison")
            await pilot.pause()
            yield screen

    return start


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "word", "interval"),
    [
        (Delta("exact_match", 10, 20, 10.0, 40, 4.0, 16.0), "better", "[+4.00, +16.00]"),
        (Delta("exact_match", 20, 10, -10.0, 40, -16.0, -4.0), "worse", "[-16.00, -4.00]"),
        (Delta("exact_match", 20, 21, 1.0, 40, -2.0, 4.0), "chance?", "[-2.00, +4.00]"),
        (Delta("exact_match", 20, 20, 0.0, 40, 0.0, 0.0), "equal", "[0.00, 0.00]"),
        (Delta("exact_match", 20, 21, 1.0, 40), "unknown", ""),
        (Delta("loss", 2, 1, -1.0, 40, -1.5, -0.5), "better", "[-1.5, -0.5]"),
        (Delta("length_ratio", 1, 2, 1.0, 40, 0.5, 1.5), "differs", "[+0.5, +1.5]"),
    ],
)
def test_what_a_difference_means(delta: Delta, word: str, interval: str) -> None:
    assert meaning(delta) == word
    assert delta_interval(delta) == interval


def test_signs_stand_before_numbers() -> None:
    assert [signed_text(value, "bleu-4") for value in (1.5, 0.0, -2)] == ["+1.50", "0.00", "-2.00"]


def test_a_metric_that_one_report_alone_has_is_no_column(tmp_path: Path, folders: list[Path]) -> None:
    compared = compare([open_report(folder) for folder in folders[:2]], ["exact_match"])
    table = numbers_table(compared)
    assert [column.title for column in table.columns] == ["metric", "demo", "sft", "Δ", "", "95 % of Δ", "+", "-"]
    cells = [cell.text for cell in table.rows[0].cells]
    assert cells[:4] == ["exact", "10.00", "*75.00", "+65.00"]
    assert (cells[4], cells[6:]) == ("better", ["26", ""])
    assert compared.against[0].mcnemar == McNemar(0, 26, 2 / 2**26)


# --- the screen ---------------------------------------------------------------------------------------------------


async def test_the_numbers_with_what_they_mean(shown: Any, folders: list[Path]) -> None:
    async with shown(folders[:2]) as screen:
        text = screen.seen()
        assert "Comparison  exam  40 common rows · baseline demo" in text
        assert "sft against demo, 40 rows: 26 improved, 14 same" in text
        assert "Right only with sft: 26; only with demo: 0. McNemar p < 0.001:" in text
        assert "sft is right more often, which is hardly chance" in text.replace("\n ", " ")
        assert screen.cells("numbers")[0][:4] == ["exact", "10.00", "*75.00", "+65.00"]
        assert not screen.screen.query_one("#compare-warnings").display


async def test_three_models_side_by_side_on_one_row(shown: Any, folders: list[Path]) -> None:
    async with shown(folders) as screen:
        await screen.press("2")
        await screen.until(lambda: "▎question" in screen.seen(), "the row")
        line = next(line for line in screen.seen().splitlines() if "demo" in line and "sft" in line and "▎" in line)
        assert line.split() == ["▎✓", "demo", "│", "▎✓", "sft", "│", "▎✗", "ppo"]
        await screen.press("down", "down", "down", "down", "down")
        line = next(line for line in screen.seen().splitlines() if "▎✗ demo" in line)
        assert line.split() == ["▎✗", "demo", "│", "▎✓", "sft", "│", "▎✓", "ppo"]


async def test_rows_that_improved_regressed_and_changed(shown: Any, folders: list[Path]) -> None:
    async with shown(folders) as screen:
        await screen.press("i")
        assert screen.keys() == list(range(4, 30))
        await screen.press("o")  # PPO against the base
        assert screen.keys() == list(range(4, 34))
        await screen.press("r")
        assert screen.keys() == [0, 1]
        assert "regressed 2" in screen.seen()
        await screen.press("c")
        assert screen.keys() == list(range(34, 40))
        await screen.press("a")
        assert len(screen.keys()) == COUNT


async def test_rows_are_filtered_by_words(shown: Any, folders: list[Path]) -> None:
    async with shown(folders[:2]) as screen:
        await screen.press("slash", *"question 17", "enter")
        assert screen.keys() == [17]
        assert "1 shown" in screen.seen()
        await screen.press("escape")
        assert len(screen.keys()) == COUNT
        assert not screen.screen.query_one("#compare-filter", Input).display
        assert isinstance(screen.screen, CompareScreen)


async def test_another_metric_judges_and_another_report_is_the_baseline(shown: Any, folders: list[Path]) -> None:
    async with shown(folders[:2]) as screen:
        await screen.press("down", "enter")  # edit similarity
        assert screen.screen.page == "rows"
        assert "by edit sim." in screen.seen()
        assert [column.title for column in screen.screen._table("rows").table.columns][2:4] == ["demo", "sft"]
        await screen.press("b", "down", "enter")
        await screen.until(lambda: "baseline sft" in screen.seen(), "the other way round")
        assert "demo against sft, 40 rows: 26 regressed, 14 same" in screen.seen()


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
async def test_where_there_is_little_room_there_is_one_thing_at_a_time(
    shown: Any, folders: list[Path], size: tuple[int, int]
) -> None:
    async with shown(folders, size) as screen:
        await screen.press("2")
        sheet = screen.screen.query_one(ComparisonSheet)
        assert not sheet.display
        await screen.press("enter")
        await screen.until(lambda: sheet.has_focus, "the row")
        assert sheet.display
        await screen.press("escape")
        await screen.until(lambda: not sheet.display, "the list again")
        await screen.press("escape")
        await screen.until(lambda: not isinstance(screen.screen, CompareScreen), "the way out")


def test_answers_stand_under_one_another_where_columns_would_be_narrow(folders: list[Path]) -> None:
    compared = compare([open_report(folder) for folder in folders], ["exact_match"])
    narrow = [line.rstrip() for line in sheet_content(compared, 5, "exact_match", 60).plain.splitlines()]
    assert [line for line in narrow if line.startswith("▎")][2:] == ["▎✗ demo", "▎✓ sft", "▎✓ ppo"]
    assert "│" not in "".join(narrow)


async def test_what_makes_it_unfair_stands_on_top(shown: Any, folders: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "runs" / "half"
    half = Subject("half", "demo", dtype="bfloat16", device="cpu")
    write_part(other, predictions(LABELS[:30], answers(range(4))[:30]), subject=half, sha256="cd" * 32)
    async with shown([folders[0], other]) as screen:
        told = str(screen.screen.query_one("#compare-warnings Static", Static).content)
        assert "! 30 of 40 rows are in all reports; the others are left out" in told
        assert "! the test sets differ: their files have changed in between, or are others" in told
        assert "! dtype: demo float32, half bfloat16" in told
        assert "that can be chance" in screen.seen()


async def test_reports_of_different_sets_are_not_compared(shown: Any, folders: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "runs" / "quiz"
    rows = [f"frage {n}" for n in range(3)]
    write_part(other, predictions(rows, rows), dataset="quiz")
    async with shown([folders[0], other]) as screen:
        assert "the reports have no question in common" in screen.seen()
        assert "compare reports of the same test set" in screen.seen()
        await screen.press("i", "e", "b", "m", "2", "enter", "slash")
        assert isinstance(screen.screen, CompareScreen)
        await screen.press("escape")
        assert not isinstance(screen.screen, CompareScreen)


async def test_what_is_shown_is_written(shown: Any, folders: list[Path], tmp_path: Path) -> None:
    async with shown(folders[:2]) as screen:
        await screen.press("i", "e")
        assert isinstance(screen.screen, ExportDialog)
        await screen.press("enter")
        path = tmp_path / "comparison.md"
        await screen.until(path.is_file, "the file")
        text = path.read_text()
        assert "| exact match | 10.00 | **75.00** | +65.00" in text
        assert text.count("补卡方式\\_") + text.count("补卡方式_") == 2 * 26


async def test_hostile_answers_are_inert(shown: Any, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07[bold]x[/bold]\x1b[2J"
    folders = [tmp_path / "runs" / name for name in ("a", "b")]
    for folder, answer in zip(folders, (hostile, "fine"), strict=True):
        write_part(folder, predictions([hostile] * 3, [answer] * 3), subject=subject(hostile + folder.name))
    async with shown(folders) as screen:
        assert "\x1b" not in screen.seen()
        await screen.press("2", "enter")
        assert "\x1b" not in screen.seen()
        assert "[bold]x[/bold]" in screen.seen()
