"""Multiple choice: the shapes that published sets come in, and the words in which they are asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.choices import choice_messages, holds_choices, open_choices, read_choice, subject_of
from core.data.examples import AllRows
from core.errors import DataError
from core.workspace import Workspace


@pytest.mark.parametrize(
    ("row", "choices", "answer"),
    [
        ({"question": "Q", "A": "1", "B": "2", "C": "3", "answer": "b"}, ("1", "2", "3"), "B"),
        ({"question": "Q", "A": "1", "B": "2", "answer": " A "}, ("1", "2"), "A"),
        ({"question": "Q", "choices": ["1", "2", "3"], "answer": 2}, ("1", "2", "3"), "C"),
        ({"question": "Q", "choices": ["1", "2"], "answer": "0"}, ("1", "2"), "A"),
        ({"question": "Q", "choices": {"text": ["1", "2"], "label": ["A", "B"]}, "answerKey": "B"}, ("1", "2"), "B"),
    ],
)
def test_every_published_shape_is_read(row: dict[str, Any], choices: tuple[str, ...], answer: str) -> None:
    choice, faults = read_choice(row)
    assert faults == []
    assert choice is not None
    assert (choice.choices, choice.answer) == (choices, answer)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": " ", "A": "1", "B": "2", "answer": "A"}, "there is no text in 'question'"),
        ({"question": "Q", "A": "1", "answer": "A"}, "there are no two choices"),
        ({"question": "Q", "A": "1", "B": "2", "answer": "C"}, "the answer 'C' is none of A, B"),
        ({"question": "Q", "choices": ["1", "2"], "answer": 2}, "the answer 2 is none of A, B"),
        ({"question": "Q", "A": "1", "B": "2", "answer": True}, "the answer True is none of A, B"),
    ],
)
def test_mistakes_are_told(row: dict[str, Any], told: str) -> None:
    choice, faults = read_choice(row)
    assert choice is None
    assert [fault.what for fault in faults] == [told]


def test_files_are_known_by_their_columns_and_the_hubs_of_letters_too(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.data.mkdir()
    (workspace.data / "bare_test.csv").write_text("Q1?,a,b,c,d,A\nQ2?,a,b,c,d,D\n")
    (workspace.data / "pairs.csv").write_text("question,answer\nQ,B\n")
    rows = [{"question": "Q", "choices": ["1", "2"], "answer": 1, "id": 7}, {"question": "R", "choices": ["1", "2"]}]
    (workspace.data / "hub.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [holds_choices(name, AllRows(), workspace) for name in ("bare_test.csv", "pairs.csv", "hub.jsonl")] == [
        True,
        False,
        True,
    ]
    bare = open_choices("bare_test.csv", AllRows(max_samples=1), workspace)
    assert [(choice.question, choice.answer, place.line) for choice, place in bare.rows] == [("Q1?", "A", 1)]
    with pytest.raises(DataError, match=r"hub\.jsonl:2: the answer None is none of A, B"):
        open_choices("hub.jsonl", AllRows(), workspace)
    skipped = open_choices("hub.jsonl", AllRows(on_bad_rows="skip"), workspace)
    assert (skipped.left_out, skipped.rows[0][0].id) == (1, "7")


def test_solved_questions_stand_before_as_turns() -> None:
    shot, _faults = read_choice({"question": "S?", "A": "1", "B": "2", "answer": "B"})
    asked, _faults = read_choice({"question": "Q?", "A": "3", "B": "4", "answer": "A"})
    assert shot is not None
    assert asked is not None
    messages = choice_messages(asked, [shot], subject_of("high_school-physics_test"))
    assert [(message.role, message.content) for message in messages] == [
        (
            "user",
            "The following are multiple choice questions (with answers) about high school physics.\n\n"
            "S?\nA. 1\nB. 2\nAnswer:",
        ),
        ("assistant", "B"),
        ("user", "Q?\nA. 3\nB. 4\nAnswer:"),
    ]
