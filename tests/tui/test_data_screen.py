"""F5: data sets are listed, looked into, checked, searched, entered and split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Checkbox, Input, OptionList, Static

from core.data.catalog import read_catalog
from core.data.entry import DatasetEntry
from core.data.formats import shape_of
from core.data.problems import Place
from core.data.rows import open_rows
from core.workspace import Workspace
from data_app import Data, go_there
from hostile import dangers
from tui.widgets.dialogs import AskText
from tui.widgets.row_pane import RowPane
from tui.widgets.row_view import Columns, columns_of, cut, preview, read_row
from tui.widgets.rows_list import RowsList
from tui.widgets.set_pages import bar
from tui.widgets.set_rows import OpenSet, data_sets, row_at
from tui.widgets.split_dialog import SplitDialog

# --- the list ---------------------------------------------------------------------------------------------------


async def test_sets_are_listed_with_rows_sizes_and_marks(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        size = (data.screen.workspace.data / "telecom.jsonl").stat().st_size
        told = [" ".join(line.split()) for line in data.options("SetList OptionList")]
        assert told == [
            f"telecom 30 {size / 1000:.3g} kB",
            "bad 3 9.64 kB",
            "! gone",
            "! wrong",
            "+ mine.jsonl 1 41 B",
        ]
        assert "telecom  30 rows · " in data.text("#data-head")
        assert "alpaca · instruction, input, output" in data.text("#data-head")
        assert "a enter it" not in data.text("#data-keys")
        await data.choose("gone")
        assert "gone.jsonl is missing" in data.row
        assert "did you mean 'mine.jsonl'?" in data.row
        await data.choose("wrong")
        assert "the entry names no file" in data.row


async def test_a_file_put_there_is_found_and_a_row_more_is_counted(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        (data.screen.workspace.data / "new.csv").write_text("instruction,output\na,b\n")
        await data.press("r")
        await data.until(lambda: "new.csv" in data.screen._opened, "the new file")
        assert any("+ new.csv" in line for line in data.options("SetList OptionList"))


async def test_broken_dataset_info_is_told_with_its_line(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        (data.screen.workspace.data / "dataset_info.json").write_text('{\n"a": {},,\n}')
        await data.press("r")
        await data.until(lambda: any("dataset_info.json:2: broken JSON" in toast for toast in data.toasts), "the line")


# --- rows -------------------------------------------------------------------------------------------------------


async def test_rows_are_shown_in_full_one_after_another(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        data.screen.list.options.action_select()
        assert data.screen.focused is data.rows  # at once: what is typed right behind enter belongs to the rows
        await data.press("down", "down")
        assert "怎么取消套餐 2？" in data.row
        assert "取消方式_2" in data.row
        assert data.place == "row 3 of 30 · telecom.jsonl:3"
        await data.press("end")
        assert data.place.startswith("row 30 of 30")
        await data.press("home", "pagedown")
        assert data.rows.cursor > 5


async def test_a_bad_row_tells_what_is_wrong_and_hostile_text_is_inert(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.choose("bad")
        assert dangers(data.row) == []
        shown = "".join(data.rows.render_line(y).text for y in range(3))
        assert dangers(shown) == []
        await data.press("enter", "down")
        assert "! the question is empty" in data.row
        assert '{"instruction": ""}' in data.row
        await data.press("down", "3")
        assert "! broken JSON" in data.row
        assert data.place == "row 3 of 3 · bad.jsonl:3"


async def test_prompt_and_tokens_come_from_the_model_that_answers_in_the_chat(
    data_workspace: Workspace, start_chat: Callable[..., Any]
) -> None:
    async with start_chat() as chat:
        await go_there(chat, "f5")
        data = Data(chat.app, chat.pilot)
        await data.until(lambda: "telecom" in data.screen._opened, "the set")
        await data.press("enter", "down", "3")
        await data.until(lambda: "1 trained" in data.place, "tokens")
        assert "1 trained · demo · template: tokenizer" in data.place
        content: Any = data.screen.query_one("RowPane VerticalScroll Static", Static).content
        marked = [content.plain[span.start : span.end] for span in content.spans if "underline" in str(span.style)]
        assert "".join(marked) == "取消方式_1"
        await data.press("2")
        shown: Any = data.screen.query_one("RowPane VerticalScroll Static", Static)
        await data.until(lambda: not shown.content.spans and "怎么取消套餐 1？" in data.row, "the prompt")
        await data.press("escape", "escape")
        assert data.app.screen is data.app.chat


async def test_ctrl_o_leads_there_too_and_without_a_set_it_says_how_to_get_one(start_chat: Callable[..., Any]) -> None:
    async with start_chat() as chat:
        await go_there(chat, "ctrl+o", "d")
        told = chat.app.screen.query_one("#data-none", Static)
        await chat.until(lambda: told.display, "what to do")
        assert "Put a file there" in str(told.content)


async def test_without_a_model_the_prompt_says_where_one_comes_from(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.press("3")
        await data.until(lambda: "choose one in the chat (F2), or fetch one (F6)" in data.row, "the hint")


def test_lines_of_rows_hide_what_all_questions_begin_with_and_fit_their_width() -> None:
    entry = DatasetEntry("x", Path())
    rows: Any = _Counted(10)
    readings = [read_row(rows, shape_of(entry), number) for number in range(10)]
    columns = columns_of(readings)
    assert columns.opening == "请问怎么办理业务"
    question, answer = preview(readings[7], 30, columns)
    assert question.strip() == "…7"
    assert answer == "答7"
    assert columns_of([]) == Columns()
    assert cut("中文字" * 10, 9) == "中文字中…"
    assert cut("a\x1b[31mb", 20) == "a␛[31mb"


class _Counted:
    """As many rows as wanted, which count how often they are read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read: set[int] = set()
        self.files: tuple[Path, ...] = (Path("x.jsonl"),)
        self.problems = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[dict[str, Any], Place]:
        self.read.add(number)
        return {"instruction": f"请问怎么办理业务{number}", "output": f"答{number}"}, self.place(number)

    def place(self, number: int) -> Place:
        return Place(self.files[0], number + 1)

    def raw(self, number: int) -> bytes:
        return b""


async def test_of_a_million_rows_those_in_view_are_read() -> None:
    rows: Any = _Counted(1_000_000)
    entry = DatasetEntry("x", Path())

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield RowsList()

    app = Alone()
    async with app.run_test(size=(80, 24)) as pilot:
        listed = app.query_one(RowsList)
        listed.show(OpenSet(entry, rows, shape_of(entry)))
        listed.focus()
        await pilot.press("end", "up", "pageup")
        assert listed.cursor == 1_000_000 - 2 - 23
        assert len(rows.read) < 200
        listed.mark([5, 500_000])
        assert listed.next_match(1)
        assert listed.cursor == 5  # on from the beginning
        listed.next_match(-1)
        assert listed.cursor == 500_000
        await pilot.pause()
        assert len(rows.read) < 300


# --- all rows ---------------------------------------------------------------------------------------------------


async def test_lengths_and_classes_are_counted_and_a_class_is_searched(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.press("4")
        await data.until(lambda: "median" in data.text("LengthsPane Static"), "lengths")
        assert "30 rows" in data.text("LengthsPane Static")
        await data.press("5")
        await data.until(lambda: "3 answers that repeat" in data.text("ClassesPane Static"), "classes")
        assert [line.split()[:3] for line in data.options("ClassesPane OptionList")] == [
            ["取消方式_0", "10", "33.3%"],
            ["取消方式_1", "10", "33.3%"],
            ["取消方式_2", "10", "33.3%"],
        ]
        assert "5 classes 3" in data.text("#data-tabs")
        await data.press("enter", "5", "down", "enter")
        await data.until(lambda: list(data.rows.matches) == list(range(1, 30, 3)), "the rows of the class")
        assert data.rows.cursor == 1


def test_a_place_leads_to_its_row_also_among_several_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"a": "1", "b": ""}, {"a": "2", "b": ""},\n{"a": "3",\n"b": ""}]')
    entry = DatasetEntry("x", tmp_path, "x.json", columns={"prompt": "a", "response": "b"})
    opened = OpenSet(entry, open_rows(entry), shape_of(entry))
    assert [row_at(opened, str(opened.rows.place(number))) for number in range(3)] == [0, 1, 2]
    assert row_at(opened, f"{tmp_path}/x.json:3") == 2
    assert row_at(opened, f"{tmp_path}/x.json") is None


async def test_problems_are_listed_marked_and_lead_to_their_rows(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.choose("bad")
        await data.press("enter", "6")
        await data.until(lambda: "stop a training" in data.text("ProblemsPane Static"), "the report")
        told = data.options("ProblemsPane OptionList")
        assert any("broken JSON" in line and "bad.jsonl:3" in line for line in told)
        await data.until(lambda: data.options("SetList OptionList")[1].startswith("! bad"), "the mark")
        at = next(index for index, line in enumerate(told) if "broken JSON" in line)
        data.screen.query_one("ProblemsPane OptionList", OptionList).highlighted = at
        await data.press("enter")
        await data.until(lambda: data.rows.cursor == 2 and data.rows.has_focus, "the row")
        await data.choose("telecom")
        await data.press("c")
        await data.until(lambda: "Nothing is wrong" in data.text("ProblemsPane Static"), "the other report")


async def test_search_goes_round(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.press("slash", *"套餐 2", "enter")
        await data.until(lambda: len(data.rows.matches) == 11, "what was found")
        assert data.rows.cursor == 2
        await data.press("n")
        assert data.rows.cursor == 20
        await data.press("N", "N")
        assert data.rows.cursor == 29
        await data.press("slash", *"xyz", "enter")
        await data.until(lambda: any("No row has “xyz”" in toast for toast in data.toasts), "nothing")
        await data.press("escape")
        assert not data.screen.query_one("#data-search", Input).display
        assert list(data.rows.matches) == []


# --- entering and splitting -------------------------------------------------------------------------------------


def info(workspace: Workspace) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((workspace.data / "dataset_info.json").read_bytes())
    return read


async def test_one_key_enters_a_file_as_it_was_guessed(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.press("a")
        assert any("It is entered already" in toast for toast in data.toasts)
        await data.choose("mine.jsonl")
        assert "not entered: a enters it" in data.text("#data-head")
        assert "问题, 答案" in data.text("#data-head")
        await data.press("a")
        await data.until(lambda: "mine" in data.screen._opened, "the entry")
        assert info(data.screen.workspace)["mine"] == {
            "file_name": "mine.jsonl",
            "columns": {"prompt": "问题", "response": "答案"},
        }
        assert data.screen.current is not None
        assert data.screen.current.name == "mine"
        assert any("mine is entered alpaca, prompt: 问题, response: 答案" in toast for toast in data.toasts)


async def test_a_file_whose_name_is_taken_asks_for_another(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        (data.screen.workspace.data / "telecom.csv").write_text("instruction,output\na,b\n")
        await data.press("r")
        await data.until(lambda: "telecom.csv" in data.screen._opened, "the file")
        await data.choose("telecom.csv")
        await data.press("a")
        await data.until(lambda: isinstance(data.app.screen, AskText), "the question")
        await data.press(*"second", "enter")
        await data.until(lambda: "second" in data.screen._opened, "the entry")
        assert info(data.screen.workspace)["second"]["file_name"] == "telecom.csv"


async def test_a_split_is_asked_for_told_and_written(start_data: Callable[..., Any]) -> None:
    async with start_data() as data:
        await data.press("s")
        await data.until(lambda: isinstance(data.app.screen, SplitDialog), "the dialog")
        dialog = data.app.screen
        assert dialog.query_one("#split-stratify", Checkbox).value is True
        await data.press(*"40")
        told = dialog.query_one("#split-told", Static)
        assert "the set has 30 rows" in str(told.content)
        await data.press("enter")
        assert data.app.screen is dialog
        await data.press("backspace", "backspace", *"12", "tab", *"6")
        assert str(told.content) == "18 of 30 rows: telecom_train_12, telecom_test_6"
        await data.press("enter")
        await data.until(lambda: "telecom_test_6" in data.screen._opened, "the parts")
        part = (data.screen.workspace.data / "telecom_train_12.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["output"] for line in part) == sorted(f"取消方式_{n % 3}" for n in range(12))
        assert any("telecom_train_12, telecom_test_6 the shares of 3 classes are kept" in t for t in data.toasts)
        await data.choose("telecom")
        await data.press("s")
        await data.until(lambda: isinstance(data.app.screen, SplitDialog), "the dialog again")
        await data.press(*"12")
        told = data.app.screen.query_one("#split-told", Static)
        assert str(told.content) == "telecom_train_12 is there already: give another name"
        await data.press("escape")


# --- narrow screens, and what the screen is made of --------------------------------------------------------------


async def test_at_80_columns_there_is_one_pane_at_a_time(start_data: Callable[..., Any]) -> None:
    async with start_data(size=(80, 24)) as data:
        assert data.screen.list.display
        assert not data.screen.query_one("#data-set").region
        await data.press("enter")
        await data.until(lambda: data.place == "row 1 of 30 · telecom.jsonl:1", "the row")
        assert not data.screen.list.region
        assert "telecom  30 rows" in data.text("#data-head")
        assert all(each in data.text("#data-tabs") for each in ("1 text", "6 problems"))
        await data.press("escape")
        await data.until(lambda: data.screen.list.options.has_focus, "the list")


async def test_the_row_pane_of_a_set_that_cannot_be_opened_forgets_the_one_before(
    start_data: Callable[..., Any],
) -> None:
    async with start_data() as data:
        await data.choose("gone")
        assert len(data.rows) == 0
        assert data.place == ""
        assert isinstance(data.screen.query_one(RowPane), RowPane)


def test_bars_are_as_wide_as_asked_and_what_is_there_is_seen() -> None:
    assert [bar(share, 4) for share in (0, 0.001, 0.5, 1)] == ["    ", "▏   ", "██  ", "████"]


def test_listing_opens_no_file(data_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = read_catalog(data_workspace.data)
    monkeypatch.setattr(Path, "open", None)
    listed = data_sets(catalog)
    assert [each.name for each in listed] == ["telecom", "bad", "gone", "wrong", "mine.jsonl"]
