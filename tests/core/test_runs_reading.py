"""Runs as they are read: events while they are written, states derived, curves folded."""

from __future__ import annotations

import json
import math
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

from core.errors import RunNotFound
from core.jsonl import append_lines
from core.records import to_record
from core.runs.alive import is_alive, start_time, this_host
from core.runs.catalog import enter_run, find_run, list_runs, run_name, strike_run
from core.runs.curve import Curve, Slice
from core.runs.events import (
    CheckpointRemoved,
    CheckpointSaved,
    DataReady,
    Evaluation,
    Event,
    Queued,
    RunFailed,
    RunFinished,
    RunStarted,
    Sample,
    StageChanged,
    Step,
    Warned,
)
from core.runs.follow import MOST_BYTES, Follower
from core.runs.history import read_history
from core.runs.launch_file import Launch, read_launch, write_launch
from core.runs.rundir import RunDirectory
from core.runs.state import state_of
from core.runs.summary import summarise
from core.runs.watch import follow
from core.workspace import Workspace

DEAD = 2**22 + 1  # above the largest pid there can be


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    return RunDirectory(folder)


def started(*, pid: int = 0, segment: int = 1, resumed_from: str = "", host: str = "") -> RunStarted:
    pid = pid or os.getpid()
    return RunStarted(1.0, pid, start_time(pid) or 0.0, host or this_host(), segment=segment, resumed_from=resumed_from)


def step(number: int, loss: float = 2.0, total: int = 100) -> Step:
    return Step(5.0, number, total, number / 10, loss, 0.5, 1e-4, 8 * number, 80 * number, 4.0, 40.0, 2.0 * number, 7.0)


def tell(run: RunDirectory, *events: Event) -> None:
    append_lines(run.events, *map(to_record, events))


# --- following --------------------------------------------------------------------------------------------------


def test_a_follower_hands_out_each_event_once_and_keeps_half_a_line_for_later(run: RunDirectory) -> None:
    follower = Follower(run)
    assert follower.poll() == []
    tell(run, started(), step(1))
    assert follower.poll() == [started(), step(1)]
    line = json.dumps(to_record(step(2))).encode() + b"\n"
    with run.events.open("ab", buffering=0) as file:
        file.write(line[:40])
        assert follower.poll() == []
        file.write(line[40:])
    assert follower.poll() == [step(2)]
    assert follower.poll() == []


def test_what_nobody_understands_is_counted_and_hurts_nobody(run: RunDirectory) -> None:
    run.events.write_bytes(b'{"type":"telepathy","time":1}\nno json\n\n{"type":"step"}\n[1]\n')
    tell(run, Warned(1.0, "careful"))
    follower = Follower(run)
    assert follower.poll() == [Warned(1.0, "careful")]
    assert follower.unknown == {"telepathy": 1, "": 2, "step": 1}


def test_a_poll_takes_a_bounded_part(run: RunDirectory) -> None:
    many = [step(number) for number in range(1, 4001)]
    tell(run, *many)
    assert run.events.stat().st_size > 2 * MOST_BYTES
    follower = Follower(run)
    first = follower.poll()
    assert 0 < len(first) < 4000
    assert follower.behind
    assert first + follower.poll_all() == many
    assert not follower.behind


def test_a_folder_that_is_used_again_is_read_from_its_start(run: RunDirectory) -> None:
    tell(run, started(), step(1), step(2))
    follower = Follower(run)
    follower.poll()
    run.events.unlink()
    tell(run, step(9))
    assert follower.poll() == [step(9)]


def test_following_ends_with_the_last_word_or_with_nobody_left_to_say_it(run: RunDirectory) -> None:
    lost = started(pid=DEAD)
    tell(run, lost, step(1))
    assert list(follow(run)) == [lost, step(1)]
    tell(run, RunFinished(9.0, "completed", 1))
    assert list(follow(run)) == [lost, step(1), RunFinished(9.0, "completed", 1)]


# --- states -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "lost"),
        ([started()], "queued"),
        ([started(), Warned(2.0, "fp16"), Queued(2.0, "cpu", "other")], "queued"),
        ([started(), Queued(2.0, "cpu"), StageChanged(3.0, "importing")], "running"),
        ([started(), step(1), Warned(2.0, "hot")], "running"),
        ([started(), RunFinished(9.0, "completed", 3)], "finished"),
        ([started(), RunFinished(9.0, "early_stopping", 3), Warned(9.0, "late")], "finished"),
        ([started(), RunFinished(9.0, "stopped", 3)], "stopped"),
        ([started(), RunFailed(9.0, "gone")], "failed"),
        ([started(), RunFailed(9.0, "gone"), started(segment=2)], "queued"),
        ([started(pid=DEAD), step(1)], "lost"),
    ],
)
def test_the_state_follows_from_the_last_events(run: RunDirectory, events: list[Event], state: str) -> None:
    tell(run, *events)
    assert state_of(run) == state
    assert read_history(run).state == state


def test_the_supervisor_of_a_long_run_is_found_far_from_the_end(run: RunDirectory) -> None:
    quoting = Sample(2.0, 0, "q", '{"type":"run_started"')
    tell(run, started(pid=DEAD), started(segment=2), quoting, *(step(number) for number in range(1, 2000)))
    assert state_of(run) == "running"


def test_a_last_word_that_was_not_read_yet_is_no_loss(run: RunDirectory) -> None:
    tell(run, started(pid=DEAD), StageChanged(1.0, "training"))
    history = read_history(run)
    assert history.state == "lost"
    tell(run, RunFinished(2.0, "stopped", 1))
    assert history.state == "running"
    history.update()
    assert history.state == "stopped"


def test_a_last_line_of_any_length_is_found(run: RunDirectory) -> None:
    tell(run, started(), Sample(2.0, 0, "q", "long " * 100_000))
    assert state_of(run) == "running"


def test_a_run_on_another_machine_lives_while_its_files_change(run: RunDirectory) -> None:
    tell(run, started(host="elsewhere"), step(1))
    assert state_of(run) == "running"
    os.utime(run.events, (time.time() - 3600,) * 2)
    assert state_of(run) == "lost"


def test_a_pid_that_somebody_else_has_now_is_not_alive() -> None:
    born = start_time(os.getpid())
    assert born is not None
    assert is_alive(os.getpid(), born)
    assert not is_alive(os.getpid(), born - 1)
    assert not is_alive(DEAD, born)


def test_a_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert start_time(pid) is None
    finally:
        os.waitpid(pid, 0)


# --- curves -----------------------------------------------------------------------------------------------------


def test_a_short_curve_is_kept_as_it_is() -> None:
    curve = Curve()
    for number in (10, 20, 30):
        curve.add(number, number / 10)
    assert curve.slices == [Slice(n, n, n / 10, n / 10, n / 10) for n in (10, 20, 30)]
    assert curve.last == 3.0


def test_a_long_curve_is_folded_and_loses_no_extreme() -> None:
    curve = Curve()
    for number in range(1, 200_001):
        curve.add(number, {77: 50.0, 150_000: -9.0, 100_000: math.inf}.get(number, number / 200_000))
    assert len(curve) < 4096
    slices = curve.slices
    assert max(piece.high for piece in slices) == 50.0
    assert min(piece.low for piece in slices) == -9.0
    assert sum(piece.count for piece in slices) == 200_000
    assert all(after.first == before.last + 1 for before, after in pairwise(slices))
    assert slices[-1] == Slice(200_000, 200_000, 1.0, 1.0, 1.0)


def test_what_is_no_number_is_a_gap() -> None:
    curve = Curve()
    curve.add(1, math.inf)
    assert math.isnan(curve.slices[0].mean)
    assert math.isnan(Curve().last)


def test_a_step_that_comes_again_takes_the_place_of_the_old_future() -> None:
    curve = Curve()
    for number in range(1, 11):
        curve.add(number, float(number))
    curve.add(5, 0.5)
    curve.add(6, 0.6)
    assert [(piece.last, piece.mean) for piece in curve.slices][-3:] == [(4, 4.0), (5, 0.5), (6, 0.6)]


# --- histories --------------------------------------------------------------------------------------------------


def test_a_history_folds_what_was_told(run: RunDirectory) -> None:
    tell(
        run,
        started(),
        StageChanged(2.0, "training"),
        DataReady(2.0, 400, 4000, 400, total_steps=100, steps_per_epoch=10.0),
        step(10, 3.0),
        Evaluation(6.0, 10, 1.0, {"loss": 2.5}, 40, 1.0, best=True),
        Evaluation(6.0, 10, 1.0, {"loss": 2.75}, 40, 1.0, dataset="other"),
        CheckpointSaved(6.0, 10, "checkpoints/step-000010", 100, 0.1),
        CheckpointSaved(7.0, 20, "checkpoints/step-000020", 100, 0.1),
        CheckpointRemoved(7.0, 10, "checkpoints/step-000010"),
        step(20, 2.0),
    )
    history = read_history(run)
    assert [piece.mean for piece in history.curves["loss"].slices] == [3.0, 2.0]
    assert history.curves["eval_loss"].last == 2.5
    assert history.curves["eval_other_loss"].last == 2.75
    assert history.best is not None
    assert history.best.metrics == {"loss": 2.5}
    assert [saved.step for saved in history.checkpoints] == [20]
    assert (history.total_steps, history.progress) == (100, 0.2)


def test_one_checkpoint_is_the_best(run: RunDirectory) -> None:
    folders = ("checkpoints/step-000010", "checkpoints/step-000020", "checkpoints/step-000030")
    best = (True, True, False)
    saved = [CheckpointSaved(6.0, 10 * n, path, 9, 0.1, best[n - 1]) for n, path in enumerate(folders, start=1)]
    tell(run, started(), *saved, CheckpointSaved(7.0, 30, ".", 9, 0.1, best=True))
    assert [one.best for one in read_history(run).checkpoints] == [False, True, False, True]


def test_a_resume_forgets_the_future_that_did_not_come(run: RunDirectory) -> None:
    told = [step(10, 3.0), Sample(1.0, 10, "q", "old"), step(20, 2.0), Sample(1.0, 20, "q", "older"), step(30, 9.0)]
    tell(run, started(), *told, RunFailed(8.0, "NaN"))
    tell(run, started(segment=2, resumed_from="step-000020"))
    history = read_history(run)
    assert [(piece.last, piece.mean) for piece in history.curves["loss"].slices] == [(10, 3.0), (20, 2.0)]
    assert history.failed is None
    assert history.step is not None
    assert (history.step.step, history.step.loss) == (20, 2.0)
    tell(run, step(30, 1.5))
    history.update()
    assert [(piece.last, piece.mean) for piece in history.curves["loss"].slices][-1] == (30, 1.5)
    assert [sample.answer for sample in history.samples] == ["old", "older"]


def test_a_summary_is_read_from_the_end(run: RunDirectory) -> None:
    write_launch(run, Launch(("x",), model="demo", method="lora", datasets=("a", "b"), time=12.0))
    assert read_launch(run).datasets == ("a", "b")
    tell(run, started(), *(step(number, 1.0 + 1 / number, 5000) for number in range(1, 3001)))
    tell(run, Evaluation(9.0, 3000, 1.0, {"loss": 0.5}, 4, 0.1), RunFailed(9.0, "boom"))
    found = summarise(run)
    assert (found.state, found.step, found.total_steps, found.error) == ("failed", 3000, 5000, "boom")
    assert (found.model, found.method, found.dataset, found.launched) == ("demo", "lora", "a,b", 12.0)
    assert found.eval_loss == 0.5
    assert found.progress == 0.6


# --- which there are --------------------------------------------------------------------------------------------


def test_runs_are_found_below_runs_and_where_they_were_entered(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    foreign = RunDirectory(workspace.runs / "llama" / "sft")
    foreign.path.mkdir(parents=True)
    (foreign.path / "trainer_log.jsonl").write_text('{"current_steps": 10, "total_steps": 30, "loss": 2.0}\n')
    tell(run, started())
    other = RunDirectory(tmp_path / "outputs" / "sft_output")
    other.path.mkdir(parents=True)
    tell(other, started())
    assert {found.path for found in list_runs(workspace)} == {run.path, foreign.path}
    enter_run(other, workspace)
    enter_run(other, workspace)
    enter_run(run, workspace)
    assert {found.path for found in list_runs(workspace)} == {run.path, foreign.path, other.path}
    assert json.loads((workspace.state / "runs.json").read_text())["runs"] == ["outputs/sft_output"]

    monkeypatch.chdir(tmp_path)
    assert run_name(foreign, workspace) == "llama/sft"
    assert run_name(other, workspace) == "outputs/sft_output"
    for name in ("one", str(run.path), "runs/one"):
        assert find_run(name, workspace).path == run.path
    assert find_run("sft_output", workspace).path == other.path
    assert find_run("llama/sft", workspace).path == foreign.path
    strike_run(other, workspace)
    assert len(list_runs(workspace)) == 2


def test_a_wrong_name_is_told_with_the_nearest(run: RunDirectory, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(RunNotFound, match="no run onee") as none:
        find_run("onee", workspace)
    assert none.value.hint == "start one with: finetui train"
    tell(run, started())
    with pytest.raises(RunNotFound) as wrong:
        find_run("onee", workspace)
    assert wrong.value.hint == "did you mean 'one'?"
    assert find_run("last", workspace) == run
