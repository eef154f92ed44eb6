"""Data sets of two answers to each question: checked with a model as the stages that compare read them, and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from commands import runner
from core.chat.message import Message
from core.data.catalog import read_catalog
from core.data.formats import shape_of
from core.data.rows import open_rows
from core.runs.plan import LeftOutRow, Plan, PlanRecord, TokenReport
from core.serve.protocol import Rendered, Token
from core.workspace import Workspace
from tui.cli import data_tokens
from tui.widgets.row_pane import RowPane
from tui.widgets.set_rows import OpenSet
from tui.widgets.token_view import of_last_answer


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The ranking set `judged`, of which the second pair is the same twice, and the set `plain`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    data = tmp_path / "data"
    data.mkdir()
    history = [["First?", "Yes."]]
    pairs = [
        {"instruction": "Why?", "input": "", "output": ["Because.", "No."], "history": history},
        {"instruction": "How?", "input": "", "output": ["So.", "So."], "history": []},
    ]
    columns = {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}
    (data / "judged.json").write_text(json.dumps(pairs))
    (data / "plain.json").write_text(json.dumps([{"instruction": "q", "input": "", "output": "a"}]))
    catalog = {
        "judged": {"file_name": "judged.json", "ranking": True, "columns": columns},
        "plain": {"file_name": "plain.json"},
    }
    (data / "dataset_info.json").write_text(json.dumps(catalog))
    return Workspace(tmp_path)


def test_tokens_of_a_ranking_set_are_counted_as_pairs(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    first = (LeftOutRow("data/judged.json:9", "same_answers"),)
    report = TokenReport(
        "pairs", 1, left_out=2, left_out_reasons={"same_answers": 1, "unreadable": 1}, first_left_out=first
    )

    def ask_engine(text: str, *_arguments: Any, **_options: Any) -> Iterator[PlanRecord]:
        asked.append(json.loads(text))
        yield Mock(spec=Plan, report=report)

    monkeypatch.setattr(data_tokens, "ask_engine", ask_engine)
    run = runner(capsys, "data")("check", "judged", "--model", "tiny")
    assert asked[0]["stage"] == "rm"
    lines = run.out.splitlines()
    assert any("the better and the worse answer are the same: take the row out" in line for line in lines)
    assert (
        "data/judged.json:9: the better and the worse answer are the same once they are cut: "
        "shorten it, take it out, or raise cutoff_len" in lines
    )
    assert lines[-1] == "2 rows, 2 problems, 0 warnings, 2 rows cannot be used"


def test_no_stage_reads_sets_of_both_kinds(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_engine(*_arguments: Any, **_options: Any) -> Iterator[PlanRecord]:
        raise AssertionError("it is known before")

    monkeypatch.setattr(data_tokens, "ask_engine", ask_engine)
    run = runner(capsys, "data")("check", "plain", "judged", "--model", "tiny")
    assert run.code == 2
    assert "judged holds two answers to compare, plain one: no stage trains on both" in run.err


# --- in the app ---------------------------------------------------------------------------------------------------


async def rendered(messages: Sequence[Message]) -> tuple[Rendered, str]:
    """Each word a token; those of answers bear loss."""
    tokens = [
        Token(number, f"{word} ", message.role == "assistant")
        for number, (message, word) in enumerate((m, w) for m in messages for w in m.content.split())
    ]
    return Rendered(1, " | ".join(message.content for message in messages), tuple(tokens), "tokenizer"), "tiny"


class Host(App[None]):
    def __init__(self, opened: OpenSet) -> None:
        super().__init__()
        self.opened = opened

    def compose(self) -> ComposeResult:
        yield RowPane(rendered)

    def on_mount(self) -> None:
        self.query_one(RowPane).show(self.opened)


def shown(app: Host) -> Any:
    return app.query_one("RowPane VerticalScroll Static", Static).content


async def test_both_answers_are_shown_as_the_model_reads_them(workspace: Workspace) -> None:
    entry = read_catalog(workspace.data).entry("judged")
    app = Host(OpenSet(entry, open_rows(entry), shape_of(entry)))
    async with app.run_test(size=(100, 40)) as pilot:
        pane = app.query_one(RowPane)
        pane.view("tokens")
        await app.workers.wait_for_complete()
        await pilot.pause()
        plain = shown(app).plain
        assert plain.index("▎better") < plain.index("Because.") < plain.index("▎worse") < plain.index("No.")
        marked = [plain[span.start : span.end] for span in shown(app).spans if "underline" in str(span.style)]
        assert marked == ["Because. ", "No. "], "the conversation's own past bears no loss"
        line = str(pane.query_one(".place").render())
        assert "4 + 4 tokens" in line
        assert "1 + 1 trained" in line
        pane.view("prompt")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "First? | Yes. | Why? | Because." in shown(app).plain
        assert "First? | Yes. | Why? | No." in shown(app).plain


@pytest.mark.parametrize(
    ("trained", "expected"), [([0, 1, 0, 1, 1, 0], [3, 4]), ([1, 1], [0, 1]), ([0, 0], []), ([], []), ([0, 1], [1])]
)
def test_the_last_answer_alone_is_marked(trained: list[int], expected: list[int]) -> None:
    tokens = [Token(number, "x", bool(one)) for number, one in enumerate(trained)]
    assert [token.id for token in of_last_answer(tokens) if token.trained] == expected
