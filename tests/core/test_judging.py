"""Preference pairs without a screen: how answers become pairs, what is kept, and the data set that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message
from core.chat.preferences import append_preference
from core.config.load import load
from core.data.checks import check
from core.data.examples import open_comparisons
from core.errors import ConfigError, DataError
from core.judging.drawing import Drawing, go_on_drawing, read_drawing
from core.judging.folder import Judging, find_judging, judgings
from core.judging.opening import open_judging
from core.judging.options import JUDGING
from core.judging.pair import Answer, Judged, Pair, swapped
from core.judging.rewarding import by_reward, judge_by_reward
from core.judging.summary import Share, summary, summary_lines
from core.judging.verdicts import VerdictBook
from core.judging.writing import write_preferences
from core.launch.evaluation import start_evaluation
from core.runs.rundir import RunDirectory
from core.runs.state import wait_gone
from core.workspace import Workspace
from drawn_pairs import draw_at_once, make_workspace
from fake_drawer import COMMAND

TALK = {
    "system": "be brief",
    "history": [["first?", "1."]],
    "instruction": "second?",
    "input": "",
    "output": "2.",
}
ENTRY = {
    "columns": {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "history": "history",
        "system": "system",
    },
}


COMPARED = {"ranking": True, "columns": {"prompt": "instruction", "query": "input", "response": "output"}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    rows = [TALK, *({**TALK, "system": "", "history": [], "instruction": f"question {n}"} for n in (1, 2, 3))]
    compared = {"instruction": "这是什么？", "input": "", "output": ["好", "坏"]}
    found = make_workspace(tmp_path, {"talks": (ENTRY, rows), "compared": (COMPARED, [compared])})
    draw_at_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return found


def begun(workspace: Workspace, **options: Any) -> Judging:
    return open_judging(load(JUDGING, values={"model_name_or_path": "demo", **options}), workspace)


def drawn(workspace: Workspace, **options: Any) -> Judging:
    """A judging with all its answers."""
    judging = begun(workspace, **{"dataset": "talks", "output": "mine", **options})
    for _draw in range(6):
        if go_on_drawing(judging) is None:
            return judging
    raise AssertionError(f"never drawn: {judging.drawing.read_text()}")


def pair(number: int, first: str, second: str, *, rewards: tuple[float | None, float | None] = (None, None)) -> Pair:
    one, other = rewards
    question = (Message("user", f"question {number}"),)
    return Pair(number, question, Answer(first, "a", reward=one), Answer(second, "b", reward=other))


def told(caught: pytest.ExceptionInfo[ConfigError]) -> list[str]:
    return [str(problem) for problem in caught.value.problems]


# --- drawing -----------------------------------------------------------------------------------------------------


def test_two_answers_of_one_model_to_every_prompt_with_its_history(workspace: Workspace) -> None:
    judging = drawn(workspace)
    pairs = judging.pairs()
    assert [(one.number, one.first.text, one.second.text) for one in pairs] == [
        (number, f"demo to {number}: 42.0", f"demo to {number}: 42.1") for number in range(4)
    ]
    assert [(message.role, message.content) for message in pairs[0].messages] == [
        ("system", "be brief"),
        ("user", "first?"),
        ("assistant", "1."),
        ("user", "second?"),
    ]
    assert read_drawing(judging) == Drawing((str(workspace.runs / "mine-answers"),), prompts=4)
    assert go_on_drawing(judging) is None
    assert judgings(workspace) == ["mine"]


def test_one_answer_of_each_of_two_models(workspace: Workspace) -> None:
    pairs = drawn(workspace, adapter_name_or_path="zh", include_base=True, max_samples=2).pairs()
    assert [(one.first.source, one.second.source) for one in pairs] == [("demo", "zh")] * 2
    assert pairs[0].second.text == "zh to 0: 42.0"


def test_answers_that_are_alike_are_drawn_again_and_at_last_left_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, numbers in (("FAKE_ALIKE", "0"), ("FAKE_SAME", "1"), ("FAKE_EMPTY", "3")):
        monkeypatch.setenv(variable, numbers)
    judging = drawn(workspace, redraws=2)
    pairs = judging.pairs()
    # The second draw has another seed; the earliest answer that differs is taken.
    assert [(one.number, one.first.text, one.second.text) for one in pairs] == [
        (0, "always this", "demo to 0: 43.0"),
        (2, "demo to 2: 42.0", "demo to 2: 42.1"),
    ]
    names = ["mine-answers", "mine-answers-again", "mine-answers-again-2"]
    assert read_drawing(judging) == Drawing(tuple(str(workspace.runs / name) for name in names), 4, alike=1, lacking=1)
    asked = (judging.folder / "mine-prompts-3.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in asked] == ["1", "3"]


def test_greedy_answers_of_two_models_are_not_drawn_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SAME", "0,1,2")
    judging = drawn(workspace, adapter_name_or_path="zh", include_base=True, temperature=0)
    assert len(read_drawing(judging).runs) == 1
    assert [one.number for one in judging.pairs()] == [3]


def test_prompts_of_comparisons_are_asked_and_a_system_prompt_is_kept_with_them(workspace: Workspace) -> None:
    judging = drawn(workspace, dataset="compared", default_system="你是结衣")
    (one,) = judging.pairs()
    assert [(message.role, message.content) for message in one.messages] == [
        ("system", "你是结衣"),
        ("user", "这是什么？"),
    ]


def test_a_drawing_that_failed_goes_on_where_it_was(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.judging.drawing.start_evaluation", start_evaluation)
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(COMMAND))
    monkeypatch.setenv("FAKE_END", "fail")
    judging = begun(workspace, dataset="talks", output="mine")
    run = RunDirectory(workspace.runs / "mine-answers")
    wait_gone(run, 10)
    kept = (run.path / "answers.jsonl").read_text().splitlines()
    assert len(kept) == 4
    again = go_on_drawing(begun(workspace, output="mine"))  # its options are kept with it
    assert again == run
    wait_gone(run, 10)
    assert go_on_drawing(judging) is None
    assert len(judging.pairs()) == 4


# --- beginning and going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "dataset: there is nothing to ask"),
        ({"dataset": "talks", "temperature": 0}, "temperature: greedy answers of one model are the same"),
        (
            {"dataset": "talks", "adapter_name_or_path": "zh,zh2", "include_base": True},
            "adapter_name_or_path: 3 models would answer, and a pair has two answers",
        ),
        ({"dataset": "talks", "judge": "reward"}, "judge: reward needs a reward model"),
        ({"dataset": "talks", "reward_model": "none"}, "reward_model: "),
    ],
)
def test_what_cannot_be_drawn_is_told_and_leaves_nothing(workspace: Workspace, options: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        begun(workspace, **options)
    assert told(caught)[0].startswith(problem)
    assert judgings(workspace) == []
    assert not (workspace.data / "judging" / "talks_preferences").exists()


def test_a_set_of_somebody_else_is_never_overwritten(workspace: Workspace) -> None:
    for overwrite in (False, True):
        with pytest.raises(DataError, match="there is a data set compared already"):
            begun(workspace, dataset="talks", output="compared", overwrite=overwrite)


def test_other_answers_need_another_name(workspace: Workspace) -> None:
    drawn(workspace)
    with pytest.raises(ConfigError) as caught:
        begun(workspace, output="mine", temperature=0.5, max_samples=3)
    assert [problem.split(" (")[0] for problem in told(caught)] == [
        "max_samples: was not given when these pairs were begun, and stays so",
        "temperature: was 1 when these pairs were begun, and stays so",
    ]
    again = begun(workspace, output="mine", judge="nobody", min_margin=0.5)
    assert (again.options.judge, again.options.min_margin) == ("nobody", 0.5)
    assert again.settings.values()["dataset"] == ("talks",)


def test_beginning_anew_forgets_only_when_the_new_one_has_begun(workspace: Workspace) -> None:
    judging = drawn(workspace)
    VerdictBook(judging.verdicts, 42).judge(judging.pairs()[0], "first")
    with pytest.raises(ConfigError):
        begun(workspace, dataset="talks", output="mine", overwrite=True, temperature=0)
    assert VerdictBook(judging.verdicts, 42).latest.keys() == {0}
    judging = drawn(workspace, overwrite=True, max_samples=1)
    assert not judging.verdicts.exists()
    assert [one.number for one in judging.pairs()] == [0]


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
        "a won 2 of 3 (67%, 21 – 94 %)",
        "b won 1 of 3 (33%, 6 – 79 %)",
        "which of the two is better is open: chance alone may do that",
        "the left one was chosen 1 of 3 (33%, 6 – 79 %)",
        "the longer one was chosen 2 of 3 (67%, 21 – 94 %)",
        "the reward model chose the same 2 of 3 (67%, 21 – 94 %)",
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
    assert line == "the left one was chosen 18 of 20 (90%, 70 – 97 %): judge with a rested eye: sides are shuffled"


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = Share(8, 10).interval
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert Share(0, 0).interval == (0.0, 1.0)
