"""Differences between a reference and an answer: what is marked, and that nothing is lost."""

from __future__ import annotations

import random

import pytest

from core.report.difference import Piece, difference, tokens
from hostile import CORPUS

MARKS = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}


def marked(pieces: list[Piece]) -> str:
    return "".join(MARKS[piece.kind].format(piece.text) for piece in pieces)


@pytest.mark.parametrize(
    ("reference", "answer", "shown"),
    [
        ("same", "same", "same"),
        ("", "", ""),
        ("", "new", "{+new+}"),
        ("old", "", "[-old-]"),
        ("取消方式_68", "取消方式_86", "取消方式_[-68-]{+86+}"),
        ("办理流量包", "办理语音包", "办理[-流量-]{+语音+}包"),
        ("the quick fox", "the slow fox", "the [-quick-]{+slow+} fox"),
        ("the fox", "the foxes", "the [-fox-]{+foxes+}"),
        ("一|二|三", "一|三", "一|[-二|-]三"),
        ("Hello 世界 12", "Hello 世间 13", "Hello 世[-界-]{+间+} [-12-]{+13+}"),
        ("one\ntwo", "one\nthree", "one\n[-two-]{+three+}"),
        ("我完全不知道的", "请您的家人拨打客服", "[-我完全不知道的-]{+请您的家人拨打客服+}"),
    ],
)
def test_characters_of_chinese_and_words_of_latin_script(reference: str, answer: str, shown: str) -> None:
    assert marked(difference(reference, answer)) == shown


def assert_whole(reference: str, answer: str) -> list[Piece]:
    pieces = difference(reference, answer)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == reference
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == answer
    assert all(piece.text for piece in pieces)
    return pieces


def test_reference_and_answer_are_in_the_pieces_whole() -> None:
    draw = random.Random(7)
    for _round in range(400):
        texts = ["".join(draw.choices("ab 的了1\n", k=draw.randint(0, 25))) for _side in range(2)]
        assert_whole(*texts)


@pytest.mark.parametrize("name", list(CORPUS))
def test_any_text_is_taken(name: str) -> None:
    text = CORPUS[name]
    assert_whole(text, text[::-1])
    assert difference(text, text) == ([Piece("same", text)] if text else [])
    assert "".join(tokens(text)) == text


def test_long_texts_that_share_little_are_compared_in_bounded_time() -> None:
    draw = random.Random(1)
    reference, answer = ("".join(draw.choices("天地玄黄宇宙洪荒", k=30_000)) for _side in range(2))
    assert_whole(reference, answer)
    changed = list(reference)
    changed[100] = changed[20_000] = "改"
    kinds = [piece.kind for piece in assert_whole(reference, "".join(changed))]
    assert kinds == ["same", "removed", "added", "same", "removed", "added", "same"]
