"""Blind judging: what is seen, what a key keeps, and what nobody may know before the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message
from core.config.load import load
from core.judging.folder import Judging, options_file
from core.judging.options import JUDGING
from core.judging.pair import Answer, Pair
from core.judging.verdicts import VerdictBook
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from drawn_pairs import draw_at_once, make_workspace
from hostile import SHORT, dangers
from screen_app import ScreenApp, Shown
from tui.judge_app import JudgeApp
from tui.screens.data import DataScreen
from tui.screens.help import HelpScreen
from tui.screens.judge import JudgeScreen
from tui.screens.judge_actions import JudgeActions

ENTRY = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}
SEED = 5
"""Pair 0 has its second answer on the left, pairs 1 and 2 have their first."""


def answers(number: int) -> tuple[Answer, Answer]:
    return (
        Answer(f"**bold** words {number}", "model-a", truncated=number == 1),
        Answer(f"流量包 {number}，第二个回答", "model-b"),
    )


def make_judging(workspace: Workspace, pairs: list[Pair]) -> Judging:
    settings = load(JUDGING, values={"dataset": "talks", "seed": SEED})
    judging = Judging(workspace.data, "mine", settings, workspace)
    judging.folder.mkdir(parents=True)
    options_file(judging.folder).write_text(f"dataset: [talks]\nseed: {SEED}\n")
    judging.keep_pairs(pairs)
    return judging


@pytest.fixture
def judging(tmp_path: Path) -> Judging:
    talk = (Message("system", "你是结衣"), Message("user", "first?"), Message("assistant", "1."))
    pairs = [Pair(number, (*talk, Message("user", f"question {number}")), *answers(number)) for number in range(3)]
    return make_judging(Workspace(tmp_path), pairs)


class Judge(Shown):
    """The screen, in the words of who judges."""

    @property
    def head(self) -> str:
        return str(self.screen.query_one("#judge-head").content)

    def lines(self) -> list[str]:
        return [line.strip() for line in self.seen().splitlines()]


@asynccontextmanager
async def judged(judging: Judging, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Judge]:
    app = JudgeApp(judging, VerdictBook(judging.verdicts, SEED))
    async with app.run_test(size=size) as pilot:
        shown = Judge(app, pilot)
        await shown.until(lambda: isinstance(app.screen, JudgeScreen), "the screen")
        await pilot.pause()
        yield shown


def kept(judging: Judging) -> list[tuple[int, str, str]]:
    lines = judging.verdicts.read_text().splitlines() if judging.verdicts.exists() else []
    records = [json.loads(line) for line in lines]
    return [(record["number"], record["verdict"], record.get("left", "")) for record in records]


async def test_a_pair_is_seen_side_by_side_without_names(judging: Judging) -> None:
    async with judged(judging) as shown:
        seen = shown.seen()
        assert shown.head == "mine  0 of 3 judged · prompt 1"
        row = next(line for line in seen.splitlines() if "words 0" in line)
        assert row.index("流量包 0") < row.index(
            "bold words 0"
        )  # as the seed has it, and Markdown as the chat shows it
        assert "question 0" in seen
        assert "model-a" not in seen
        assert "model-b" not in seen


async def test_keys_keep_verdicts_on_answers_not_on_sides(judging: Judging) -> None:
    async with judged(judging) as shown:
        await shown.press("left")
        assert "cut: the answer reached" in shown.seen()
        await shown.press("right", "1")
        assert kept(judging) == [(0, "second", "second"), (1, "second", "first"), (2, "first", "first")]
        assert "All pairs are judged." in shown.seen()
        assert "model-b won 2 of 3 (67 %, 21 – 94 %)" in shown.lines()
        await shown.press("q")
    rows = [json.loads(line) for line in judging.written.read_text().splitlines()]
    assert [row["meta"]["chosen"] for row in rows] == ["model-b", "model-b", "model-a"]
    assert rows[0]["output"] == ["流量包 0，第二个回答", "**bold** words 0"]
    assert rows[0]["system"] == "你是结衣"
    assert rows[0]["history"] == [["first?", "1."]]
    assert json.loads((judging.data / "dataset_info.json").read_text())["mine"]["ranking"] is True


async def test_ties_bad_ones_and_skipped_ones_are_counted_and_not_written(judging: Judging) -> None:
    async with judged(judging) as shown:
        await shown.press("equals_sign", "0", "s")
        assert "0 with a better answer, 1 tie, 1 both bad, 1 skipped" in shown.lines()
        await shown.press("q")
    assert [verdict for _number, verdict, _left in kept(judging)] == ["tie", "bad", "skip"]
    assert not judging.written.exists()


async def test_undo_brings_the_last_pair_back_also_from_the_end(judging: Judging) -> None:
    async with judged(judging) as shown:
        await shown.press("u")
        assert kept(judging) == []
        await shown.press("left", "left", "left", "u")
        assert shown.head == "mine  2 of 3 judged · prompt 3"
        await shown.press("u", "0")
        # The pair that was taken back first is still to be judged.
        assert shown.head == "mine  2 of 3 judged · prompt 3"
    assert [verdict for _number, verdict, _left in kept(judging)] == ["second", "first", "first", "", "", "bad"]


async def test_going_on_asks_the_rest(judging: Judging) -> None:
    VerdictBook(judging.verdicts, SEED).judge(judging.pairs()[0], "tie")
    async with judged(judging) as shown:
        assert shown.head == "mine  1 of 3 judged · prompt 2"
        await shown.press("right", "escape")
    assert len(judging.written.read_text().splitlines()) == 1


def full(*_args: Any, **_options: Any) -> None:
    raise OSError(28, "No space left on device")


async def test_a_set_that_cannot_be_written_holds_nobody(judging: Judging, monkeypatch: pytest.MonkeyPatch) -> None:
    async with data_screen(judging.workspace) as shown:
        await shown.press("j", "enter")
        await shown.until(lambda: isinstance(shown.screen, JudgeScreen), "the judging")
        await shown.press("left")
        monkeypatch.setattr("core.judging.writing.replace_file", full)
        await shown.press("q")
        await shown.until(lambda: isinstance(shown.screen, DataScreen), "the way back")
        (told,) = shown.toasts
        assert "the data set cannot be written: No space left on device" in told
    assert len(kept(judging)) == 1


async def test_every_way_out_writes_the_set(judging: Judging) -> None:
    async with judged(judging) as shown:
        await shown.press("left", "ctrl+q")
    assert len(judging.written.read_text().splitlines()) == 1


async def test_a_full_disk_is_told_and_the_pair_stays(judging: Judging, monkeypatch: pytest.MonkeyPatch) -> None:
    async with judged(judging) as shown:
        monkeypatch.setattr("core.judging.verdicts.append_lines", full)
        await shown.press("left")
        assert shown.head == "mine  0 of 3 judged · prompt 1"
        assert "the judgement cannot be kept: No space left on device" in shown.toasts[0]


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12)])
async def test_hostile_texts_do_nothing(tmp_path: Path, size: tuple[int, int]) -> None:
    everything = "\n\n".join(SHORT.values())
    pair = Pair(0, (Message("user", everything),), Answer(everything, "[red]a"), Answer("[b]x[/b]", "\x1b[31mb"))
    async with judged(make_judging(Workspace(tmp_path), [pair]), size) as shown:
        assert not dangers(shown.seen().replace("\n", ""))
        assert "[b]x[/b]" in shown.seen()
        await shown.press("left")
        assert not dangers(shown.seen().replace("\n", ""))


async def test_narrow_terminals_have_one_answer_above_the_other(judging: Judging) -> None:
    async with judged(judging, (60, 24)) as shown:
        lines = shown.lines()
        left = next(at for at, line in enumerate(lines) if "1  left" in line)
        right = next(at for at, line in enumerate(lines) if "2  right" in line)
        assert left < right
        assert any("流量包 0" in line for line in lines[left:right])


async def test_arrows_scroll_both_answers(tmp_path: Path) -> None:
    long = "\n\n".join(f"paragraph {number}" for number in range(40))
    pair = Pair(0, (Message("user", "?"),), Answer(long, "a"), Answer(long + " more", "b"))
    async with judged(make_judging(Workspace(tmp_path), [pair])) as shown:
        assert shown.seen().count("paragraph 0") == 2
        await shown.press("down", "down", "pagedown")
        assert "paragraph 0" not in shown.seen()
        await shown.press("pageup", "up", "up")
        assert shown.seen().count("paragraph 0") == 2


# --- from the Data screen ----------------------------------------------------------------------------------------


@asynccontextmanager
async def data_screen(workspace: Workspace) -> AsyncIterator[Shown]:
    app = ScreenApp(workspace, DataScreen)
    async with app.run_test(size=(120, 36)) as pilot:
        yield Shown(app, pilot)


async def test_the_data_screen_opens_what_is_drawn(judging: Judging) -> None:
    async with data_screen(judging.workspace) as shown:
        await shown.press("j")
        await shown.until(lambda: "Judge the pairs of" in shown.seen(), "the list")
        await shown.press("enter")
        await shown.until(lambda: isinstance(shown.screen, JudgeScreen), "the judging")
        await shown.press("left", "q")
        await shown.until(lambda: isinstance(shown.screen, DataScreen), "the way back")
        assert "1 row in mine" in shown.toasts
        await shown.until(lambda: "mine" in shown.seen(), "the set in the list")


async def test_a_set_has_answers_drawn_and_then_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"instruction": f"question {n}", "input": "", "output": "a"} for n in range(3)]
    workspace = make_workspace(tmp_path, {"talks": (ENTRY, rows)})
    monkeypatch.setattr(JudgeActions, "_answering", lambda _screen: {"model_name_or_path": "demo"})
    draw_at_once(monkeypatch)
    async with data_screen(workspace) as shown:
        await shown.until(lambda: shown.screen.current, "the set")
        await shown.press("j")
        await shown.until(
            lambda: "Draw two answers to how many prompts of talks, with demo?" in shown.seen(), "how many"
        )
        await shown.press("2", "enter")
        await shown.until(lambda: shown.toasts, "the start")
        start = "Answers are drawn for talks_preferences F3 shows the run; when it has ended, j judges them."
        assert shown.toasts == [start]
        await shown.press("j", "enter")
        await shown.until(lambda: isinstance(shown.screen, JudgeScreen), "the judging")
        assert shown.screen.query_one("#judge-head").content.plain == "talks_preferences  0 of 2 judged · prompt 1"


async def test_a_number_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = {"model_name_or_path": "demo", "adapter_name_or_path": ["sft"]}
    monkeypatch.setattr(JudgeActions, "_answering", lambda _screen: answering)
    workspace = make_workspace(tmp_path, {"talks": (ENTRY, [{"instruction": "q", "input": "", "output": "a"}])})
    async with data_screen(workspace) as shown:
        await shown.until(lambda: shown.screen.current, "the set")
        await shown.press("j")
        await shown.until(lambda: "prompts of talks, with demo + sft?" in shown.seen(), "who answers")
        await shown.press("0", "enter")
        await shown.until(lambda: shown.toasts, "the mistake")
        assert shown.toasts == ["Type a number above 0."]
    assert not (workspace.data / "judging").exists()


async def test_help_is_of_the_screen_below_it_first(tmp_path: Path) -> None:
    async with data_screen(Workspace(tmp_path)) as shown:
        shown.screen.app.push_screen(HelpScreen())
        await shown.until(lambda: "On the Data screen" in shown.seen(), "the help")
        assert shown.seen().index("On the Data screen") < shown.seen().index("Typing")


async def test_without_a_set_there_is_nothing_to_draw(tmp_path: Path) -> None:
    async with data_screen(Workspace(tmp_path)) as shown:
        await shown.press("j")
        await shown.until(lambda: shown.toasts, "the reason")
        assert shown.toasts == ["A set of prompts has to be entered in dataset_info.json first."]


async def test_answers_that_are_drawn_meanwhile_are_waited_for(
    judging: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(judging.workspace.runs / "mine-answers")
    monkeypatch.setattr("core.judging.drawing.go_on_drawing", lambda _judging: run)
    async with data_screen(judging.workspace) as shown:
        await shown.press("j")
        await shown.until(lambda: "Judge the pairs of" in shown.seen(), "the list")
        await shown.press("enter")
        await shown.until(lambda: shown.toasts, "the reason")
        assert shown.toasts == ["mine: its answers are being drawn F3 shows the run mine-answers"]
