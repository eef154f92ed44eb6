"""`finetui compare`: the table, the rows behind it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Run, runner
from hostile import SHORT, dangers

Compare = Callable[..., Run]

BASE = [True] * 20 + [False] * 80
TUNED = [False] * 2 + [True] * 58 + [False] * 40


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    monkeypatch.chdir(tmp_path)
    for name, right in (("base", BASE), ("tuned", TUNED)):
        write(tmp_path / "runs" / name, [(f"l{at}", f"l{at}" if good else name) for at, good in enumerate(right)])
    return runner(capsys, "compare")


def write(folder: Path, rows: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True)
    lines = (json.dumps({"label": label, "predict": predict}) for label, predict in rows)
    (folder / "generated_predictions.jsonl").write_text("".join(line + "\n" for line in lines))


def test_the_table_marks_what_is_better_for_certain(compare: Compare) -> None:
    run = compare("base", "tuned", "--metrics", "exact_match,length_ratio")
    assert run.code == 0
    lines = run.out.splitlines()
    assert lines[0] == "100 rows that all have; baseline: base"
    words = lines[2].split()
    assert words[:5] == ["exact_match", "20.00", "58.00", "*", "+38.00"]
    assert words[-2:] == ["better", "100"]
    assert lines[5:7] == [
        "tuned: 40 improved, 2 regressed, 40 changed, 18 same (exact_match)",
        "  right in base alone: 2; in tuned alone: 40; p = 4.11e-10 (McNemar, exact)",
    ]
    back = compare("tuned", "base").out.splitlines()[2].split()
    assert back[-2:] == ["worse", "100"]
    assert back[1:5] == ["58.00", "*", "20.00", "-38.00"]


def test_the_rows_behind_it(compare: Compare) -> None:
    lines = compare("base", "tuned", "--rows", "regressed").out.splitlines()
    assert lines[-9:] == [
        "1  regressed",
        "  reference: l0",
        "  base: l0",
        "  tuned: tuned",
        "",
        "2  regressed",
        "  reference: l1",
        "  base: l1",
        "  tuned: tuned",
    ]


def test_everything_for_machines(compare: Compare) -> None:
    first, *rows = compare("base", "tuned", "--metrics", "edit_similarity", "--rows", "all", "--json").records
    assert (first["names"], first["rows"], first["best"]["exact_match"]) == (["base", "tuned"], 100, "tuned")
    against = first["against"][0]
    assert against["deltas"]["exact_match"]["delta"] == 38
    assert against["deltas"]["exact_match"]["better"] is True
    assert against["changes"] == {"improved": 40, "regressed": 2, "changed": 40, "same": 18}
    assert against["mcnemar"] == {"only_baseline": 2, "only_other": 40, "p": pytest.approx(4.11e-10, rel=1e-3)}
    assert len(rows) == 100
    assert rows[0] == {
        "kind": "row",
        "id": "1",
        "change": "regressed",
        "label": "l0",
        "predictions": {"base": "l0", "tuned": "tuned"},
        "scores": {"edit_similarity": {"base": 100, "tuned": 0}, "exact_match": {"base": 100, "tuned": 0}},
    }


def test_three_of_them_and_which_one_rows_are_shown_for(compare: Compare) -> None:
    run = compare("base", "tuned", "base", "--against", "2", "--rows", "same", "--bootstrap", "0", "--json")
    first, *rows = run.records
    assert first["names"] == ["base (1)", "tuned (2)", "base (3)"]
    assert first["against"][1]["changes"] == {"same": 100}
    assert len(rows) == 100
    assert first["against"][0]["deltas"]["exact_match"]["low"] is None


def test_differences_of_three_stand_below_one_another(compare: Compare) -> None:
    lines = compare("base", "tuned", "base").out.splitlines()
    assert [line.split()[1:3] for line in lines if line.startswith("METRIC")] == [
        ["base", "(1)"],
        ["Δ", "tuned"],
        ["Δ", "base"],
    ]
    assert max(map(len, lines)) <= 100


def test_rows_go_by_a_metric_that_no_report_has(compare: Compare) -> None:
    first = compare("base", "tuned", "--by", "edit_similarity", "--json").records[0]
    assert list(first["values"]) == ["exact_match", "edit_similarity"]
    assert first["against"][0]["changes"]["regressed"] == 2


def test_what_is_unfair_is_said_on_stderr(compare: Compare, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "half", [(f"l{at}", f"l{at}") for at in range(50)])
    run = compare("base", "half")
    assert run.out.startswith("50 rows that all have")
    assert "warning: 50 of 100 rows are in all reports; the others are left out" in run.err


def test_what_is_refused(compare: Compare) -> None:
    for words, told in [
        (("base",), "one report alone cannot be compared"),
        (("base", "tunde"), "did you mean 'tuned'?"),
        (("base", "tuned", "--metrics", "bleu"), "there is no metric 'bleu'"),
        (("base", "tuned", "--by", "bleu-4x"), "did you mean 'bleu-4'?"),
        (("base", "tuned", "--by", "macro_f1"), "there is no metric 'macro_f1' for each row"),
        (("base", "tuned", "--against", "2"), "--against 2: there is 1 report after the baseline"),
        (("base", "tuned", "--rows", "better"), "--rows"),
    ]:
        run = compare(*words)
        assert run.code == 2, words
        assert told in run.err, words


def test_hostile_answers_are_shown_and_never_obeyed(compare: Compare, tmp_path: Path) -> None:
    rows = [(text, text) for text in SHORT.values()]
    write(tmp_path / "runs" / "one", rows)
    write(tmp_path / "runs" / "two", [(label, predict + "!") for label, predict in rows])
    run = compare("one", "two", "--rows", "all", "--bootstrap", "10")
    assert run.code == 0
    assert run.out.count("regressed\n") == len(rows)
    assert not dangers(run.out)


def test_long_answers_are_cut_for_people(compare: Compare, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "long", [("x" * 1200, "x" * 1200)])
    lines = compare("long", "long", "--rows", "all").out.splitlines()
    assert lines[-1] == f"  long (2): {'x' * 1000}… (200 more characters)"
