"""`finetui data preferences`: what it prints, what it asks a terminal for, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import runner
from core.judging.folder import Judging
from core.judging.verdicts import VerdictBook
from core.launch.start import start
from core.runs.rundir import RunDirectory
from core.runs.state import wait_gone
from core.workspace import Workspace
from drawn_pairs import draw_at_once, make_workspace
from fake_drawer import COMMAND

ENTRY = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    rows = [{"instruction": f"问题 {n}", "input": "", "output": "答"} for n in range(3)]
    found = make_workspace(tmp_path, {"talks": (ENTRY, rows)})
    draw_at_once(monkeypatch)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return found


@pytest.fixture
def in_processes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real runs, which end as FAKE_END says."""
    monkeypatch.setattr("core.judging.drawing.start", start)
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(COMMAND))


@pytest.fixture
def preferences(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> Any:
    return runner(capsys, "data", "preferences", "--model_name_or_path", "demo")


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.cli.preferences._at_terminal", lambda: True)


def sits_there(monkeypatch: pytest.MonkeyPatch, *verdicts: str) -> None:
    """Somebody who judges, with these verdicts."""

    def judge(judging: Judging, book: VerdictBook) -> None:
        open_pairs = [pair for pair in judging.pairs() if pair.number not in book.latest]
        for pair, verdict in zip(open_pairs, verdicts, strict=False):
            book.judge(pair, verdict)  # type: ignore[arg-type]

    monkeypatch.setattr("tui.judge_app.judge", judge)


def test_without_a_terminal_answers_are_drawn_and_judged_another_time(
    preferences: Any, workspace: Workspace, in_processes: None
) -> None:
    done = preferences("--dataset", "talks")
    assert done.code == 0
    assert done.out.splitlines() == [
        "0 of 3 pairs judged",
        "0 with a better answer, 0 ties, 0 both bad, 0 skipped",
    ]
    assert done.err.splitlines() == [
        "run talks_preferences-answers draws the answers; ctrl+c leaves it running",
        "drawing answers",
        "judge the others with: finetui data preferences --output talks_preferences",
    ]
    assert not (workspace.data / "talks_preferences.jsonl").exists()


def test_a_reward_model_judges_and_the_set_is_entered(preferences: Any, workspace: Workspace) -> None:
    done = preferences("--dataset", "talks", "--output", "mine", "--reward_model", "judge", "--seed", "43")
    assert done.out.splitlines() == [
        "3 of 3 pairs judged",
        "2 with a better answer, 1 tie, 0 both bad, 0 skipped",
        f"2 rows in {workspace.data / 'mine.jsonl'}",
    ]
    assert done.err.splitlines()[-1] == ("train a reward model on them: finetui train --stage rm --dataset mine")
    rows = [json.loads(line) for line in (workspace.data / "mine.jsonl").read_text().splitlines()]
    assert [(row["instruction"], row["output"]) for row in rows] == [
        (f"问题 {n}", [f"demo to {n}: 43.1", f"demo to {n}: 43.0"]) for n in (0, 2)
    ]
    assert rows[0]["meta"] == {"chosen": "demo", "rejected": "demo", "judge": "judge"}
    (record,) = preferences("--output", "mine", "--json", "--min_margin", "2").records
    assert (record["prompts"], record["alike"], record["pairs"]) == (3, 0, 3)
    assert (record["rows"], record["verdicts"]["tie"], record["path"]) == (0, 3, str(workspace.data / "mine.jsonl"))


def test_on_a_terminal_a_person_judges_and_the_rest_another_time(
    preferences: Any, on_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sits_there(monkeypatch, "first", "second")
    done = preferences("--dataset", "talks", "--output", "mine")
    assert done.out.splitlines()[:2] == [
        "2 of 3 pairs judged",
        "2 with a better answer, 0 ties, 0 both bad, 0 skipped",
    ]
    assert done.err.splitlines()[-1] == "judge the others with: finetui data preferences --output mine"
    sits_there(monkeypatch, "bad")
    done = preferences("--output", "mine")
    assert done.out.splitlines()[0] == "3 of 3 pairs judged"
    assert "draws the answers" not in done.err


def test_a_person_needs_a_terminal(preferences: Any) -> None:
    done = preferences("--dataset", "talks", "--judge", "app")
    assert done.code == 2
    assert done.err.splitlines()[-2:] == [
        "error: a person judges on a terminal, and this is none",
        "hint: judge on a terminal, or on the Data screen of the app (F5, j)",
    ]


def test_a_drawing_that_fails_is_told_and_goes_on(
    preferences: Any, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "fail")
    done = preferences("--dataset", "talks", "--output", "mine")
    assert done.code == 2
    assert done.err.splitlines()[-2:] == ["error: mine-answers: the model is gone", "hint: pull it again"]
    done = preferences("--output", "mine")  # a run that goes on does so to its end
    assert done.out.splitlines()[0] == "0 of 3 pairs judged"


def test_a_drawing_that_somebody_stops(
    preferences: Any, workspace: Workspace, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "wait")
    run = RunDirectory(workspace.runs / "mine-answers")
    watched = []

    def stop(_drawing: RunDirectory, _progress: Any) -> bool:
        watched.append(_drawing)
        run.wish("stop")
        wait_gone(run, 10)
        return original(_drawing, _progress)

    from tui.cli import preferences as verb

    original = verb._watch
    monkeypatch.setattr(verb, "_watch", stop)
    done = preferences("--dataset", "talks", "--output", "mine")
    assert (done.code, watched) == (1, [run])
    assert done.err.splitlines()[-1] == "stopped; go on with: finetui data preferences --output mine"


def test_judgements_are_forgotten_only_when_somebody_says_so(
    preferences: Any, workspace: Workspace, on_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sits_there(monkeypatch, "first", "first", "first")
    preferences("--dataset", "talks", "--output", "mine")
    monkeypatch.setattr("typer.confirm", lambda *_words, **_options: (_ for _ in ()).throw(_aborted()))
    sits_there(monkeypatch)
    again = ("--dataset", "talks", "--output", "mine", "--overwrite")
    assert preferences(*again).code == 130
    assert len((workspace.data / "judging" / "mine" / "verdicts.jsonl").read_text().splitlines()) == 3
    assert preferences(*again, "-y").out.splitlines()[0] == "0 of 3 pairs judged"


def _aborted() -> BaseException:
    import typer

    return typer.Abort()


def test_prompts_without_two_answers(preferences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SAME", "0,1,2")
    done = preferences("--dataset", "talks", "--output", "mine", "--redraws", "0")
    assert done.code == 2
    assert done.err.splitlines()[-2:] == [
        "error: mine: no prompt got two answers that differ",
        "hint: give a higher temperature or another seed, with --overwrite",
    ]


def test_help_tells_its_own_options(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    for word in ("--help", "-h"):
        done = runner(capsys, "data", "preferences")(word)
        assert done.code == 0
        assert done.out.startswith("Usage: finetui data preferences [MODEL…] [FILE.yaml] [--OPTION VALUE]…")
        assert "--min_margin X" in done.out
    assert "preferences  Draw two answers to each prompt" in " ".join(runner(capsys, "data")("--help").out.split(" "))


def test_mistakes_are_told_together(preferences: Any) -> None:
    done = preferences("--dataset", "talks", "--min_margin", "-1", "--redraw", "2")
    assert done.code == 2
    assert [line for line in done.err.splitlines() if line.startswith("error:")] == [
        "error: --redraw: is no option",
        "error: --min_margin: expected a number from 0 up, not '-1'",
    ]
