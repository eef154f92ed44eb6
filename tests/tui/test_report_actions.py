"""What is done with a report's rows elsewhere: they are asked again, exported, put into a data set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from report_app import Start, opened_report
from report_folders import LABELS, QUESTIONS, SET, make_report
from textual.widgets import Input, OptionList, Static, TextArea

from core.chat.message import Message as Said
from core.workspace import Workspace, load_state
from tui.messages import ComparisonChosen
from tui.screens.report_dialogs import AddRow, ExportDialog
from tui.widgets.dialogs import Confirm
from tui.widgets.report_head import HeadLines


@pytest.fixture
def folder(chat_workspace: Workspace) -> Path:
    return make_report(chat_workspace)


@pytest.fixture
def start(chat_workspace: Workspace, folder: Path) -> Start:
    """`async with start() as review`: the report on the screen."""
    return partial(opened_report, chat_workspace, folder)


async def test_a_row_is_asked_again_by_base_and_adapter(start: Start) -> None:
    async with start() as review:
        await review.press("o")
        await review.until(lambda: review.app.chosen, "the comparison")
        (event,) = review.app.chosen
        assert event.speakers == [("demo", None), ("demo", "tuned")]
        assert [(said.role, said.content) for said in event.asked] == [("user", f"请回答：{QUESTIONS[5]}")]


async def test_a_file_of_answers_alone_is_reviewed_too(start: Start, tmp_path: Path) -> None:
    target = tmp_path / "answers.jsonl"
    pairs = [("是", "是"), ("否", "是"), ("否", "否"), ("是", "是")]
    target.write_text("".join(json.dumps({"predict": one, "labels": other}) + "\n" for one, other in pairs))
    async with start(target=target) as review:
        assert review.shown == [2, 1, 3, 4]
        await review.press("i")
        told = str(review.screen.query_one(HeadLines).content).replace("\n", " ")
        assert f"finetui score {target}" in told
        await review.press("4")
        assert "否 ×1" in review.options("confusion")[0]
        await review.press("1")
        await review.press("b", "o", "a")
        assert review.toasts == ["This report does not have the questions."] * 2
    assert "bad" in (tmp_path / "answers.review.jsonl").read_text()


async def test_a_row_becomes_a_row_of_a_data_set(start: Start, chat_workspace: Workspace) -> None:
    async with start() as review:
        await review.press("a")
        await review.until(lambda: isinstance(review.top, AddRow), "the question")
        assert "reviewed is a new set" in str(review.top.query_one("#add-told", Static).content)
        await review.press("enter")
        path = chat_workspace.data / "reviewed.jsonl"
        await review.until(path.exists, "the row")
        (row,) = [json.loads(line) for line in path.read_text().splitlines()]
        assert [message["content"] for message in row["messages"]] == [f"请回答：{QUESTIONS[5]}", LABELS[5]]
        await review.press("end", "up", "up", "a")  # the model's answer, changed, into a set that is there
        await review.until(lambda: isinstance(review.top, AddRow), "the question")
        review.top.query_one("#add-set", Input).value = SET
        review.top.query_one(OptionList).highlighted = 1
        await review.pilot.pause()
        assert review.top.query_one(TextArea).text == "开通费用_2"
        review.top.query_one(TextArea).text = "开通费用_3"
        await review.press("ctrl+s")
        path = chat_workspace.data / f"{SET}.jsonl"
        await review.until(lambda: len(path.read_text().splitlines()) == 7, "the row")
        assert json.loads(path.read_text().splitlines()[-1]) == {
            "instruction": f"请回答：{QUESTIONS[1]}",
            "input": "",
            "output": "开通费用_3",
        }
        assert load_state(chat_workspace)["report"]["dataset"] == SET


async def test_what_is_shown_is_exported(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with start() as review:
        await review.filter("bleu>30")
        await review.press("e")
        assert isinstance(review.top, ExportDialog)
        assert review.top.query_one(Input).value == f"tuned-{SET}.csv"
        await review.press("enter")
        path = tmp_path / f"tuned-{SET}.csv"
        await review.until(path.exists, "the table")
        table = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
        assert [(row["row"], row["predict"], row["bleu-4"]) for row in table] == [
            ("2", "开通费用_2", "40.0"),
            ("3", "open the site and pay there", "60.0"),
            ("1", "取消方式_1", "100.0"),
        ]
        assert any(str(path) in toast for toast in review.toasts)
        await review.press("e", "down")
        assert review.top.query_one(Input).value == f"tuned-{SET}.jsonl"
        await review.press("down", "down", "enter")
        page = tmp_path / f"tuned-{SET}.html"
        await review.until(page.exists, "the page")
        assert "费用" in page.read_text()
        await review.press("e")
        assert review.top.query_one(Input).value == f"tuned-{SET}.html"  # the last form is proposed
        await review.press("enter")
        await review.until(lambda: isinstance(review.top, Confirm), "whether to write over it")


async def test_the_chat_goes_on_from_what_was_asked(start_chat: Callable[..., Any]) -> None:
    asked = [Said("system", "规则"), Said("user", "一"), Said("assistant", "二"), Said("user", "三？")]
    async with start_chat(answers=[["好"], ["行"]]) as chat:
        chat.screen.input.text = "a draft"
        chat.app.post_message(ComparisonChosen([("demo", None), ("demo", "tuned")], asked))
        await chat.until(lambda: chat.screen.input.text == "三？" and len(chat.screen.views) == 2, "the question")
        await chat.until(lambda: chat.texts(1) == ["一", "二"], "what was said before it")
        assert chat.texts(0) == ["一", "二"]
        assert chat.screen.conversation.system == "规则"
        assert not chat.screen.single_turn
        await chat.until(lambda: "a draft" in chat.screen.input.sent, "the draft among what can be recalled")
        await chat.pilot.press("up")
        await chat.pilot.pause()
        assert chat.screen.input.text == "a draft"  # nothing that was typed is lost
