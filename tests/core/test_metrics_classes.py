"""What is found in labels and answers before they are believed: classes, and what a metric does not mean here."""

from __future__ import annotations

import pytest

from core.metrics.catalog import find_metrics
from core.metrics.classes import confusion
from core.metrics.score import score
from metric_pairs import FEW, pairs_of, told

# --- classes -----------------------------------------------------------------------------------------------------


def test_labels_that_repeat_are_classes() -> None:
    pairs = pairs_of(
        ("Positive.", "positive"), ("positive", "positive"), ("negative", "positive"), ("negative", "negative"),
        ("no idea", "negative"), ("neutral", "neutral"), ("negative", "neutral"), ("neutral", "neutral"),
    )  # fmt: skip
    values = score(pairs, find_metrics(["label_accuracy", "macro_f1"]), FEW).values
    assert values["label_accuracy"].value == pytest.approx(100 * 5 / 8)
    f1 = [2 * 2 / (3 + 2), 2 * 1 / (2 + 3), 2 * 2 / (3 + 2)]
    assert values["macro_f1"].value == pytest.approx(100 * sum(f1) / 3)
    found = confusion(pairs)
    assert found is not None
    assert [each.name for each in found.classes] == ["neutral", "positive", "negative"]
    positive = found.classes[1]
    assert (positive.labels, positive.predicted, positive.right) == (3, 2, 2)
    assert (positive.precision, positive.recall) == (100, pytest.approx(200 / 3))
    assert found.counts["negative"] == {"negative": 1, "": 1}
    assert told(pairs, "label_accuracy")["label_accuracy"] == ["answering 'neutral' always would give 37.5 %"]


def test_beginnings_before_a_number_are_classes() -> None:
    labels = [f"{kind}_{number}" for number in range(5) for kind in ("取消方式", "开通方式")]
    pairs = pairs_of(*((f"取消方式_{number}", label) for number, label in enumerate(labels)))
    found = confusion(pairs)
    assert found is not None
    assert {each.name: (each.labels, each.right) for each in found.classes} == {"取消方式": (5, 5), "开通方式": (5, 0)}
    assert (
        told(pairs, "macro_f1")["label_accuracy"][0]
        == "classes are the beginnings of the labels, before their first number"
    )


def test_other_answers_are_no_classes() -> None:
    pairs = pairs_of(*((text, text) for text in ("one", "two", "three", "four")))
    assert confusion(pairs) is None
    assert not score(pairs, find_metrics(["macro_f1", "label_accuracy"])).values
    assert confusion(pairs_of(("a", "a"), ("a", "a"))) is None


# --- artefacts ---------------------------------------------------------------------------------------------------


def test_artefacts_are_told_with_their_numbers() -> None:
    labels = ["是"] * 20 + ["不行"] * 10 + ["不可以"] * 5 + ["Paris"] * 5 + ["你好，世界"] * 10
    found = told(pairs_of(*((label, label) for label in labels)), "bleu-4", "rouge-2")
    assert found["bleu-4"] == ["35 of 50 labels are shorter than 4 characters: BLEU-4 of a right answer is then 35–84"]
    assert found["rouge-2"] == ["35 of 50 labels are one word: ROUGE-2 of a right answer is then 0"]


def test_labels_with_odd_ends_and_without_text_are_told() -> None:
    pairs = pairs_of(("a", "a\n"), ("b", " "), ("c", ""), *[("d", "d")] * 30)
    found = told(pairs, "exact_match", "rouge-1")
    assert found[""] == ["2 of 33 labels are blank: BLEU-4 and ROUGE are 0 there, whatever is answered"]
    assert found["exact_match"][0].startswith("1 of 33 labels begin or end in blanks or line breaks")


def test_few_rows_and_equal_rows_are_told() -> None:
    assert told(pairs_of(("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")), "exact_match") == {
        "": ["only 4 rows: one more right answer moves a rate by 25.0 points"],
        "exact_match": [
            "all 4 rows are alike, so the interval has no width; the rate is below 75.0 % with 95 % certainty"
        ],
    }
    right = told(pairs_of(*[("a", "a")] * 100), "exact_match")
    assert right["exact_match"] == [
        "all 100 rows are alike, so the interval has no width; the rate is above 97.0 % with 95 % certainty"
    ]


def test_answers_that_are_only_typed_otherwise_are_told() -> None:
    pairs = pairs_of(("Yes.", "yes"), ("No", "no"), *[("a", "b")] * 30)
    assert "2 answers differ from their labels only in case, width, punctuation or blanks" in told(pairs)["exact_match"]
