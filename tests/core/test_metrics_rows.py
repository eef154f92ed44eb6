"""Metrics of single answers: what is right, what is near, what does not count."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from core.metrics.catalog import metric
from core.metrics.exact import chosen_letter, last_number, normalised
from core.metrics.lists import items_found
from core.metrics.metric import Measuring, Pair
from core.metrics.overlap import edit_similarity, token_f1


def value(name: str, predict: str, label: str, measuring: Measuring | None = None, **facts: object) -> float | None:
    of_row = metric(name).of_row
    assert of_row is not None
    return of_row(Pair(predict, label, **facts), measuring or Measuring())  # type: ignore[arg-type]


def test_exact_match_takes_texts_as_they_stand() -> None:
    assert value("exact_match", "取消方式_68", "取消方式_68") == 100
    assert value("exact_match", "取消方式_68\n", "取消方式_68") == 0
    assert value("exact_match", "", "") == 100


def test_long_labels_are_longer_than_so_many_characters() -> None:
    assert value("long_exact_match", "x" * 10, "x" * 10) is None
    assert value("long_exact_match", "x" * 11, "x" * 11) == 100
    assert value("long_exact_match", "y", "x" * 4, Measuring(long_label=3)) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("＂Hello, World！＂", "hello world"),
        ("  It's\ta  TEST. ", "its a test"),
        ("你好 ， 世界 。", "你好世界"),
        ("取消方式_68", "取消方式68"),
        ("3.5", "3.5"),
        ("-5", "-5"),
        ("1,000", "1,000"),
        ("９８％", "98%"),
        ("a|b", "a|b"),
        ("well-known", "well known"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("。", ""),
        ("", ""),
    ],
)
def test_how_a_text_is_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected
    assert normalised(expected) == expected


def test_normalised_match_does_not_take_another_number_or_other_signs() -> None:
    assert value("normalised_match", "The answer: YES!", "the answer yes") == 100
    assert value("normalised_match", "35", "3.5") == 0
    assert value("normalised_match", "5", "-5") == 0
    assert value("normalised_match", "！", "？") == 0
    assert value("normalised_match", " ?", "?") == 100
    assert value("normalised_match", "", "…") == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so it is 1,234.50.", "1234.50"),
        ("3 + 4 = 7", "7"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("１２", "12"),
        ("1e3", "1e3"),
        ("x = .5", "0.5"),
        ("none", None),
        ("__import__('os').system('false')", None),
        ("9**9**9**9", "9"),
        ("10-4", "4"),
        ("on 2023-05-06", "6"),
        ("气温是-5度", "-5"),
    ],
)
def test_numbers_are_parsed_and_never_executed(text: str, number: str | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(number))


def test_numbers_count_where_the_label_is_one() -> None:
    assert value("number_match", "it is 42.0", "42") == 100
    assert value("number_match", "it is 43", "42") == 0
    assert value("number_match", "no idea", "42") == 0
    assert value("number_match", "42", "about 42") is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" b ", "B"),
        ("(C) because of A", "C"),
        ("The answer is D.", "D"),
        ("A cat … so the answer is (B)", "B"),
        ("答案是：C", "C"),
        ("选B", "B"),
        ("ＤＤ or Ｄ", "D"),
        ("I do not know, it's A.", "A"),
        ("A cat", ""),
        ("The answer is a bit longer: it has to be D", "D"),
        ("answer: b\nfor it is so", "B"),
        ("The answer is (c)", "C"),
        ("I'd say so", ""),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_the_letter_that_was_chosen(text: str, letter: str) -> None:
    assert chosen_letter(text) == letter


def test_choices_count_where_the_label_is_a_letter() -> None:
    assert value("choice_accuracy", "B. because", "B") == 100
    assert value("choice_accuracy", "A", "B") == 0
    assert value("choice_accuracy", "B", "Berlin") is None


def test_lists_have_no_order_and_count_items() -> None:
    assert items_found("b|a", "a|b", "|") == (1, 1, 1)
    assert items_found("a| a |x", "a|b", "|") == (pytest.approx(1 / 3), 0.5, 0.4)
    assert items_found("", "a|b", "|") == (0, 0, 0)
    assert items_found("", "", "|") == (1, 1, 1)
    assert value("list_recall", "9.9；开通", "9.9；开通；11.9", Measuring(list_separator="；")) == pytest.approx(
        200 / 3
    )


def test_token_f1_forgets_case_order_and_punctuation() -> None:
    assert token_f1("the Cat sat!", "The cat, sat") == 1
    assert token_f1("学习模型", "模型学习") == 1
    assert token_f1("a a b", "a b b") == pytest.approx(2 / 3)
    assert token_f1("", "") == 1
    assert token_f1("…", "a") == 0


def test_edit_similarity_is_of_the_longer_text() -> None:
    assert edit_similarity("abcd", "abxd") == 0.75
    assert edit_similarity("取消方式_68", "取消方式_86") == pytest.approx(5 / 7)
    assert edit_similarity("", "") == 1
    assert edit_similarity("", "ab") == 0


def test_books_are_not_held_against_books() -> None:
    assert value("edit_similarity", "x" * 200_000, "y" * 100_000) is None
    assert value("edit_similarity", "x" * 200_000, "yes") == 0


@pytest.mark.parametrize("name", ["token_f1", "edit_similarity"])
def test_what_is_symmetric_is_symmetric(name: str) -> None:
    draw = random.Random(5)
    for _number in range(200):
        first, second = ("".join(draw.choices("ab 取消方式，_68\n", k=draw.randrange(20))) for _side in "12")
        assert value(name, first, second) == value(name, second, first)
        assert value(name, first, first) == 100


def test_lengths_and_ends() -> None:
    assert value("length_ratio", "abc", "ab") == 1.5
    assert value("length_ratio", "abc", "") is None
    assert value("empty", " \n", "x") == 100
    assert value("truncated", "x", "x", finish_reason="length") == 100
    assert value("truncated", "x", "x", finish_reason="stop") == 0
    assert value("truncated", "x", "x") is None


def test_what_models_said() -> None:
    assert value("loss", "x", "x", loss=0.5) == 0.5
    assert value("loss", "x", "x") is None
    assert value("reward", "x", "x", reward=-2.0) == -2
