"""Rows of a reward model: two answers and two scores each, in files, filters, orders, comparisons and pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.metrics.compared import NAMES
from core.report.compare import compare
from core.report.export import export_rows
from core.report.files import read_predictions, write_predictions
from core.report.filters import filter_rows
from core.report.html import report_page
from core.report.order import ordered
from core.report.prediction import Prediction
from core.report.rows import OpenReport, open_report, scored
from core.workspace import Workspace

SCORES = ((2.0, 1.0), (0.5, 1.5), (0.0, 0.0), (3.0, -1.0))


def pair(row: int, chosen: float, rejected: float) -> Prediction:
    better, worse = f"good {row}", f"bad {row}"
    first = better if chosen > rejected else worse
    return Prediction("Which?", first, better, f"r{row}", row, chosen=chosen, rejected=rejected, worse=worse)


def opened(folder: Path, scores: tuple[tuple[float, float], ...] = SCORES) -> OpenReport:
    folder.mkdir(parents=True)
    write_predictions(folder / "generated_predictions.jsonl", [pair(row, *each) for row, each in enumerate(scores)])
    return open_report(folder)


def test_a_row_begins_with_the_factorys_keys_and_is_read_back(tmp_path: Path) -> None:
    report = opened(tmp_path / "rm")
    first = json.loads(report.path.read_text().splitlines()[0])
    assert list(first)[:2] == ["chosen", "rejected"]
    assert read_predictions(report.path) == [pair(row, *each) for row, each in enumerate(SCORES)]


def test_scores_alone_are_measured_too(tmp_path: Path) -> None:
    path = tmp_path / "generated_predictions.jsonl"
    path.write_text("".join(json.dumps({"chosen": a, "rejected": b, "dataset": "x"}) + "\n" for a, b in SCORES))
    report = scored(open_report(path))
    assert tuple(report.report.values) == NAMES
    assert report.report.values["accuracy"].value == 62.5  # two right, a draw, one wrong
    assert report.report.values["margin"].value == pytest.approx(1.0)
    assert report.report.values["pair_loss"].value == pytest.approx(
        (0.31326 + 1.31326 + 0.69315 + 0.01815) / 4, abs=1e-4
    )


def test_a_draw_is_not_right_and_the_worst_margin_comes_first(tmp_path: Path) -> None:
    report = opened(tmp_path / "rm")
    assert report.report.values["accuracy"].value == 62.5
    assert filter_rows(report, "wrong") == [1, 2]
    assert filter_rows(report, "margin<0") == [1]
    assert filter_rows(report, "text:bad kind=wrong") == [1, 2]
    assert ordered(report, range(4)) == [1, 2, 0, 3]


def test_reward_models_are_compared_row_against_row(tmp_path: Path) -> None:
    first, other = opened(tmp_path / "a"), opened(tmp_path / "b", ((2.0, 1.0), (2.5, 1.5), (1.0, 0.0), (3.0, -1.0)))
    compared = compare([first, other])
    assert tuple(compared.values) == NAMES
    assert compared.told_by("exact_match") == "accuracy"
    (against,) = compared.against
    assert against.deltas["accuracy"].delta == pytest.approx(37.5)
    assert against.mcnemar is not None
    assert (against.mcnemar.only_baseline, against.mcnemar.only_other) == (0, 2)
    assert compared.changes(1, "margin") == ("same", "improved", "improved", "same")


def test_files_and_pages_have_both_answers(tmp_path: Path) -> None:
    report = scored(opened(tmp_path / "rm"))
    assert "good 1 | bad 1 | 0.00 | -1" in export_rows(report, [1], "markdown")
    assert "| better answer | worse answer | accuracy | margin |" in export_rows(report, [1], "markdown")
    assert "bad 0" in export_rows(report, [0], "csv")
    page = report_page(report, Workspace(tmp_path), [0])
    assert "better answer · 2" in page
    assert "worse answer · 1" in page
