"""Sets of answers, measured: values with intervals, what they do not mean, classes, and all of it by several cores."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import MetricError, UsageError
from core.metrics.catalog import METRICS, all_metrics, find_metrics, fitting
from core.metrics.classes import confusion
from core.metrics.columns import row_scores
from core.metrics.intervals import intervals
from core.metrics.metric import Measuring, Metric, Pair, Sums
from core.metrics.running import Running
from core.metrics.score import score

FEW = Measuring(bootstrap=200)
NONE = Measuring(bootstrap=0)


def pairs_of(*rows: tuple[str, str]) -> list[Pair]:
    return [Pair(predict, label) for predict, label in rows]


def told(pairs: Sequence[Pair], *names: str, measuring: Measuring = NONE) -> dict[str, list[str]]:
    """Artefacts by metric."""
    found: dict[str, list[str]] = {}
    for artefact in score(pairs, find_metrics(names) if names else None, measuring).artefacts:
        found.setdefault(artefact.metric, []).append(artefact.message)
    return found


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


# --- metrics of the user's own -----------------------------------------------------------------------------------


def own(folder: Path, code: str, name: str = "mine") -> Metric:
    path = folder / f"{name}.py"
    path.write_text(code, encoding="utf-8")
    return find_metrics([str(path)])[0]


def test_a_function_in_a_file_is_a_metric(tmp_path: Path) -> None:
    plain = own(
        tmp_path, 'def metric(predict, label):\n    """Characters more."""\n    return len(predict) - len(label)\n'
    )
    assert (plain.name, plain.unit, plain.better, plain.help) == ("mine", "number", "higher", "Characters more.")
    rate = own(
        tmp_path,
        "name = 'starts'\nbetter = 'lower'\n"
        "def metric(predict: str, label: str) -> bool:\n    return predict[:1] == label[:1] if label else None\n",
        "rate",
    )
    assert (rate.name, rate.unit, rate.better) == ("starts", "percent", "lower")
    values = score(pairs_of(("ab", "a"), ("x", "y"), ("z", "")), [plain, rate], FEW).values
    assert (values["mine"].value, values["mine"].n) == (pytest.approx(2 / 3), 3)
    assert (values["starts"].value, values["starts"].n) == (50, 2)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "{path}: there is no function metric(predict, label)"),
        ("def metric(:\n", "{path}:1: SyntaxError: invalid syntax"),
        ("\nimport no_such_module_x\n", "{path}:2: ModuleNotFoundError: No module named 'no_such_module_x'"),
        ("unit = 'inches'\ndef metric(p, l): ...", "{path}: unit is 'inches', expected 'percent', 'number'"),
        ("name = 3\ndef metric(p, l): ...", "{path}: name is 3, expected a text"),
        ("raise SystemExit(3)", "{path}:1: SystemExit: 3"),
    ],
)
def test_files_that_are_no_metric(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        own(tmp_path, code)
    assert caught.value.message == message.format(path=tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("1 if label else exit(3)", "row 2: {path}:2: SystemExit: 3"),
        ("1 / len(label)", "row 2: {path}:2: ZeroDivisionError: division by zero"),
        ("'7' if not label else 1", "row 2: {path}: metric() returned '7'"),
        ("float('nan') if not label else 1", "row 2: {path}: metric() returned nan"),
        ("[] if not label else 1", "row 2: {path}: metric() returned []"),
    ],
)
def test_failing_rows_are_named(tmp_path: Path, result: str, message: str) -> None:
    metric = own(tmp_path, f"def metric(predict, label):\n    return {result}\n")
    with pytest.raises(MetricError) as caught:
        score(pairs_of(("a", "b"), ("c", "")), [metric])
    assert caught.value.message == message.format(path=tmp_path / "mine.py")


def test_a_file_that_is_not_there_and_a_name_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"gone\.py: there is no such Python file"):
        find_metrics([str(tmp_path / "gone.py")])
    (tmp_path / "exact_match.py").write_text("def metric(predict, label): return 1")
    with pytest.raises(MetricError, match="two metrics are named 'exact_match'"):
        find_metrics(["exact_match", str(tmp_path / "exact_match.py")])


# --- many rows ---------------------------------------------------------------------------------------------------


def test_several_processes_say_what_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder with packages of our names, and with a metric of the user's own that prints."""
    for name in ("core", "jieba"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    mine = own(tmp_path, "print('hello')\ndef metric(predict, label):\n    print(label)\n    return len(predict)\n")
    pairs = [Pair("字" * (number % 7), f"字 {number}\ud800", "stop", 0.25) for number in range(50)]
    metrics = [*find_metrics(["exact_match", "edit_similarity", "loss"]), mine]
    heard: list[float] = []
    alone = row_scores(pairs, metrics, Measuring(processes=1), heard.append)
    assert row_scores(pairs, metrics, Measuring(processes=2)) == alone
    assert [len(column) for column in alone.values()] == [50] * 4


def test_each_process_has_a_share(tmp_path: Path) -> None:
    mine = own(tmp_path, "import os\ndef metric(predict, label):\n    return os.getpid()\n")
    pids = row_scores([Pair("x", "y")] * 40, [mine], Measuring(processes=2))["mine"]
    assert [len(list(run)) for _pid, run in itertools.groupby(pids)] == [20, 20]
    assert pids[0] == os.getpid()


def test_the_row_is_named_right_by_another_process(tmp_path: Path) -> None:
    mine = own(tmp_path, "def metric(predict, label):\n    return 1 / (int(label) - 48)\n")
    pairs = [Pair("x", str(number)) for number in range(50)]
    with pytest.raises(MetricError, match=r"row 49: .*mine\.py:2: ZeroDivisionError"):
        row_scores(pairs, [mine], Measuring(processes=2))


def test_a_process_that_dies_costs_no_rows(tmp_path: Path) -> None:
    """It dies in another process than this one."""
    code = (
        "import os\nif os.environ.get('PYTHONSAFEPATH'):\n    os._exit(9)\ndef metric(predict, label):\n    return 1\n"
    )
    mine = own(tmp_path, code)
    assert row_scores([Pair("x", "y")] * 20, [mine], Measuring(processes=2)) == {"mine": [1.0] * 20}


def test_a_metric_that_is_in_no_file_stays_here() -> None:
    metric = Metric("here", "here", "", of_row=lambda pair, _measuring: float(len(pair.label)))
    assert row_scores([Pair("", "ab"), Pair("", "abc")], [metric], Measuring(processes=2)) == {"here": [2, 3]}


def test_progress_is_told() -> None:
    heard: list[float] = []
    row_scores([Pair("x", "y")] * 1024, find_metrics(["exact_match"]), Measuring(processes=1), heard.append)
    assert heard == [0.25, 0.5, 0.75, 1]


def test_metrics_while_answers_come_in() -> None:
    running = Running()
    assert running.metrics() == {}
    running.add(Pair("取消方式_68", "取消方式_68"))
    running.add(Pair("", "x", finish_reason="length"))
    assert running.metrics() == {"exact_match": 50, "bleu-4": pytest.approx(50), "empty": 50, "truncated": 100}
