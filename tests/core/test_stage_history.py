"""What stages tell besides the loss: kept with the run, and forgotten where a resume goes back."""

from __future__ import annotations

from pathlib import Path

from core.runs.events import Warned
from core.runs.history import read_history
from core.runs.quantities import stage_named
from core.runs.summary import summarise
from scripted_runs import ScriptedRun


def test_what_it_is_held_against_is_known_for_good(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "run", stage="ppo")
    run.start()
    run.beside("telecom (adapter) on demo")
    run.ready()
    run.ppo_steps(10, 40)
    history = read_history(run.run)
    assert history.beside is not None
    assert (history.beside.reference, history.beside.is_start) == ("telecom (adapter) on demo", True)
    assert [point.mean for point in history.curves["kl"].slices] == [0.4, 0.8, 1.2, 1.6]
    assert summarise(run.run).stage == "ppo"


def test_alarms_are_the_warnings_of_the_training_and_know_their_step(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "run", stage="ppo")
    run.start()
    run.warn("fp16 needs a GPU")
    run.ready()
    run.warn("the KL is not 0 at the first step")
    run.ppo_steps(10, 20)
    run.warn("the KL is negative")
    history = read_history(run.run)
    told = [(at, warned.message) for at, warned in history.alarms]
    assert told == [(0, "the KL is not 0 at the first step"), (20, "the KL is negative")]
    assert len(history.warnings) == 3
    run.start(segment=2, resumed_from="step-000010")
    run.tell(Warned(1.0, "another machine"))
    history.update()
    assert [at for at, _warned in history.alarms] == [0]
    assert history.warnings[-1].message == "another machine"


def test_a_stage_of_a_newer_finetui_is_shown_as_the_plainest() -> None:
    assert [stage_named(name) for name in ("rm", "", "grpo")] == ["rm", "sft", "sft"]
