"""Sets of answers, measured: the catalogue of metrics, values with their intervals, and values while answers come."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from core.errors import UsageError
from core.metrics.catalog import METRICS, all_metrics, find_metrics, fitting
from core.metrics.intervals import intervals
from core.metrics.metric import Measuring, Pair, Sums
from core.metrics.running import Running
from core.metrics.score import score
from metric_pairs import FEW, NONE, pairs_of, told

# --- the catalogue -----------------------------------------------------------------------------------------------


def test_every_metric_answers_to_its_name_and_says_what_it_is() -> None:
    found = all_metrics()
    assert [metric.name for metric in found] == list(METRICS)
    assert all(metric.help and metric.title for metric in found)
    assert all(sum(map(bool, (metric.of_row, metric.of_set, metric.of_sums))) == 1 for metric in found)


def test_names_are_looked_up_once_each_and_near_ones_are_named() -> None:
    assert [metric.name for metric in find_metrics(["bleu-4", "exact_match", "bleu-4"])] == ["bleu-4", "exact_match"]
    assert len(find_metrics(["all"])) == len(METRICS)
    with pytest.raises(UsageError) as caught:
        find_metrics(["rouge-x", "chrff"])
    assert caught.value.message == "there is no metric 'rouge-x'\nthere is no metric 'chrff'"
    assert caught.value.hint == "did you mean 'rouge-l'?"


def test_the_metrics_that_fit() -> None:
    plain = {metric.name for metric in fitting(pairs_of(("你好", "你好啊"), ("再见", "拜拜")))}
    assert {"exact_match", "bleu-4"} <= plain
    assert not plain & {"list_f1", "macro_f1", "number_match", "choice_accuracy", "truncated", "loss", "chrf"}
    assert fitting([])[0].name == "exact_match"
    lists = {metric.name for metric in fitting(pairs_of(("a", "a|b"), ("c", "c")))}
    assert {"list_f1", "list_precision", "list_recall"} <= lists
    choices = {metric.name for metric in fitting(pairs_of(("A", "A"), ("B", "C")))}
    assert "choice_accuracy" in choices
    numbers = {metric.name for metric in fitting(pairs_of(("7", "7"), ("1", "12,000")))}
    assert "number_match" in numbers
    judged = {metric.name for metric in fitting([Pair("x", "y", "length", 0.5, 1.0)])}
    assert {"truncated", "loss", "perplexity", "reward"} <= judged


# --- values and intervals ----------------------------------------------------------------------------------------


def test_values_have_rows_means_and_medians() -> None:
    pairs = pairs_of(("a" * 12, "a" * 12), ("b", "b"), ("c", "d"), ("x", "y" * 11))
    found = score(pairs, find_metrics(["exact_match", "long_exact_match", "length_ratio", "loss"]), FEW)
    assert list(found.values) == ["exact_match", "long_exact_match", "length_ratio"]
    exact, long = found.values["exact_match"], found.values["long_exact_match"]
    assert (exact.value, exact.n, exact.median) == (50, 4, 50)
    assert (long.value, long.n) == (50, 2)
    assert found.rows["long_exact_match"] == [100, None, None, 0]
    assert (exact.low, exact.high) == (0, 100)


def test_the_interval_of_a_rate_is_the_binomial_one() -> None:
    """Percentiles of the bootstrap of a rate are those of Binomial(n, rate) / n."""
    rows, right = 200, 60
    column = [100.0] * right + [0.0] * (rows - right)
    found = intervals({"rate": column}, {}, Measuring(bootstrap=20_000))["rate"]
    chances = [math.comb(rows, k) * 0.3**k * 0.7 ** (rows - k) for k in range(rows + 1)]
    below = list(itertools.accumulate(chances))
    low = next(k for k, chance in enumerate(below) if chance >= 0.025)
    high = next(k for k, chance in enumerate(below) if chance >= 0.975)
    assert found.low == pytest.approx(100 * low / rows, abs=0.51)
    assert found.high == pytest.approx(100 * high / rows, abs=0.51)


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    draw = random.Random(6)
    column = [draw.gauss(50, 10) for _row in range(400)]
    mean = sum(column) / 400
    error = math.sqrt(sum((value - mean) ** 2 for value in column) / 400 / 400)
    found = intervals({"m": column}, {}, Measuring(bootstrap=5000))["m"]
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.12)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.12)


def test_equal_seeds_draw_equal_intervals() -> None:
    column = [float(number) for number in range(50)]
    first, again, other = (intervals({"m": column}, {}, Measuring(bootstrap=300, seed=seed))["m"] for seed in (1, 1, 2))
    assert first == again != other


def test_sums_are_resampled_as_rows_are() -> None:
    column = [float(number) for number in range(40)]
    sums = Sums([(value, 1.0) for value in column], lambda summed: summed[0] / summed[1])
    found = intervals({"rows": column}, {"sums": sums}, Measuring(bootstrap=500))
    assert found["rows"] == pytest.approx(found["sums"])


def test_answers_to_one_question_are_drawn_together() -> None:
    """Ten times the same answer says no more than one; drawn apart, the interval would be a third as wide."""
    column = [100.0, 0.0] * 10
    once = intervals({"m": column}, {}, Measuring(bootstrap=2000))["m"]
    repeated = [value for value in column for _repeat in range(10)]
    groups = [row for row in range(20) for _repeat in range(10)]
    assert intervals({"m": repeated}, {}, Measuring(bootstrap=2000), groups)["m"] == pytest.approx(once)
    apart = intervals({"m": repeated}, {}, Measuring(bootstrap=2000))["m"]
    assert apart.high - apart.low < 0.5 * (once.high - once.low)


def test_no_interval_without_resamples_or_of_one_row() -> None:
    pairs = pairs_of(("a", "a"), ("b", "c"))
    assert score(pairs, find_metrics(["exact_match"]), NONE).values["exact_match"].low is None
    assert score(pairs[:1], find_metrics(["exact_match"]), FEW).values["exact_match"].low is None


def test_the_spread_over_repeats() -> None:
    pairs = pairs_of(("a", "a"), ("x", "b"), ("a", "a"), ("b", "b"))
    found = score(pairs, find_metrics(["exact_match"]), FEW, groups=[0, 1, 0, 1], repeats=[0, 0, 1, 1])
    assert found.values["exact_match"].spread == pytest.approx(math.sqrt(2) * 25)
    assert score(pairs, find_metrics(["exact_match"]), FEW).values["exact_match"].spread is None


def test_more_answers_to_the_same_questions_are_no_more_rows() -> None:
    """Twelve questions asked three times: no label repeats, and no more is certain than twelve rows make it."""
    pairs = [Pair("x", f"answer {at}", question=at) for at in range(12) for _time in range(3)]
    groups, times = [at for at in range(12) for _time in range(3)], [0, 1, 2] * 12
    found = score(pairs, None, FEW, groups=groups, repeats=times)
    messages = [artefact.message for artefact in found.artefacts]
    assert any("all 12 rows are alike" in message and "below 25.0 %" in message for message in messages)
    assert any("only 12 rows: one more right answer moves a rate by 8.3 points" in message for message in messages)
    assert found.confusion is None
    assert not {"label_accuracy", "macro_f1"} & found.values.keys()
    once = score(pairs[:3], find_metrics(["exact_match"]), FEW, groups=groups[:3], repeats=times[:3])
    assert once.values["exact_match"].low is None


def test_nothing_answered_is_no_number() -> None:
    found = score([], None, FEW)
    assert (dict(found.values), dict(found.rows), found.artefacts, found.confusion) == ({}, {}, (), None)


def test_perplexity_and_loss_are_of_the_rows_that_have_one() -> None:
    pairs = [Pair("x", "x", loss=1.0), Pair("x", "x", loss=3.0), Pair("x", "x")]
    values = score(pairs, find_metrics(["loss", "perplexity"]), FEW).values
    assert (values["loss"].value, values["loss"].n) == (2, 2)
    assert (values["perplexity"].value, values["perplexity"].n) == (pytest.approx(math.e**2), 2)


def test_distinct_words() -> None:
    values = score(
        pairs_of(("the cat the dog", "x"), ("the cat", "x")), find_metrics(["distinct-1", "distinct-2"])
    ).values
    assert values["distinct-1"].value == pytest.approx(100 * 3 / 6)
    assert values["distinct-2"].value == pytest.approx(100 * 3 / 4)
    assert values["distinct-1"].low is None


@pytest.mark.parametrize(
    ("texts", "tokenizer"), [(["今天天气很好", "我想去公园散步"], "zh"), (["a fine day", "so it is"], "13a")]
)
def test_sacrebleu_is_sacrebleu(texts: list[str], tokenizer: str) -> None:
    from sacrebleu import corpus_bleu, corpus_chrf

    said = [texts[0][:-1], texts[1]]
    pairs = pairs_of(*zip(said, texts, strict=True))
    values = score(pairs, find_metrics(["sacrebleu", "chrf"]), FEW).values
    assert values["sacrebleu"].value == pytest.approx(corpus_bleu(said, [texts], tokenize=tokenizer).score)
    assert values["chrf"].value == pytest.approx(corpus_chrf(said, [texts]).score)
    assert values["chrf"].low is not None
    assert told(pairs, "sacrebleu")["sacrebleu"] == [f"sacrebleu's tokenizer: {tokenizer}"]


def test_metrics_while_answers_come_in() -> None:
    running = Running()
    assert running.metrics() == {}
    running.add(Pair("取消方式_68", "取消方式_68"))
    running.add(Pair("", "x", finish_reason="length"))
    assert running.metrics() == {"exact_match": 50, "bleu-4": pytest.approx(50), "empty": 50, "truncated": 100}
