"""A report in the app: its rows are shown, filtered, sorted, judged and grouped, at every size."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest
from report_app import Host, Review, Start, opened_report
from report_folders import SET, make_report, many_rows, rows, scores
from textual.widgets import Input

from core.report.files import append_prediction
from core.report.layout import PartFiles, PlannedPart
from core.report.report import EvaluatedSet, Report, Subject
from core.report.review import ReviewBook
from core.report.store import write_parts, write_report
from core.workspace import Workspace
from hostile import SHORT, dangers
from scripted_runs import ScriptedRun
from tui.screens.report import ReportScreen
from tui.widgets.dialogs import AskText
from tui.widgets.report_head import HeadLines
from tui.widgets.report_row import RowSheet


@pytest.fixture
def folder(chat_workspace: Workspace) -> Path:
    return make_report(chat_workspace)


@pytest.fixture
def start(chat_workspace: Workspace, folder: Path) -> Start:
    """`async with start() as review`: the report on the screen."""
    return partial(opened_report, chat_workspace, folder)


# --- what is shown ---


async def test_the_worst_come_first_under_the_numbers_and_their_intervals(start: Start) -> None:
    async with start() as review:
        assert review.shown == [6, 4, 5, 2, 3, 1]  # failed, then by BLEU-4, then what is right
        head = str(review.screen.query_one(HeadLines).content).split("\n")
        assert head[0].startswith(f"tuned · {SET}   6 answers · 1 failed · 1 empty · 1 cut · float32")
        assert head[1].startswith("exact match 20.0 [0.0, 60.0]   BLEU-4 41.0 [10.0, 80.0]")
        leak = "2 of the questions stand in the data that the adapter was trained on"  # before all that says less
        assert head[2] == f"! {leak}  +3, i shows all"
        assert "BLEU-4" in review.line(0)
        assert review.line(1).split()[:3] == ["6", "!", "–"]
        assert review.line(2).split()[:3] == ["4", "∅", "0.0"]
        assert review.line(3).split()[:3] == ["5", "✗>", "5.0"]
        assert review.line(6).split()[:3] == ["1", "✓", "100.0"]
        assert "开通副卡" in review.line(4)
        assert "开通费用_2" in review.line(4)
        assert "开通方式_2" in review.line(4)  # the reference beside a wrong answer
        assert review.text("#report-place").startswith(f"1 of 6 · row 6 · {SET}.jsonl:6 · worst first, by BLEU-4")
        assert "↑BLEU-4" in review.line(0).replace(" ", "")


async def test_everything_that_is_to_be_known_unfolds(start: Start) -> None:
    async with start() as review:
        await review.press("i")
        head = str(review.screen.query_one(HeadLines).content)
        for text in ("1 row has no answer", "1 near-tie", "2 of the questions stand in the data", "n=5"):
            assert text in head
        await review.press("i", "5")
        facts = review.text("#facts Static")
        for text in ("max_new_tokens", "45", "phone_train", "2 of 6", "ab" * 32, "63.25"):
            assert text in facts


async def test_one_row_whole(start: Start) -> None:
    async with start() as review:
        await review.press("end", "up", "up")
        assert review.row == 2
        assert "请回答：怎么开通副卡？" in review.sheet  # as the data set has it
        assert "开通方式_2" in review.sheet
        assert "开通费用_2" in review.sheet
        assert "✗ not equal · 6 characters" in review.sheet
        assert "BLEU-4 40.0" in review.sheet
        assert "先想一想" not in review.sheet
        await review.press("t")
        assert "先想一想" in review.sheet
        assert "<|im_start|>user" in review.sheet
        await review.press("t", "d")
        assert "开通[−方式−][+费用+]_2" in review.sheet
        await review.press("home")
        assert "out of memory" in review.sheet


async def test_words_of_latin_script_and_characters_of_chinese_are_marked(start: Start) -> None:
    async with start() as review:
        await review.press("d", "end", "up")
        assert "open the [−app−][+site+] and pay there" in review.sheet


# --- filter and order ---


async def test_a_filter_counts_while_it_is_typed_and_its_mistake_is_told_beside_it(start: Start) -> None:
    async with start() as review:
        await review.press("slash", *"wro", "right")  # the word is completed
        assert review.shown == [6, 4, 5, 2, 3]
        line = review.screen.query_one("#report-filter", Input)
        line.value = "wrong text:信号"
        await review.pilot.pause()
        assert review.shown == [4, 5]  # in the question of one, in the answer of the other
        line.value = "bleu<20 -empty"
        await review.pilot.pause()
        assert review.shown == [5]
        line.value = "blue<20"
        await review.pilot.pause()
        assert "blue" in review.text("#report-mistake")
        assert "bleu" in review.text("#report-mistake")
        assert review.shown == [5]  # what was shown stays
        await review.press("escape")
        assert review.shown == [6, 4, 5, 2, 3, 1]
        assert not review.screen.query_one("#report-filter-line").display
        assert review.answers.has_focus


async def test_the_cursor_stays_on_its_row_when_the_filter_changes(start: Start) -> None:
    async with start() as review:
        await review.press("end", "up")
        assert review.row == 3
        await review.filter("bleu>30")
        assert review.shown == [2, 3, 1]
        assert review.row == 3
        await review.press("escape")
        assert review.row == 3
        await review.filter("text:nowhere")
        assert "No row fits" in review.text("#report-none")
        assert review.sheet == ""


async def test_rows_are_sorted_by_any_column_and_the_other_way_round(start: Start) -> None:
    async with start() as review:
        await review.press("s")  # exact match
        assert "by exact match" in review.text("#report-place")
        await review.press("s")
        assert review.shown == [4, 5, 2, 3, 1, 6]  # BLEU-4; what has none comes last
        assert "↑BLEU-4" in review.line(0).replace(" ", "")
        await review.press("S")
        assert review.shown == [1, 3, 2, 5, 4, 6]
        assert "↓BLEU-4" in review.line(0).replace(" ", "")
        await review.press("c", *"label_len", "enter")
        await review.until(lambda: "label_len" in review.text("#report-place"), "the other order")
        assert review.shown[-1] == 3
        assert review.row == review.shown[0]


# --- judging ---


async def test_verdicts_and_notes_lie_beside_the_report(start: Start, folder: Path) -> None:
    async with start() as review:
        await review.press("b", "g")  # each goes on to the next row
        assert review.row == 5
        await review.press("n")
        assert isinstance(review.top, AskText)
        await review.press(*"看看", "enter")
        assert "看看" in review.sheet
        assert [review.line(n).split()[1] for n in (1, 2, 3)] == ["-", "+", "✎"]
        await review.press("v", "u")
        assert review.row == 5
        assert review.line(3).split()[1] == "?✎"
        await review.filter("unsure")
        assert review.shown == [5]
    book = ReviewBook(PartFiles(folder).review)
    kept = {row.row + 1: (book.of(row).verdict, book.of(row).note) for row in rows() if book.of(row).time}
    assert kept == {6: ("bad", ""), 4: ("good", ""), 5: ("unsure", "看看")}
    async with start() as review:
        assert "3 reviewed" in str(review.screen.query_one(HeadLines).content)
        await review.press("b")  # again: it is taken back, and the cursor stays
        assert review.row == 6
        assert review.line(1).split()[1] == "!"
        await review.press("down", "down", "n", "backspace", "enter", "u")
        assert review.screen.review is not None
        assert (review.screen.review.verdict, review.screen.review.note) == ("", "")


async def test_what_another_app_reviewed_is_there_when_one_comes_back(start: Start, folder: Path) -> None:
    async with start() as review:
        await review.press("e")  # a dialog is on top
        ReviewBook(PartFiles(folder).review).put(rows()[5], verdict="good")
        await review.press("escape")
        await review.until(lambda: review.line(1).split()[1] == "+", "the verdict")


# --- groups ---


async def test_a_group_shows_its_rows(start: Start) -> None:
    async with start() as review:
        await review.press("2")
        assert [option.split()[:2] for option in review.options("classes")] == [
            ["取消方式_1", "3"],
            ["开通方式_2", "2"],
            ["open", "the"],
        ]
        await review.press("enter")
        assert review.screen.query_one("#report-filter", Input).value == 'label="取消方式_1"'
        assert review.shown == [4, 5, 1]
        await review.press("escape", "3")
        kinds = review.options("kinds")
        assert [kind.split("  ")[0] for kind in kinds] == [
            "right",
            "no answer: an error",
            "empty",
            "cut at the longest answer allowed",
            "wrong",
        ]
        await review.press("down", "down", "enter")
        assert review.shown == [4]


async def test_what_was_answered_for_what(start: Start) -> None:
    async with start() as review:
        await review.press("4")
        title = review.text("#confusion Static")
        assert "A" in title.split("\n")[0]  # the table of counts, for few classes
        assert [word for word in title.split("\n")[1].split() if word != "A"] == ["取消方式_1", "1", "1", "·"]
        first = review.options("confusion")[0]
        assert first.split()[:6] == ["取消方式_1", "2", "1", "100.0", "50.0", "66.7"]
        assert "信号报障_3 ×1" in first
        await review.press("enter")
        assert review.shown == [4, 5]


# --- small screens, strange texts, many rows, live rows ---


async def test_on_80_columns_there_is_one_pane_at_a_time(start: Start) -> None:
    async with start(size=(80, 24)) as review:
        sheet = review.screen.query_one(RowSheet)
        assert review.answers.region.height > 10
        assert not sheet.region
        assert max(len(review.line(n)) for n in range(5)) <= 80
        await review.press("down", "enter")
        assert sheet.has_focus
        assert sheet.region.height > 10
        assert not review.answers.region
        await review.press("right")
        assert review.row == 5
        await review.press("escape")
        assert review.answers.has_focus
        await review.press("escape")
        assert not any(isinstance(screen, ReportScreen) for screen in review.app.screen_stack)


async def test_hostile_text_is_shown_and_not_obeyed(start: Start, chat_workspace: Workspace) -> None:
    hostile = "".join(text for name, text in SHORT.items() if name != "surrogates")
    evil = [
        dataclasses.replace(row, predict=hostile, label=hostile[::-1], id=hostile, thinking=hostile, error="")
        for row in rows()
    ]
    target = chat_workspace.runs / "evil"
    report = Report(Subject(hostile, "demo"), EvaluatedSet(hostile, 6), notes=(hostile,), config={hostile: hostile})
    write_report(PartFiles(target), report, evil, scores())
    async with start(target=target) as review:
        await review.press("t")
        for shown in ("", "d", "2", "3", "5"):
            if shown:
                await review.press(shown)
            for widget in review.screen.walk_children():
                texts = [widget.render_line(y).text for y in range(widget.size.height)] if widget.size.height else []
                assert not dangers("\n".join(texts)), (shown, widget)


async def test_twenty_thousand_rows(start: Start, chat_workspace: Workspace) -> None:
    target = many_rows(chat_workspace, 20_000)
    async with start(target=target) as review:
        assert len(review.shown) == 20_000
        assert review.line(1).split()[0] == "2"
        await review.press("end")
        assert review.row == 19_997
        await review.filter("text:流量包 wrong")
        assert len(review.shown) == 3000
        assert review.shown[0] == 6


async def test_rows_of_an_evaluation_that_goes_on_come_in(start: Start, chat_workspace: Workspace) -> None:
    target = chat_workspace.runs / "live"
    run = ScriptedRun(target)
    files = PartFiles(target)
    write_parts(target, [PlannedPart("tuned · " + SET, ".", "tuned", SET, 6)])
    made = rows()
    append_prediction(files.journal, made[4], made[1])
    async with start(target=target) as review:
        assert "! ended early: 2 of 6" in str(review.screen.query_one(HeadLines).content)  # nobody answers
        run.start()
        review.screen._look_again()
        going_on = "● being answered: 2 of 6"
        await review.until(lambda: going_on in str(review.screen.query_one(HeadLines).content), "that it goes on")
        here = review.row
        append_prediction(files.journal, made[0], made[5])
        review.screen._look_again()
        await review.until(lambda: len(review.shown) == 4, "the new rows")
        assert review.row == here
        report = Report(Subject("tuned", "demo"), EvaluatedSet(SET, 6), answered=5, failed=1)
        write_report(files, report, made, scores())
        review.screen._look_again()
        await review.until(lambda: len(review.shown) == 6, "the report")
        assert review.row == here
        assert "BLEU-4" in review.line(0)
        assert "being answered" not in str(review.screen.query_one(HeadLines).content)


async def test_several_answers_to_one_question_stand_together(start: Start, chat_workspace: Workspace) -> None:
    target = chat_workspace.runs / "sampled"
    base = rows()[1]
    made = [dataclasses.replace(base, repeat=n, predict=f"第{n + 1}种") for n in range(3)]
    told = dataclasses.replace(scores(), rows={"exact_match": [0.0, 0.0, 0.0]})
    write_report(PartFiles(target), Report(Subject("x", "demo"), EvaluatedSet(SET, 1), repeats=3), made, told)
    async with start(target=target) as review:
        assert "answer 1" in review.text("#report-place")
        assert "2 other answers" in review.sheet
        assert "第1种" in review.sheet
        assert "第3种" in review.sheet


async def test_a_folder_without_answers_says_so(chat_workspace: Workspace, tmp_path: Path) -> None:
    app = Host(chat_workspace, tmp_path)
    async with app.run_test() as pilot:
        review = Review(app, pilot)
        await review.until(lambda: "holds no answers" in review.text("#report-none"), "the reason")
        await review.press("g", "n", "o", "a", "e", "slash", "s", "2", "escape")
        assert not any(isinstance(screen, ReportScreen) for screen in app.screen_stack)
