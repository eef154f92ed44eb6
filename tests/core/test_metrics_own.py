"""Metrics of the user's own, and rows that are measured by several processes, which import them anew."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

from core.errors import MetricError
from core.metrics.catalog import find_metrics
from core.metrics.columns import row_scores
from core.metrics.metric import Measuring, Metric, Pair
from core.metrics.score import score
from metric_pairs import FEW, pairs_of

# --- metrics of the user's own -----------------------------------------------------------------------------------


def own(folder: Path, code: str, name: str = "mine") -> Metric:
    path = folder / f"{name}.py"
    path.write_text(code, encoding="utf-8")
    return find_metrics([str(path)])[0]


def test_a_file_imports_what_lies_beside_it_and_never_in_the_place_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "weights_of_words.py").write_text("LONG = 7\n")
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit(3)\n")
    code = "import core.errors\nfrom weights_of_words import LONG\ndef metric(predict, label):\n    return LONG\n"
    assert score(pairs_of(("a", "b")), [own(tmp_path, code)], FEW).values["mine"].value == 7


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
