"""A stop within a step of stage ppo: at once and without a trace; and a kill at the same places.

Whoever goes on afterwards does what the uninterrupted run did, to the last bit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_runs import PPO, adapter_of, numbers
from safetensors.torch import save_file

from core.engine import control
from core.engine.ppo import collecting, rollouts
from core.engine.ppo.learning import Learner
from core.engine.predicting.predict import predict
from core.engine.train import main
from core.engine.training import checkpoint
from core.engine.training.checkpoint import read_tensors
from core.runs.events import CheckpointSaved, Sample, Step
from core.workspace import Workspace
from training_runs import Trained, ended, forked, new_run, train_here

NOISY = '''
import random

calls = []

def noisy(prompts, answers):
    """Draws numbers of its own, from the generator that a checkpoint keeps."""
    calls.append(len(answers))
    return [sum(ord(letter) % 7 for letter in answer) / 16 + random.random() for answer in answers]
'''
STEP = 2
"""During the step after this one something happens."""
Happening = Callable[[], object]


@pytest.fixture(scope="module")
def noisy(workspace: Workspace) -> str:
    path = workspace.root / "noisy.py"
    path.write_text(NOISY)
    return f"{path}:noisy"


@pytest.fixture(scope="module")
def options(noisy: str) -> dict[str, Any]:
    shaped = {"ppo_score_norm": True, "ppo_horizon": 100.0, "ppo_target": 0.5}
    return {**PPO, **shaped, "reward_model": noisy, "save_strategy": "steps", "save_steps": 50}


@pytest.fixture(scope="module")
def whole(workspace: Workspace, options: dict[str, Any]) -> Trained:
    """The run that nothing happened to."""
    return train_here(workspace, "whole", **options)


# --- where it happens -------------------------------------------------------------------------------------------


def within_a_rollout(monkeypatch: pytest.MonkeyPatch, step: int, happens: Happening) -> None:
    """After the third token of the answers of a step."""
    drawn: list[int] = []

    def watched(chat: Any, questions: Any, **keywords: Any) -> None:
        drawn.append(0)
        count = len(drawn)

        def on_tokens(_tokens: int) -> None:
            drawn[-1] += 1
            if count == step + 1 and drawn[-1] == 3:
                happens()

        predict(chat, questions, on_tokens=on_tokens, **keywords)

    monkeypatch.setattr(rollouts, "predict", watched)


def within_scoring(monkeypatch: pytest.MonkeyPatch, step: int, happens: Happening) -> None:
    """After all answers of a step are scored, before anybody has their scores."""
    scored: list[int] = []
    score = collecting.Collector._scored

    def watched(self: Any, *arguments: Any) -> Any:
        scored.append(1)
        scorer = self._partners.scorer

        def then(asked: Any, is_stopped: Any) -> list[float]:
            found = scorer_score(asked, is_stopped)
            if len(scored) == step + 1:
                happens()
            return list(found)

        scorer_score = scorer.score
        object.__setattr__(scorer, "score", then)
        try:
            return score(self, *arguments)
        finally:
            object.__setattr__(scorer, "score", scorer_score)

    monkeypatch.setattr(collecting.Collector, "_scored", watched)


def within_reading(monkeypatch: pytest.MonkeyPatch, step: int, happens: Happening) -> None:
    """After the first portion of a step's answers was read by policy and reference."""
    read, count = collecting.Collector._read, [0]
    portions = 4  # 8 answers, 2 at once

    def watched(self: Any, batch: Any) -> torch.Tensor:
        count[0] += 1
        if count[0] == step * portions + 1:
            happens()
        return read(self, batch)

    monkeypatch.setattr(collecting.Collector, "_read", watched)


PLACES = {"rollout": within_a_rollout, "scoring": within_scoring, "reading": within_reading}


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_LOOK_SECONDS", 0.0)


# --- stops ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize("place", PLACES)
def test_a_stop_within_a_step_leaves_no_trace_of_it(
    workspace: Workspace, options: dict[str, Any], whole: Trained, name: str, place: str
) -> None:
    run = new_run(workspace, name, options)
    with pytest.MonkeyPatch.context() as patch:
        PLACES[place](patch, STEP, partial(run.wish, "stop"))
        stopped = train_here(workspace, name, **options)
    assert stopped.finished().reason == "stopped"
    assert stopped.finished().step == STEP
    assert [one.step for one in stopped.all(Step)] == [1, STEP]
    assert [one.step for one in stopped.all(CheckpointSaved)] == [STEP, STEP]  # the last is the run's own model
    assert list(run.wishes()) == []
    resumed = train_here(workspace, name, resume="true")
    assert resumed.finished().reason == "completed"
    assert_same_ending(resumed, whole)


@pytest.mark.usefixtures("looks_often")
def test_what_is_saved_already_is_not_saved_again(workspace: Workspace, options: dict[str, Any], name: str) -> None:
    often = {**options, "save_steps": STEP, "probe_max_new_tokens": 2}
    run = new_run(workspace, name, often)
    with pytest.MonkeyPatch.context() as patch:
        within_scoring(patch, STEP, partial(run.wish, "stop"))
        stopped = train_here(workspace, name, **often)
    assert stopped.finished().step == STEP
    assert [one.path for one in stopped.all(CheckpointSaved)] == [f"checkpoints/step-{STEP:06d}", "."]
    samples = stopped.all(Sample)
    with pytest.MonkeyPatch.context() as patch:  # at once after going on: there is nothing new to save
        within_a_rollout(patch, 0, partial(run.wish, "stop"))
        again = train_here(workspace, name, resume="true")
    assert again.finished().step == STEP
    assert [one.path for one in again.all(CheckpointSaved)][2:] == ["."]
    assert again.all(Sample) == samples


@pytest.mark.usefixtures("looks_often")
def test_a_stop_within_the_first_step_leaves_nothing(workspace: Workspace, options: dict[str, Any], name: str) -> None:
    run = new_run(workspace, name, options)
    with pytest.MonkeyPatch.context() as patch:
        within_a_rollout(patch, 0, partial(run.wish, "stop"))
        stopped = train_here(workspace, name, **options)
    assert (stopped.finished().reason, stopped.finished().step, stopped.exit_code) == ("stopped", 0, 0)
    assert (run.saved_checkpoints(), list(run.path.glob("*.safetensors")), list(run.wishes())) == ([], [], [])


@pytest.mark.usefixtures("looks_often")
def test_learning_that_has_begun_is_finished(
    workspace: Workspace, options: dict[str, Any], whole: Trained, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(workspace, name, options)
    learn = Learner.learn

    def stopped_within(self: Learner, lesson: Any, step: int, refuse: Any) -> Any:
        if step == STEP:
            run.wish("stop")
        return learn(self, lesson, step, refuse)

    monkeypatch.setattr(Learner, "learn", stopped_within)
    stopped = train_here(workspace, name, **options)
    assert (stopped.finished().reason, stopped.finished().step) == ("stopped", STEP + 1)
    monkeypatch.undo()
    assert_same_ending(train_here(workspace, name, resume="true"), whole)


# --- kills ------------------------------------------------------------------------------------------------------


def within_a_save(monkeypatch: pytest.MonkeyPatch, step: int, happens: Happening) -> None:
    """When a checkpoint's weights lie there, and the rest is still missing."""
    save = save_file

    def watched(tensors: Any, path: Path) -> None:
        save(tensors, path)
        if f"step-{step + 1:06d}" in str(path):
            happens()

    monkeypatch.setattr(checkpoint, "save_file", watched)


@pytest.mark.parametrize("place", ["rollout", "scoring", "save"])
def test_a_kill_within_a_step_costs_that_step(
    workspace: Workspace, options: dict[str, Any], whole: Trained, name: str, place: str
) -> None:
    run = new_run(workspace, name, {**options, "save_steps": 1})

    def killed() -> int:
        patch = pytest.MonkeyPatch()
        happens = partial(os.kill, os.getpid(), signal.SIGKILL)
        {**PLACES, "save": within_a_save}[place](patch, STEP, happens)
        return main([str(run.path)])

    assert ended(forked(killed, {"FINETUI_WORKSPACE": str(workspace.root)})) == -signal.SIGKILL
    left = [path.name for path in run.checkpoints.iterdir() if path.name.startswith(".")]
    assert left == ([".unfinished-step-000003"] if place == "save" else [])
    assert [path.name for path in run.saved_checkpoints()] == ["step-000001", "step-000002"]
    resumed = train_here(workspace, name, resume="true")
    assert_same_ending(resumed, whole)
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == [f"step-{n:06d}" for n in range(1, 5)]


def assert_same_ending(trained: Trained, whole: Trained) -> None:
    """The same steps, and in the end the same weights, optimiser, random numbers and whatever else moves."""
    assert trained.exit_code == 0, trained.last
    assert numbers(trained) == numbers(whole)
    weights, expected = adapter_of(trained.run.path), adapter_of(whole.run.path)
    assert all(torch.equal(weights[one], expected[one]) for one in expected)
    ours, theirs = (read_tensors(one.run.checkpoint(4)) for one in (trained, whole))
    assert ours.optimizer["stage"] == theirs.optimizer["stage"]
    assert ours.random[0]["python"] == theirs.random[0]["python"]
    assert torch.equal(ours.random[0]["torch"], theirs.random[0]["torch"])
