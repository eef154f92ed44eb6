"""Which rows of a report are shown, in which order, and in which groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from core.report.filters import filter_names, filter_rows
from core.report.groups import error_kinds, grouped_by_kind, grouped_by_label, kind_text, quoted
from core.report.order import Order, ordered, parse_order
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.review import ReviewBook
from core.report.rows import OpenReport

ROWS = (
    # predict, label, finish, error, bleu-4
    ("流量查询_2", "流量查询_2", "stop", "", 100.0),
    ("流量查询_3", "流量查询_2", "stop", "", 80.0),
    ("", "取消方式_68", "stop", "", 0.0),
    ("我不知道，我不知道，我不知道", "取消方式_68", "length", "", 1.5),
    ("", "取消方式_68", None, "CUDA out of memory", None),
    ("Say 'Two Words'", "two words", "stop", "", 40.0),
)


@pytest.fixture
def opened(tmp_path: Path) -> OpenReport:
    predictions = [
        Prediction(
            f"<user>我的流量包呢 {at}</user>" if at % 2 else f"<user>Question {at}</user>",
            predict,
            label,
            id=f"q:{at}",
            row=at,
            finish_reason=finish,  # type: ignore[arg-type]
            tokens=10 * at,
            error=error,
        )
        for at, (predict, label, finish, error, _bleu) in enumerate(ROWS)
    ]
    exact = [None if row.error else 100.0 * (row.predict == row.label) for row in predictions]
    scores = {"exact_match": exact, "bleu-4": [row[4] for row in ROWS], "rouge-l": [50.0] * 6, "rouge-1": [50.0] * 6}
    report = Report(Subject("lora", "demo"), EvaluatedSet("exam", 6))
    return OpenReport(tmp_path / "p.jsonl", report, predictions, scores, ReviewBook(tmp_path / "review.jsonl"))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("wrong", [1, 2, 3, 4, 5]),
        ("right", [0]),
        ("-right", [1, 2, 3, 4, 5]),
        ("empty", [2]),
        ("truncated", [3]),
        ("failed", [4]),
        ("wrong -failed -empty", [1, 3, 5]),
        ("bleu<20", [2, 3]),
        ("bleu-4>=40", [0, 1, 5]),
        ("-bleu<20", [0, 1, 4, 5]),
        ("BLEU-4!=0", [0, 1, 3, 5]),
        ("rouge_l=50%", [0, 1, 2, 3, 4, 5]),
        ("len>6 len<=14", [3]),
        ("label_len>7", [5]),
        ("tokens>=40", [4, 5]),
        ("text:流量包", [1, 3, 5]),
        ("text:two", [5]),
        ('"two words"', [5]),
        ('predict:"say \'two"', [5]),
        ("predict:查询 wrong", [1]),
        ("-predict:查询", [2, 3, 4, 5]),
        ('label="取消方式_68"', [2, 3, 4]),
        ("label!=取消方式_68", [0, 1, 5]),
        ("id:q:3", [3]),
        ("error:memory", [4]),
        ("finish=length", [3]),
        ("kind=number", [1]),
        ("kind!=number wrong", [2, 3, 4, 5]),
    ],
)
def test_words_choose_rows(opened: OpenReport, text: str, rows: list[int]) -> None:
    assert filter_rows(opened, text) == rows


def test_rows_are_chosen_by_what_people_said_of_them(opened: OpenReport) -> None:
    opened.review.put(opened.predictions[1], verdict="good", note="Nearly right")
    opened.review.put(opened.predictions[3], note="rude")
    opened.review.put(opened.predictions[5], verdict="unsure")
    found = {text: filter_rows(opened, text) for text in ("reviewed", "noted", "good", "bad", "unsure", "note:RIGHT")}
    assert found == {"reviewed": [1, 3, 5], "noted": [1, 3], "good": [1], "bad": [], "unsure": [5], "note:RIGHT": [1]}
    assert filter_rows(opened, "verdict=good") == [1]
    assert filter_rows(opened, "-reviewed") == [0, 2, 4]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("worng", "filter, character 1: 'worng' means nothing", "did you mean 'wrong'?"),
        ("wrong -turncated", "filter, character 8: 'turncated' means nothing", "did you mean 'truncated'?"),
        ("流量包", "filter, character 1: '流量包' means nothing", "to search for it: text:流量包"),
        ("wrong blue<3", "filter, character 7: there is no column 'blue'", "did you mean 'bleu-4'?"),
        ("roug<3", "filter, character 1: there is no column 'roug'", "it could be: rouge-1, rouge-l"),
        ("bleu<x", "filter, character 6: 'x' is no number", "write: bleu-4<20"),
        ("len>", "filter, character 5: the number is missing", "write: bleu-4<20"),
        ("len:3", "filter, character 1: len is a number", "write: len<20"),
        ("label>3", "filter, character 1: label is a text", "write: label:word"),
        ("kind=numbr", "filter, character 6: there is no kind 'numbr'", "did you mean 'number'?"),
        ('text:"two', "filter, character 6: the quote is not closed", 'write: text:"two words"'),
        ("len<nan", "filter, character 5: 'nan' is no number", "write: bleu-4<20"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_nearest_name(
    opened: OpenReport, text: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        filter_rows(opened, text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_every_name_that_is_offered_can_be_typed(opened: OpenReport) -> None:
    for name in filter_names(opened.numbers):
        ending = {":": "x", "=": "right" if name == "kind=" else "good"}.get(name[-1], "")
        filter_rows(opened, name + ending if ending or name not in opened.numbers else f"{name}<1")


# --- order --------------------------------------------------------------------------------------------------------


def test_the_worst_come_first(opened: OpenReport) -> None:
    assert ordered(opened, range(6)) == [4, 2, 3, 5, 1, 0]
    assert ordered(opened, [0, 1, 5], Order(descending=True)) == [0, 1, 5]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("bleu-4", [2, 3, 5, 1, 0, 4]),
        ("-bleu-4", [0, 1, 5, 3, 2, 4]),
        ("-len", [5, 3, 0, 1, 2, 4]),
        ("row", [0, 1, 2, 3, 4, 5]),
        ("-row", [5, 4, 3, 2, 1, 0]),
        ("-id", [5, 4, 3, 2, 1, 0]),
    ],
)
def test_rows_in_the_order_of_a_column_those_without_a_number_last(
    opened: OpenReport, text: str, rows: list[int]
) -> None:
    assert ordered(opened, range(6), parse_order(text)) == rows
    assert str(parse_order(text)) == text


def test_a_metric_of_which_less_is_better_begins_with_the_most(opened: OpenReport) -> None:
    scores = {**opened.scores, "loss": [1.0, 3.0, 2.0, None, 0.5, 4.0]}
    report = OpenReport(opened.path, opened.report, opened.predictions, scores, opened.review)
    assert ordered(report, range(6), parse_order("loss")) == [5, 1, 2, 0, 4, 3]


def test_no_such_column_names_the_nearest(opened: OpenReport) -> None:
    with pytest.raises(UsageError, match="sort: there is no column 'bleu4'") as caught:
        ordered(opened, range(6), parse_order("bleu4"))
    assert caught.value.hint == "did you mean 'bleu-4'?"


# --- groups -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predict", "label", "kind"),
    [
        (" 取消方式_68。", "取消方式_68", "form"),
        ("ＡＢＣ", "abc", "form"),
        ("b c a", "a b c", "order"),
        ("一|三", "一|二", "list"),
        ("二|一", "一|二", "list"),
        ("约 12 元", "约 15 元", "number"),
        ("答案是北京", "北京", "longer"),
        ("北", "北京", "shorter"),
        ("上海", "北京", "wrong"),
        ("anything", "", "wrong"),
    ],
)
def test_what_is_wrong_with_an_answer(predict: str, label: str, kind: str, tmp_path: Path) -> None:
    rows = [Prediction("", predict, label), Prediction("", "x", "an answer of its own", row=1)]
    report = Report(Subject("a", "a"), EvaluatedSet("s", 2))
    opened = OpenReport(tmp_path / "p", report, rows, {"exact_match": [0.0, 0.0]}, ReviewBook(tmp_path / "r"))
    assert error_kinds(opened)[0] == kind
    assert kind_text(error_kinds(opened)[0])


def test_groups_by_kind_can_be_shown_by_their_filter(opened: OpenReport) -> None:
    groups = grouped_by_kind(opened)
    assert [(group.name, len(group)) for group in groups] == [
        ("right", 1),
        ("failed", 1),
        ("empty", 1),
        ("truncated", 1),
        ("number", 1),
        ("wrong", 1),
    ]
    for group in groups:
        assert filter_rows(opened, group.filter) == list(group.rows)
    assert groups[0].means["bleu-4"] == 100.0


def test_groups_by_label_are_the_largest_first(opened: OpenReport) -> None:
    groups = grouped_by_label(opened)
    assert [(group.name, group.rows) for group in groups] == [
        ("取消方式_68", (2, 3, 4)),
        ("流量查询_2", (0, 1)),
        ("two words", (5,)),
    ]
    assert groups[0].means["bleu-4"] == 0.75
    assert groups[1].means["exact_match"] == 50.0


def test_another_class_is_told_where_references_are_classes(tmp_path: Path) -> None:
    rows = [Prediction("", "yes", label, row=at) for at, label in enumerate(["yes", "no", "no", "yes"])]
    report = Report(Subject("a", "a"), EvaluatedSet("s", 4))
    exact = {"exact_match": [100.0, 0.0, 0.0, 100.0]}
    opened = OpenReport(tmp_path / "p", report, rows, exact, ReviewBook(tmp_path / "r"))
    assert list(error_kinds(opened)) == ["right", "class", "class", "right"]


@pytest.mark.parametrize("label", ['say "hi"', "two\nlines", "back\\slash", "-minus", "a:b=c<d", " "])
def test_any_label_can_be_filtered_by(label: str, tmp_path: Path) -> None:
    rows = [Prediction("", "x", label), Prediction("", "x", "other", row=1)]
    report = Report(Subject("a", "a"), EvaluatedSet("s", 2))
    opened = OpenReport(tmp_path / "p", report, rows, {"exact_match": [0.0, 0.0]}, ReviewBook(tmp_path / "r"))
    assert filter_rows(opened, f"label={quoted(label)}") == [0]
