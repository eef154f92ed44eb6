"""Judgements of pairs: the journal, sides, rewards, the data set that is written, and what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message
from core.chat.preferences import append_preference
from core.data.checks import check
from core.data.examples import open_comparisons
from core.errors import DataError
from core.judging.drawing import Drawing
from core.judging.folder import find_judging
from core.judging.pair import Answer, Judged, Pair, swapped
from core.judging.rewarding import by_reward, judge_by_reward
from core.judging.summary import Share, summary, summary_lines
from core.judging.verdicts import VerdictBook
from core.judging.writing import write_preferences
from core.workspace import Workspace
from drawn_pairs import begun, draw_at_once, drawn, make_talks


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    draw_at_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return make_talks(tmp_path)


def pair(number: int, first: str, second: str, *, rewards: tuple[float | None, float | None] = (None, None)) -> Pair:
    one, other = rewards
    question = (Message("user", f"question {number}"),)
    return Pair(number, question, Answer(first, "a", reward=one), Answer(second, "b", reward=other))


# --- judgements --------------------------------------------------------------------------------------------------


def test_the_journal_keeps_what_stands_and_takes_back(tmp_path: Path) -> None:
    pairs = [pair(number, "x", "y") for number in range(4)]
    book = VerdictBook(tmp_path / "verdicts.jsonl", 1)
    for one, verdict in zip(pairs, ("first", "tie", "second"), strict=False):
        book.judge(one, verdict)  # type: ignore[arg-type]
    assert book.undo() == 2
    book.judge(pairs[0], "bad")
    with (tmp_path / "verdicts.jsonl").open("a") as file:
        file.write('not json\n{"type":"judged","number":3,"verd')  # somebody's hand, and a kill
    again = VerdictBook(tmp_path / "verdicts.jsonl", 1)
    assert [(number, judged.verdict) for number, judged in again.latest.items()] == [(1, "tie"), (0, "bad")]
    assert again.latest[0].left == ("second" if swapped(0, 1) else "first")
    assert [again.undo(), again.undo(), again.undo()] == [0, 1, None]


def test_sides_are_shuffled_and_tell_nothing() -> None:
    pairs = [pair(number, "x", "y") for number in range(200)]
    left = [one.on_sides(7)[0].source for one in pairs]
    assert 70 < left.count("a") < 130
    assert left == [one.on_sides(7)[0].source for one in pairs]
    assert left != [one.on_sides(8)[0].source for one in pairs]


@pytest.mark.parametrize(
    ("rewards", "margin", "verdict"),
    [
        ((2.0, 1.0), 0.0, "first"),
        ((1.0, 2.0), 0.5, "second"),
        ((1.0, 1.4), 0.5, "tie"),
        ((1.0, 1.0), 0.0, "tie"),
        ((None, 1.0), 0.0, "skip"),
    ],
)
def test_rewards_decide_where_they_are_far_enough_apart(rewards: Any, margin: float, verdict: str) -> None:
    assert by_reward(pair(0, "x", "y", rewards=rewards), margin) == verdict


def test_a_reward_model_judges_all_and_again_with_another_margin(workspace: Workspace) -> None:
    judging = drawn(workspace, reward_model="judge")
    book = VerdictBook(judging.verdicts, judging.seed)
    assert judge_by_reward(judging, book) == 4
    assert [book.latest[number].verdict for number in range(4)] == ["second", "tie", "second", "second"]
    assert judge_by_reward(judging, book) == 0
    assert judge_by_reward(begun(workspace, output="mine", min_margin=2), book) == 3
    assert {judged.verdict for judged in book.latest.values()} == {"tie"}


def test_answers_without_rewards_are_not_judged_by_them(workspace: Workspace) -> None:
    judging = drawn(workspace)
    with pytest.raises(DataError, match="no reward model has looked at these answers"):
        judge_by_reward(judging, VerdictBook(judging.verdicts, judging.seed))


# --- the data set ------------------------------------------------------------------------------------------------


def test_the_set_is_seed_001s_format_and_reads_back_as_comparisons(workspace: Workspace) -> None:
    judging = drawn(workspace)
    first, second, third, fourth = judging.pairs()
    book = VerdictBook(judging.verdicts, judging.seed)
    book.judge(first, "second")
    book.judge(second, "tie")
    book.judge(third, "first")
    assert write_preferences(judging, book.latest) == 2
    rows = [json.loads(line) for line in judging.written.read_text().splitlines()]
    assert rows[0] == {
        "instruction": "second?",
        "input": "",
        "output": ["demo to 0: 42.1", "demo to 0: 42.0"],
        "history": [["first?", "1."]],
        "system": "be brief",
        "meta": {"chosen": "demo", "rejected": "demo", "judge": "person"},
    }
    assert (rows[1]["output"], rows[1]["history"], rows[1]["system"]) == (
        ["demo to 2: 42.0", "demo to 2: 42.1"],
        [],
        "",
    )
    read = open_comparisons(["mine"], None, workspace)
    assert [(read[n].messages, read[n].chosen, read[n].rejected) for n in range(2)] == [
        (first.messages, first.second.text, first.first.text),
        (third.messages, third.first.text, third.second.text),
    ]
    assert check(["mine"], None, workspace).problems == ()
    # Judging goes on: the set is written anew, its entry stays.
    book.undo()
    book.judge(fourth, "second")
    assert write_preferences(judging, book.latest) == 2
    assert [json.loads(line)["instruction"] for line in judging.written.read_text().splitlines()] == [
        "second?",
        "question 3",
    ]


def test_what_a_chat_keeps_reads_as_comparisons_too(workspace: Workspace) -> None:
    prompt = [Message("system", "你是结衣"), Message("user", "q1"), Message("assistant", "a1"), Message("user", "q2")]
    append_preference(workspace.data / "preferences.jsonl", prompt, "better", "worse", {"chosen": "a", "rejected": "b"})
    append_preference(workspace.data / "preferences.jsonl", prompt[1:2], "好", "坏")
    read = open_comparisons(["preferences"], None, workspace)
    assert [(read[n].messages, read[n].chosen, read[n].rejected) for n in range(2)] == [
        (tuple(prompt), "better", "worse"),
        (tuple(prompt[1:2]), "好", "坏"),
    ]
    assert check(["preferences"], None, workspace).problems == ()


def test_nothing_is_written_before_something_is_judged(workspace: Workspace) -> None:
    judging = drawn(workspace)
    assert write_preferences(judging, {}) == 0
    assert not judging.written.exists()


def test_a_name_under_which_nothing_is_kept(workspace: Workspace) -> None:
    drawn(workspace)
    with pytest.raises(DataError, match="no pairs are kept under the name mime") as caught:
        find_judging("mime", workspace)
    assert "mine" in caught.value.hint


# --- what came out -----------------------------------------------------------------------------------------------


def judged(*verdicts: tuple[str, str]) -> dict[int, Judged]:
    """Verdicts on pairs 0, 1, …, each with the answer that stood on the left."""
    return {n: Judged(n, verdict, left) for n, (verdict, left) in enumerate(verdicts)}  # type: ignore[arg-type]


def test_a_summary_counts_wins_sides_lengths_and_agreement() -> None:
    pairs = [pair(n, "long answer", "short", rewards=(1.0, 0.0)) for n in range(6)]
    verdicts = judged(
        ("first", "first"),
        ("first", "second"),
        ("second", "first"),
        ("tie", "first"),
        ("skip", "first"),
        ("bad", "first"),
    )
    found = summary(pairs, verdicts)
    assert found.wins == {"a": Share(2, 3), "b": Share(1, 3)}
    assert (found.left, found.longer, found.agreement) == (Share(1, 3), Share(2, 3), Share(2, 3))
    assert (found.judged, found.decided) == (6, 3)
    assert list(summary_lines(found, Drawing(alike=1, lacking=2))) == [
        "6 of 6 pairs judged",
        "1 prompt is left out: its answers were all the same",
        "2 prompts are left out: they have no two answers that say something",
        "3 with a better answer, 1 tie, 1 both bad, 1 skipped",
        "a won 2 of 3 (67 %, 21 – 94 %)",
        "b won 1 of 3 (33 %, 6 – 79 %)",
        "which of the two is better is open: chance alone may do that",
        "the left one was chosen 1 of 3 (33 %, 6 – 79 %)",
        "the longer one was chosen 2 of 3 (67 %, 21 – 94 %)",
        "the reward model chose the same 2 of 3 (67 %, 21 – 94 %)",
    ]


def test_who_won_is_not_told_while_judging_goes_on() -> None:
    pairs = [pair(n, "x", "y") for n in range(2)]
    lines = list(summary_lines(summary(pairs, judged(("first", "first"))), Drawing()))
    assert lines[0] == "1 of 2 pairs judged"
    assert not [line for line in lines if "won" in line]


def test_a_judge_who_likes_a_side_is_told() -> None:
    pairs = [pair(n, "x", "y") for n in range(20)]
    found = summary(pairs, judged(*[("first", "first")] * 18, *[("first", "second")] * 2))
    (line,) = [line for line in summary_lines(found, Drawing()) if "left" in line]
    assert line == "the left one was chosen 18 of 20 (90 %, 70 – 97 %): judge with a rested eye: sides are shuffled"


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = Share(8, 10).interval
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert Share(0, 0).interval == (0.0, 1.0)
