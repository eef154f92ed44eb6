"""BLEU-4 and ROUGE are LLaMA-Factory's: its recorded numbers, and what nltk and rouge-chinese say about other texts."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import jieba
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_chinese import Rouge

from core.metrics import bleu
from core.metrics.catalog import find_metrics
from core.metrics.metric import Measuring, Pair
from core.metrics.rouge import rouge
from core.metrics.score import score
from core.metrics.sequences import common_length, edit_distance

GOLDEN = [
    json.loads(line) for line in (Path(__file__).parents[1] / "golden/metric_golden.jsonl").read_text().splitlines()
]
PIECES = (
    *"你好我是一个人工智能助手学习模型训练。！？?，、”’…",
    *(
        "……",
        "......",
        "\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        "abc",
        "LoRA",
        "1e-4",
        "取消方式_68",
        "|",
        "98%",
        "é",
        "哈哈",
        "\r\n",
    ),
)


def texts(seed: int, count: int, longest: int = 30) -> list[tuple[str, str]]:
    """Random answers, half of them the reference with some pieces changed."""
    draw = random.Random(seed)
    pairs = []
    for _number in range(count):
        label = draw.choices(PIECES, k=draw.randrange(longest))
        predict = [draw.choice(PIECES) if draw.random() < 0.3 else piece for piece in label]
        if draw.random() < 0.5:
            predict = draw.choices(PIECES, k=draw.randrange(longest))
        pairs.append(("".join(predict), "".join(label)))
    return pairs


def theirs(predict: str, label: str) -> tuple[float, float, float, float]:
    """What LLaMA-Factory 0.9.5 computes, before it rounds."""
    said, held = list(jieba.cut(predict)), list(jieba.cut(label))
    if not " ".join(said).split() or not " ".join(held).split():
        found = {name: {"f": 0.0} for name in ("rouge-1", "rouge-2", "rouge-l")}
    else:
        found = Rouge().get_scores(" ".join(said), " ".join(held))[0]
    smooth = SmoothingFunction().method3
    bleu_4 = sentence_bleu([list(label)], list(predict), smoothing_function=smooth) if predict else 0.0
    return bleu_4, found["rouge-1"]["f"], found["rouge-2"]["f"], found["rouge-l"]["f"]


def ours(predict: str, label: str) -> tuple[float, ...]:
    return bleu.sentence_bleu(predict, label), *rouge(predict, label)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["case"])
def test_golden_rows_to_four_decimals(row: dict[str, Any]) -> None:
    found = [round(100 * value, 4) for value in ours(row["predict"], row["label"])]
    assert found == [row["bleu4"], row["rouge1"], row["rouge2"], row["rougeL"]]


def test_random_texts_are_equal_to_the_last_bit() -> None:
    jieba.setLogLevel("CRITICAL")
    for predict, label in texts(1, 400):
        assert ours(predict, label) == theirs(predict, label), (predict, label)


def test_the_mean_is_theirs_and_ours_keeps_full_precision() -> None:
    pairs = [Pair(row["predict"], row["label"]) for row in GOLDEN]
    found = score(pairs, find_metrics(["bleu-4", "rouge-l"]), Measuring(bootstrap=0))
    assert found.compatible["predict_bleu-4"] == pytest.approx(sum(row["bleu4"] for row in GOLDEN) / 30, abs=1e-12)
    assert found.compatible["predict_rouge-l"] == pytest.approx(sum(row["rougeL"] for row in GOLDEN) / 30, abs=1e-12)
    exact = math.fsum(100 * theirs(pair.predict, pair.label)[0] for pair in pairs) / 30
    assert found.values["bleu-4"].value == pytest.approx(exact, abs=1e-12)
    assert found.values["bleu-4"].value != found.compatible["predict_bleu-4"]


def test_the_numbers_of_a_known_report_of_one_character_answers() -> None:
    """hiyouga/LLaMA-Factory#3572: 46 right of 82 one-character answers."""
    pairs = [Pair("是", "是")] * 46 + [Pair("否", "是")] * 36
    found = score(pairs, find_metrics(["bleu-4", "rouge-1", "rouge-2"]), Measuring(bootstrap=0)).compatible
    assert {name: round(value, 4) for name, value in found.items()} == {
        "predict_bleu-4": 19.8335,
        "predict_rouge-1": 56.0976,
        "predict_rouge-2": 0.0,
    }


# --- what holds for all texts ------------------------------------------------------------------------------------


def test_identical_texts_are_perfect_where_the_metric_allows_it() -> None:
    for text, _label in texts(2, 200):
        found = rouge(text, text)
        if text.split():
            assert found.one == pytest.approx(1, abs=1e-8)
            assert found.longest == pytest.approx(1, abs=1e-8)
        assert bleu.sentence_bleu(text, text) == (pytest.approx(1) if len(text) >= 4 else pytest.approx(0, abs=0.85))


def test_rouge_is_symmetric_and_blind_to_order_where_it_should_be() -> None:
    for predict, label in texts(3, 100):
        assert rouge(predict, label) == rouge(label, predict)
    assert rouge("学习 模型", "模型 学习").one == pytest.approx(1, abs=1e-8)
    assert rouge("学习 模型", "模型 学习").longest == pytest.approx(0.5, abs=1e-8)


def test_one_character_less_is_worse() -> None:
    label = "我是一个人工智能助手，很高兴认识你。"
    for at in range(len(label)):
        assert bleu.sentence_bleu(label[:at] + label[at + 1 :], label) < 1


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\r\n"])
def test_nothing_is_worth_nothing(blank: str) -> None:
    assert ours(blank, "你好") == (0, 0, 0, 0)
    assert ours("你好", blank) == (0, 0, 0, 0)
    assert rouge(blank, blank) == (0, 0, 0)


# --- sequences ---------------------------------------------------------------------------------------------------


def table_lcs(first: str, second: str) -> int:
    row = [0] * (len(second) + 1)
    for one in first:
        above = row
        row = [0]
        for at, other in enumerate(second):
            row.append(above[at] + 1 if one == other else max(above[at + 1], row[at]))
    return row[-1]


def table_edits(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for number, one in enumerate(first, start=1):
        above, row = row, [number]
        for at, other in enumerate(second):
            row.append(min(above[at + 1] + 1, row[at] + 1, above[at] + (one != other)))
    return row[-1]


def test_bits_say_what_the_tables_say() -> None:
    draw = random.Random(4)
    for _number in range(500):
        first, second = ("".join(draw.choices("abcd", k=draw.randrange(70))) for _side in "12")
        assert common_length(first, second) == table_lcs(first, second)
        assert edit_distance(first, second) == table_edits(first, second)


def test_long_answers_take_little_memory() -> None:
    words = [str(number % 700) for number in range(4000)]
    assert common_length(words, words[::2]) == 2000
    assert edit_distance(words, words[1:]) == 1
