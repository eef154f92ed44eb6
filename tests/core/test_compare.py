"""Reports row against row: what is aligned, what differs, whether by chance, and what makes it unfair."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ReportError, UsageError
from core.metrics import shown
from core.metrics.catalog import find_metrics
from core.metrics.metric import Measuring
from core.metrics.shown import described, number_text
from core.report.compare import Comparison, compare
from core.report.layout import PartFiles
from core.report.measured import measure
from core.report.paired import mcnemar
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.rows import OpenReport, open_report
from core.report.store import write_report

FEW = Measuring(bootstrap=500)


def made(
    folder: Path,
    answers: Sequence[str],
    labels: Sequence[str],
    *,
    ids: bool = True,
    metrics: bool = True,
    repeats: int = 1,
    **facts: Any,
) -> OpenReport:
    """A report as an evaluation leaves it; `facts` go to its subject, its data (`sha256`) and its `config`."""
    rows = [
        Prediction("", answer, labels[at // repeats], f"q{at // repeats}" if ids else "", at // repeats, at % repeats)
        for at, answer in enumerate(answers)
    ]
    data = EvaluatedSet("set", len(labels), facts.pop("sha256", "aa"), seen_in_training=facts.pop("seen", None))
    subject = Subject(facts.pop("name", folder.name), "demo", dtype=facts.pop("dtype", "float32"))
    report = Report(subject, data, config=facts, repeats=repeats)
    chosen = None if metrics else ()
    write_report(PartFiles(folder), report, rows, measure(rows, chosen, Measuring(bootstrap=0)))
    return open_report(folder)


def bare(path: Path, rows: Sequence[tuple[str, str]]) -> OpenReport:
    path.write_text("".join(json.dumps({"label": label, "predict": predict}) + "\n" for predict, label in rows))
    return open_report(path)


LABELS = [f"answer {number}" for number in range(100)]


def with_right(right: Sequence[int], wrong: str = "no idea") -> list[str]:
    kept = set(right)
    return [label if at in kept else wrong for at, label in enumerate(LABELS)]


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    """30 right, then 55: 28 of the 30 still, 27 more."""
    base = made(tmp_path / "base", with_right(range(30)), LABELS)
    tuned = made(tmp_path / "tuned", with_right(range(2, 57), "who knows"), LABELS)
    return compare([base, tuned], ["exact_match", "edit_similarity", "length_ratio"], FEW)


def test_values_deltas_and_the_best(compared: Comparison) -> None:
    assert compared.names == ("base", "tuned")
    assert [value.value for value in compared.values["exact_match"]] == [30, 57 - 2]
    assert compared.best == {"exact_match": 1, "edit_similarity": 1, "length_ratio": None}
    delta = compared.against[0].deltas["exact_match"]
    assert (delta.baseline, delta.value, delta.delta, delta.n) == (30, 55, 25, 100)
    assert (delta.improved, delta.regressed, delta.better) == (27, 2, True)
    assert compared.against[0].deltas["length_ratio"].better is None
    assert compared.warnings == ()


def test_differences_are_resampled_in_pairs(compared: Comparison) -> None:
    """The interval is that of the rows' differences, which is narrower than two separate ones allow."""
    steps = [1] * 27 + [-1] * 2 + [0] * 71
    mean = sum(steps) / 100
    error = 100 * math.sqrt(sum((step - mean) ** 2 for step in steps) / 100 / 100)
    delta = compared.against[0].deltas["exact_match"]
    assert delta.low is not None
    assert delta.high is not None
    assert delta.low == pytest.approx(25 - 1.96 * error, abs=1.6)
    assert delta.high == pytest.approx(25 + 1.96 * error, abs=1.6)
    base, tuned = compared.values["exact_match"]
    assert delta.high - delta.low < (base.high or 0) - (base.low or 0) + (tuned.high or 0) - (tuned.low or 0)


def test_what_became_of_each_row(compared: Comparison) -> None:
    changes = compared.changes()
    assert Counter(changes) == {"improved": 27, "regressed": 2, "same": 28, "changed": 43}
    assert (changes[0], changes[2], changes[30], changes[99]) == ("regressed", "same", "improved", "changed")
    longer = compared.changes(by="length_ratio")
    assert longer[99] == "improved"  # "who knows" is longer than "no idea"
    with pytest.raises(UsageError, match="no metric 'bleu-4' for each row"):
        compared.changes(by="bleu-4")


def test_mcnemar_is_the_binomial_test() -> None:
    draw = random.Random(7)
    for _number in range(50):
        before, after = ([100.0 * draw.randrange(2) for _row in range(60)] for _side in "12")
        found = mcnemar(before, after)
        tosses = found.only_baseline + found.only_other
        tail = sum(math.comb(tosses, k) for k in range(min(found.only_baseline, found.only_other) + 1)) / 2**tosses
        assert found.p == pytest.approx(min(1, 2 * tail), rel=1e-12)
    assert mcnemar([100.0] * 5, [100.0] * 5).p == 1
    assert mcnemar([0.0] * 10, [100.0] * 10).p == pytest.approx(2 / 1024)
    assert 0 < mcnemar([100.0] * 900 + [0.0] * 1100, [0.0] * 900 + [100.0] * 1100).p < 1e-4


def test_mcnemar_of_the_fixture(compared: Comparison) -> None:
    test = compared.against[0].mcnemar
    assert test is not None
    assert (test.only_baseline, test.only_other) == (2, 27)
    assert test.p == pytest.approx(2 * (1 + 29 + 29 * 28 / 2) / 2**29)


def test_three_reports_side_by_side(tmp_path: Path) -> None:
    three = [
        made(tmp_path / name, with_right(range(count)), LABELS) for name, count in (("a", 10), ("b", 30), ("c", 20))
    ]
    found = compare(three, ["exact_match"], FEW)
    assert found.best["exact_match"] == 1
    assert [against.deltas["exact_match"].delta for against in found.against] == [20, 10]
    assert [row.predict for row in found.predictions(15)] == ["no idea", "answer 15", "answer 15"]
    assert Counter(found.changes(2))["improved"] == 10


def test_rows_belong_together_by_id(tmp_path: Path) -> None:
    first = made(tmp_path / "first", ["a", "b", "c"], ["a", "b", "c"])
    rows = [replace(row, row=at) for at, row in enumerate(reversed(first.predictions[1:]))]
    write_report(PartFiles(tmp_path / "second"), first.report, rows, measure(rows, None, Measuring(bootstrap=0)))
    found = compare([first, open_report(tmp_path / "second")], ["exact_match"], FEW)
    assert found.rows == ((1, 1), (2, 0))
    assert found.names == ("first", "second")
    assert found.warnings[0] == "2 of 3 rows are in all reports; the others are left out"


def test_rows_with_other_labels_are_left_out(tmp_path: Path) -> None:
    first = bare(tmp_path / "a.jsonl", [("x", "one"), ("two", "two")])
    second = bare(tmp_path / "b.jsonl", [("one", "1"), ("two", "two\n")])
    found = compare([first, second], ["exact_match"], FEW)
    assert found.rows == ((1, 1),)
    assert "1 row has another label in another report, and is left out" in found.warnings


def test_what_a_report_lacks_is_measured(tmp_path: Path) -> None:
    rows = [("取消方式_86", "取消方式_68"), ("你好", "你好")]
    scored = made(tmp_path / "scored", [row[0] for row in rows], [row[1] for row in rows], ids=False)
    found = compare([scored, bare(tmp_path / "bare.jsonl", rows)], (), FEW)
    assert "rouge-l" in found.values
    assert found.values["bleu-4"][0].value == pytest.approx(found.values["bleu-4"][1].value)
    assert compare([scored, scored], ["chrf"], FEW).values["chrf"][0].value > 0


def test_a_metric_of_the_users_own_knows_what_is_better(tmp_path: Path) -> None:
    """As a report tells it, and as its file does."""
    mine = tmp_path / "mistakes.py"
    mine.write_text("better = 'lower'\nunit = 'percent'\ndef metric(predict, label):\n    return 10 * len(predict)\n")
    rows = [("xxxxx", "a"), ("xxxx", "b"), ("xxxxxx", "c"), ("xxxxx", "d")]
    long, short = bare(tmp_path / "long.jsonl", rows), bare(tmp_path / "short.jsonl", [(p[:1], q) for p, q in rows])
    found = compare([long, short], [str(mine)], FEW)
    assert found.best == {"mistakes": 1}
    delta = found.against[0].deltas["mistakes"]
    assert (delta.delta, delta.better, delta.improved) == (-40, True, 4)
    assert set(found.changes(by="mistakes")) == {"improved"}
    assert number_text(12.3456, "mistakes") == "12.35"
    shown._learnt.clear()
    scores = measure(long.predictions, find_metrics([str(mine)]), Measuring(bootstrap=0))
    write_report(PartFiles(tmp_path / "run"), long.report, long.predictions, scores)
    shown._learnt.clear()
    opened = open_report(tmp_path / "run")
    assert (described("mistakes").better, number_text(50, "mistakes")) == ("lower", "50.00")
    assert compare([opened, opened], (), FEW).best["mistakes"] is None


def test_metrics_of_whole_sets_are_resampled_in_pairs_too(tmp_path: Path) -> None:
    labels = ["yes", "no"] * 50
    wrong = [("no" if label == "yes" else "yes") if at % 3 else label for at, label in enumerate(labels)]
    found = compare([made(tmp_path / "a", wrong, labels), made(tmp_path / "b", labels, labels)], ["macro_f1"], FEW)
    delta = found.against[0].deltas["macro_f1"]
    assert delta.value == 100
    assert delta.delta > 50
    assert delta.low is not None
    assert delta.low > 40
    assert (delta.improved, delta.regressed) == (0, 0)


def test_a_row_that_failed_in_one_report_counts_in_no_metric_of_sets(tmp_path: Path) -> None:
    labels = ["yes", "no"] * 20
    whole = made(tmp_path / "whole", labels, labels)
    partly = made(tmp_path / "partly", ["yes"] * 40, labels)
    partly = replace(partly, predictions=[replace(row, error="lost" * (row.row >= 30)) for row in partly.predictions])
    found = compare([whole, partly], ["label_accuracy", "macro_f1"], FEW)
    assert [value.value for value in found.values["label_accuracy"]] == [100, 50]
    assert [value.n for value in found.values["label_accuracy"]] == [30, 30]
    assert found.against[0].deltas["macro_f1"].n == 30


def test_repeats_are_drawn_with_their_question(tmp_path: Path) -> None:
    labels = LABELS[:20]
    one = made(tmp_path / "one", [label for label in labels for _repeat in range(5)], labels, repeats=5)
    two = made(tmp_path / "two", ["x", "x", "x", "x", "answer 1"] * 20, labels, repeats=5)
    found = compare([two, one], ["exact_match"], FEW)
    assert len(found.rows) == 100
    assert found.against[0].mcnemar is None
    assert found.against[0].deltas["exact_match"].better


def test_a_row_that_failed_in_one_report_counts_in_none(tmp_path: Path) -> None:
    first = made(tmp_path / "first", with_right(range(50)), LABELS)
    rows = [replace(row, predict="", error="timed out") if row.row < 10 else row for row in first.predictions]
    write_report(PartFiles(tmp_path / "second"), first.report, rows, measure(rows, None, Measuring(bootstrap=0)))
    found = compare([first, open_report(tmp_path / "second")], ["exact_match"], FEW)
    assert [(value.value, value.n) for value in found.values["exact_match"]] == [(pytest.approx(400 / 9), 90)] * 2
    assert found.against[0].deltas["exact_match"].delta == 0


def test_what_is_unfair_is_said(tmp_path: Path) -> None:
    first = made(tmp_path / "base", with_right(range(30)), LABELS, max_new_tokens=64, temperature=0.0, top_p=0.9)
    second = made(
        tmp_path / "tuned", with_right(range(40)), LABELS, sha256="bb", dtype="bfloat16", seen=3,
        max_new_tokens=512, temperature=0.0, top_p=0.5,
    )  # fmt: skip
    assert compare([first, second], ["exact_match"], FEW).warnings == (
        "the test sets differ: their files have changed in between, or are others",
        "dtype: base float32, tuned bfloat16",
        "max_new_tokens: base 64, tuned 512",
        "tuned: 3 of 100 questions stand in its training data",
    )
    drawn = made(tmp_path / "drawn", with_right(range(40)), LABELS, max_new_tokens=64, temperature=0.7, top_p=0.5)
    assert compare([first, drawn], ["exact_match"], FEW).warnings == (
        "temperature: base 0.0, drawn 0.7",
        "top_p: base 0.9, drawn 0.5",
    )


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    one = bare(tmp_path / "a.jsonl", [("x", "one")])
    with pytest.raises(UsageError, match="one report alone cannot be compared"):
        compare([one])
    with pytest.raises(ReportError, match="no question in common"):
        compare([one, bare(tmp_path / "b.jsonl", [("x", "two")])])
    with pytest.raises(UsageError, match="there is no metric 'blue'"):
        compare([one, one], ["blue"])
