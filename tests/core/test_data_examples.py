"""Rows as conversations, and the rows of a training: joined, mixed, sampled, by stable numbers."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message
from core.config.data import DataOptions
from core.data.checks import check
from core.data.entry import read_entry
from core.data.example import Example
from core.data.examples import ExampleSet, open_comparisons, open_examples, open_held, open_prompts
from core.data.formats import read_comparison, read_example, read_prompt, shape_of
from core.data.problems import RowProblem
from core.data.statistics import class_of_each, lengths_of, statistics
from core.errors import DataError
from core.workspace import Workspace


def example(row: dict[str, Any], entry: dict[str, Any] | None = None, options: DataOptions | None = None) -> Example:
    found, faults = read_example(
        row, shape_of(read_entry("x", {"file_name": "x.json", **(entry or {})}, Path()), options)
    )
    assert faults == []
    assert found is not None
    return found


def spoken(found: Example) -> str:
    """`system: … | user: … | assistant: …`"""
    return " | ".join(f"{message.role}: {message.content}" for message in found.messages)


# --- formats -----------------------------------------------------------------------------------------------------


def test_the_question_is_instruction_newline_input() -> None:
    assert spoken(example({"instruction": "q", "input": "i", "output": "a"})) == "user: q\ni | assistant: a"
    assert spoken(example({"instruction": "q", "input": "", "output": "a"})) == "user: q | assistant: a"
    assert spoken(example({"instruction": "", "input": "i", "output": "a"})) == "user: i | assistant: a"
    assert spoken(example({"instruction": None, "input": "i", "output": " a\n"})) == "user: i | assistant:  a\n"


def test_columns_that_are_given_and_leave_query_out_leave_the_input_out() -> None:
    columns = {"columns": {"prompt": "instruction", "response": "output"}}
    assert spoken(example({"instruction": "q", "input": "i", "output": "a"}, columns)) == "user: q | assistant: a"


def test_history_and_system() -> None:
    columns = {"columns": {"prompt": "q", "response": "a", "history": "h", "system": "s"}}
    row = {"q": "q3", "a": "a3", "h": [["q1", "a1"], ["q2", "a2"]], "s": "be kind"}
    expected = "system: be kind | user: q1 | assistant: a1 | user: q2 | assistant: a2 | user: q3 | assistant: a3"
    assert spoken(example(row, columns)) == expected
    assert spoken(example({"q": "q", "a": "a", "h": None, "s": ""}, columns)) == "user: q | assistant: a"
    assert spoken(example({"q": "q", "a": "a", "h": ""}, columns)) == "user: q | assistant: a"


def test_the_columns_of_the_seeds_are_chosen_by_options() -> None:
    seed_004 = DataOptions(prompt_column="content", response_column="summary")
    assert (
        spoken(example({"content": "q", "summary": "a", "input": "other"}, None, seed_004)) == "user: q | assistant: a"
    )
    with_history = DataOptions(prompt_column="prompt", response_column="response", history_column="history")
    row = {"prompt": "q", "response": "a", "history": [["x", "y"]]}
    assert spoken(example(row, None, with_history)) == "user: x | assistant: y | user: q | assistant: a"


def test_sharegpt_and_openai() -> None:
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert spoken(example({"conversations": turns}, {"formatting": "sharegpt"})) == "system: s | user: q | assistant: a"
    beside = {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "sys"}}
    assert spoken(example({"conversations": turns[1:], "sys": "t"}, beside)) == "system: t | user: q | assistant: a"
    assert spoken(example({"conversations": turns, "sys": "t"}, beside)) == "system: s | user: q | assistant: a"
    parts = [{"type": "text", "text": "q1"}, {"type": "text", "text": "q2"}]
    openai = [{"role": "user", "content": parts}, {"role": "assistant", "content": "a"}]
    assert spoken(example({"messages": openai}, {"formatting": "openai"})) == "user: q1q2 | assistant: a"


def test_messages_with_llama_factorys_tags() -> None:
    entry = {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert spoken(example({"messages": turns}, entry)) == "user: q | assistant: a"


def test_a_message_can_be_kept_out_of_the_loss() -> None:
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "weight": 0},
        {"role": "user", "content": "r"},
        {"role": "assistant", "content": "b"},
    ]
    found = example({"messages": turns}, {"formatting": "openai"})
    assert found.weights == (0.0, 0.0, 0.0, 1.0)
    beside = {"formatting": "openai", "columns": {"messages": "messages", "system": "s"}}
    assert example({"messages": turns, "s": "t"}, beside).weights == (0.0, 0.0, 0.0, 0.0, 1.0)
    del turns[1]["weight"]
    assert example({"messages": turns}, {"formatting": "openai"}).weights == ()


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        ({"instruction": "q", "output": ["good", "bad"]}, {}),
        ({"instruction": "q", "chosen": "good", "rejected": "bad"}, {}),
        (
            {"q": "q", "good": "good", "bad": "bad"},
            {"columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}},
        ),
        (
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
            {"formatting": "sharegpt"},
        ),
    ],
)
def test_two_answers_however_they_are_written(row: dict[str, Any], entry: dict[str, Any]) -> None:
    shape = shape_of(read_entry("x", {"file_name": "x.json", "ranking": True, **entry}, Path()))
    found, faults = read_comparison(row, shape)
    assert faults == []
    assert found is not None
    assert (found.messages, found.chosen, found.rejected) == ((Message("user", "q"),), "good", "bad")


# --- the rows of a training --------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Sets a (5 rows), b (3 rows) and r, a ranking."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name, count in (("a", 5), ("b", 3)):
        rows = [{"instruction": f"{name}{number}", "output": "x"} for number in range(count)]
        (tmp_path / f"data/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data/r.json").write_text('[{"instruction": "q", "output": ["good", "bad"]}]')
    enter(tmp_path, r={"file_name": "r.json", "ranking": True})
    return Workspace(tmp_path)


def enter(root: Path, **entries: dict[str, Any]) -> None:
    info = {"a": {"file_name": "a.jsonl"}, "b": {"file_name": "b.jsonl"}, **entries}
    (root / "data/dataset_info.json").write_text(json.dumps(info))


def questions(examples: ExampleSet) -> list[str]:
    return [examples[number].messages[0].content for number in range(len(examples))]


def test_sets_are_joined_in_their_order_with_places_and_names(workspace: Workspace) -> None:
    examples = open_examples(["b", "a"], None, workspace)
    assert questions(examples) == ["b0", "b1", "b2", "a0", "a1", "a2", "a3", "a4"]
    assert [str(examples.place(number)) for number in (0, 3, 7)] == [
        "data/b.jsonl:1",
        "data/a.jsonl:1",
        "data/a.jsonl:5",
    ]
    assert [examples.dataset(number) for number in (2, 3)] == ["b", "a"]
    assert examples.row(3) == {"instruction": "a0", "output": "x"}
    for number in (8, -1):
        with pytest.raises(IndexError):
            examples[number]


def test_max_samples_takes_the_first_of_each(workspace: Workspace) -> None:
    assert questions(open_examples(["a", "b"], DataOptions(max_samples=2), workspace)) == ["a0", "a1", "b0", "b1"]
    assert len(open_examples(["b"], DataOptions(max_samples=99), workspace)) == 3


def test_num_samples_draws_and_repeats_where_there_are_too_few(workspace: Workspace) -> None:
    enter(
        workspace.root, few={"file_name": "a.jsonl", "num_samples": 3}, many={"file_name": "b.jsonl", "num_samples": 8}
    )
    few = questions(open_examples(["few"], None, workspace, seed=1))
    assert len(few) == len(set(few)) == 3
    assert few == questions(open_examples(["few"], None, workspace, seed=1))
    assert any(few != questions(open_examples(["few"], None, workspace, seed=seed)) for seed in range(2, 6))
    many = questions(open_examples(["many"], None, workspace))
    assert len(many) == 8
    assert set(many[:3]) == set(many) == {"b0", "b1", "b2"}
    assert len(open_examples(["many"], DataOptions(max_samples=4), workspace)) == 4


def test_interleaving_by_turns_until_the_first_or_the_last_is_used_up(workspace: Workspace) -> None:
    under = open_examples(["a", "b"], DataOptions(mix_strategy="interleave_under"), workspace)
    assert questions(under) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    over = open_examples(["a", "b"], DataOptions(mix_strategy="interleave_over"), workspace)
    assert questions(over) == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b0", "a4", "b1"]
    assert [over.dataset(number) for number in (0, 7)] == ["a", "b"]
    assert str(over.place(7)) == "data/b.jsonl:1"


def test_interleaving_by_shares(workspace: Workspace) -> None:
    rows = [{"instruction": f"c{number}", "output": "x"} for number in range(2000)]
    for name in ("c", "d"):
        (workspace.data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = DataOptions(mix_strategy="interleave_under", interleave_probs=("3", "1"))
    mixed = open_examples(["c.jsonl", "d.jsonl"], options, workspace)
    drawn = [mixed.dataset(number) for number in range(len(mixed))]
    assert drawn.count("c") == 2000  # used up first
    assert 0.7 < drawn.count("c") / len(drawn) < 0.8
    over = options.model_copy(update={"mix_strategy": "interleave_over"})
    assert set(questions(open_examples(["a", "b"], over, workspace))) == {
        *(f"a{n}" for n in range(5)),
        "b0",
        "b1",
        "b2",
    }


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (("0.5",), "interleave_probs has 1 numbers for 2 data sets: give one for each data set, in their order"),
        (("0.5", "half"), "interleave_probs: 0.5, half: expected numbers above 0: write 0.7,0.3"),
        (("1", "0"), "interleave_probs: 1, 0: expected numbers above 0: write 0.7,0.3"),
    ],
)
def test_shares_that_are_none(workspace: Workspace, shares: tuple[str, ...], told: str) -> None:
    with pytest.raises(DataError) as caught:
        open_examples(["a", "b"], DataOptions(mix_strategy="interleave_over", interleave_probs=shares), workspace)
    assert str(caught.value) == told


def test_bad_rows_raise_or_are_left_out_and_told(workspace: Workspace) -> None:
    (workspace.data / "a.jsonl").write_text(
        '{"instruction": "0", "output": "x"}\n{broken\n{"instruction": "2", "output": ""}\n'
    )
    examples = open_examples(["a"], None, workspace)
    assert examples[0].messages[0].content == "0"
    with pytest.raises(RowProblem) as caught:
        examples[1]
    assert str(caught.value).startswith("data/a.jsonl:2: broken JSON: Expecting property name")
    with pytest.raises(RowProblem, match=r"data/a\.jsonl:3: the answer 'output' is empty"):
        examples[2]
    skipping = open_examples(["a", "b"], DataOptions(on_bad_rows="skip"), workspace)
    assert questions(skipping) == ["0", "b0", "b1", "b2"]
    assert skipping.left_out == 2
    assert [problem.kind for problem in skipping.problems] == ["broken_json", "empty_answer"]
    (workspace.data / "a.jsonl").write_text("{broken\n")
    with pytest.raises(
        DataError, match=r"a: no row can be used, the first because of this: data/a\.jsonl:1: broken JSON"
    ):
        open_examples(["a"], DataOptions(on_bad_rows="skip"), workspace)


def test_max_samples_counts_rows_that_can_be_used(workspace: Workspace) -> None:
    good = '{{"instruction": "{}", "output": "x"}}'
    lines = ["{broken", good.format(1), "{broken", good.format(3), good.format(4), "{broken"]
    (workspace.data / "a.jsonl").write_text("\n".join(lines))
    two = open_examples(["a"], DataOptions(max_samples=2, on_bad_rows="skip"), workspace)
    assert questions(two) == ["1", "3"]
    assert two.left_out == len(two.problems) == 2
    report = check(["a"], DataOptions(max_samples=2, on_bad_rows="skip"), workspace)
    assert (report.rows, report.bad_rows) == (4, 2)
    assert check(["a"], DataOptions(max_samples=2), workspace).rows == 2


def test_sources_tell_size_and_hash(workspace: Workspace) -> None:
    (source,) = open_examples(["b"], None, workspace).sources
    content = (workspace.data / "b.jsonl").read_bytes()
    assert (source.dataset, source.path, source.size) == ("b", str(workspace.data / "b.jsonl"), len(content))
    assert source.sha256 == hashlib.sha256(content).hexdigest()


def test_a_set_travels_to_other_processes(workspace: Workspace) -> None:
    options = DataOptions(mix_strategy="interleave_over", on_bad_rows="skip")
    examples = open_examples(["a", "b"], options, workspace)
    assert questions(pickle.loads(pickle.dumps(examples))) == questions(examples)


def test_rankings_and_answers_are_not_taken_for_each_other(workspace: Workspace) -> None:
    assert open_comparisons(["r"], None, workspace)[0].chosen == "good"
    with pytest.raises(DataError, match=r"^r holds rankings: two answers for each question"):
        open_examples(["r"], None, workspace)
    with pytest.raises(DataError, match=r"^a holds one answer for each question, not two to compare"):
        open_comparisons(["a"], None, workspace)
    enter(workspace.root, k={"file_name": "a.jsonl", "columns": {"prompt": "instruction", "kto_tag": "label"}})
    with pytest.raises(DataError, match=r"^k: rows with a kto_tag cannot be trained on"):
        open_examples(["k"], None, workspace)


def test_questions_are_read_of_sets_of_every_kind(workspace: Workspace) -> None:
    def asked(row: dict[str, Any], entry: dict[str, Any]) -> list[str]:
        found, faults = read_prompt(row, shape_of(read_entry("x", {"file_name": "x.json", **entry}, Path())))
        return [fault.what for fault in faults] if found is None else [message.content for message in found.messages]

    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    said = {"role": "assistant", "content": ""}
    openai = {"formatting": "openai"}
    assert asked({"instruction": "q", "input": "i"}, {}) == ["q\ni"]
    assert asked({"instruction": "q", "output": ""}, {}) == ["q"]
    assert asked({"instruction": "q", "output": ["a", "b"]}, {"ranking": True}) == ["q"]
    assert asked({"messages": talk}, openai) == ["s", "q"]
    assert asked({"messages": [*talk, said]}, openai) == ["s", "q"]
    assert asked({"messages": talk, "chosen": said, "rejected": 1}, {**openai, "ranking": True}) == ["s", "q"]
    assert asked({"messages": [said]}, openai) == ["message 1 of 'assistant' is empty"]
    assert asked({"messages": [*talk, *talk[1:]]}, openai) == ["message 3: two messages of 'user' in a row"]
    assert asked({"instruction": " "}, {}) == ["the question is empty ('instruction', 'input')"]
    assert open_prompts(["r", "a"], None, workspace)[0].messages == open_comparisons(["r"], None, workspace)[0].messages


def test_questions_without_answers_are_learnt_from_by_no_other_stage(workspace: Workspace) -> None:
    rows = [{"prompt": f"q{n}", "system": "s"} for n in range(3)]
    (workspace.data / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = open_prompts(["asked"], None, workspace)
    assert [spoken(Example(questions[n].messages)) for n in range(3)] == [f"system: s | user: q{n}" for n in range(3)]
    for opener, told in ((open_examples, "questions without answers"), (open_comparisons, "one answer for each")):
        with pytest.raises(DataError, match=f"^asked holds {told}"):
            opener(["asked"], None, workspace)
    assert check(["asked"], None, workspace).total == 0
    held = open_held("asked", None, workspace)
    assert statistics(held).answers.longest == 0
    assert statistics(held).questions.longest == 3
    columns = DataOptions(response_column="system")
    assert open_examples(["asked"], columns, workspace)[0].messages[-1].content == "s"


def test_no_name_and_an_unreadable_file(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"^no data set is named"):
        open_examples([], None, workspace)
    (workspace.data / "a.jsonl").write_text("")
    with pytest.raises(DataError, match=r"^data/a\.jsonl: the file has no rows"):
        open_examples(["a"], None, workspace)


def test_the_data_folder_is_the_workspaces_or_the_one_that_was_typed(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "data").rename(elsewhere)
    assert len(open_examples(["b"], DataOptions(dataset_dir="elsewhere"), workspace)) == 3
    assert len(open_examples(["b"], DataOptions(dataset_dir=str(elsewhere)), Workspace(tmp_path / "other"))) == 3


# --- statistics --------------------------------------------------------------------------------------------------


def test_figures_of_a_set(workspace: Workspace) -> None:
    rows = [{"instruction": "q" * number, "output": "yes" if number % 2 else "no"} for number in range(1, 41)]
    rows += [{"instruction": "q", "output": "yes"}, {"instruction": "q", "output": ""}]
    (workspace.data / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps: list[tuple[int, int]] = []
    found = statistics(open_examples(["a"], None, workspace), lambda done, total: steps.append((done, total)))
    assert (found.rows, found.bad_rows, found.turns, found.repeated_questions) == (42, 1, 1.0, 1)
    assert (found.questions.shortest, found.questions.longest, found.questions.median) == (1, 40, 20)
    assert found.questions.percentile_95 == 38
    assert sum(at.count for at in found.questions.bins) == 41
    assert (found.questions.bins[0].low, found.questions.bins[0].high, found.questions.bins[0].count) == (1, 2, 3)
    assert found.classes.by == "answer"
    assert found.classes.counts == (("yes", 21), ("no", 20))
    assert steps == [(0, 42)]


def test_lengths_have_at_most_twenty_bins_that_hold_all() -> None:
    for lengths in ([5], [0, 0, 0], list(range(1000)), [1, 100_000]):
        found = lengths_of(lengths)
        assert len(found.bins) <= 20
        assert sum(at.count for at in found.bins) == len(lengths)
        assert found.bins[-1].low <= found.longest <= found.bins[-1].high
    assert lengths_of([]).bins == ()


def test_classes_are_answers_that_repeat_else_their_beginnings() -> None:
    assert class_of_each(["取消方式_68", "开通方式_3"] * 2) == ("answer", ["取消方式_68", "开通方式_3"] * 2)
    numbered = [f"取消方式_{number}" for number in range(5)] + [f"业务简介_{number}|9.9" for number in range(5)]
    assert class_of_each(numbered) == ("beginning", ["取消方式"] * 5 + ["业务简介"] * 5)
    assert class_of_each(["all", "of", "these", "differ"]) == ("none", [""] * 4)
    assert class_of_each([]) == ("none", [])
