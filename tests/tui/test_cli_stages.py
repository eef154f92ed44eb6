"""Runs of stages rm, dpo and ppo as commands tell them: lines, lists, facts, curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.workspace import Workspace
from folders import make_adapter, make_model
from scripted_runs import ScriptedRun


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    found.root.mkdir()
    monkeypatch.setenv("FINETUI_WORKSPACE", str(found.root))
    monkeypatch.chdir(found.root)
    policy(found)
    judge = ScriptedRun(found.runs / "judge", stage="rm")
    judge.start(alive=False)
    judge.ready()
    judge.pair_steps(50, 100, every=50)
    judge.finish()
    ScriptedRun(found.runs / "plain").start(alive=False)
    return found


def policy(workspace: Workspace) -> None:
    run = ScriptedRun(workspace.runs / "policy", stage="ppo")
    run.start(alive=False)
    run.ready()
    run.beside()
    run.answer(0, "Who are you?", "A model.", 0.25)
    run.ppo_steps(50, 100, every=50)
    run.answer(100, "Who are you?", "A friend.")
    run.finish()
    (run.run.path / "training_reward.png").write_bytes(b"\x89PNG")


def test_lines_say_what_a_stage_is_watched_by(finetui: Any) -> None:
    done = finetui("runs", "follow", "policy")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[1:6] == [
        "400 questions, 20,000 tokens, 100 steps; 3 rows are cut; 40 to evaluate on",
        "demo: 135M parameters, 461k of them trained (0.34 %) by lora, float32 on cpu; no padding",
        "held against telecom (adapter) on demo, which is what it begins as; scored by telecom-rm (lora)",
        "before: Who are you? → A model. (reward 0.25)",
        "global step 50 ( 50.00% ) , epoch: 1, loss: 0.30000, reward: 0.25, kl: 2, entropy: 1.5, answer_tokens: 35, "
        "speed: 1.00 step/s, ETA: 00:00:50",
    ]
    assert lines[7] == "step 100: Who are you? → A friend."


def test_a_reward_model_says_what_it_is_for(finetui: Any) -> None:
    done = finetui("runs", "follow", "judge")
    assert "400 pairs of answers, 20,000 tokens, 100 steps; 3 rows are cut" in done.out
    assert "loss: 0.20000, accuracy: 1, margin: 2, speed: " in done.out
    assert done.err == (
        "how well it tells pairs apart: finetui eval judge --dataset PAIRS   answers are scored with it by: "
        "finetui train --stage ppo --reward_model judge …\n"
    )


def test_a_policy_says_how_it_is_compared_with_what_it_was(finetui: Any, workspace: Workspace) -> None:
    assert "compare it" not in finetui("runs", "follow", "policy").err  # its base is gone
    make_model(workspace.models / "demo")
    for name in ("yui", "rm"):
        make_adapter(workspace.runs / name, "demo")
    run = ScriptedRun(workspace.runs / "rlhf", stage="ppo")
    run.configure(adapter_name_or_path=workspace.runs / "yui", reward_model=workspace.runs / "rm")
    (run.run.path / "adapter_config.json").write_text("{}")
    run.start(alive=False)
    run.finish()
    assert finetui("runs", "follow", "rlhf").err == (
        "compare it with what it was: finetui eval --adapter_name_or_path yui,rlhf --include_base --reward_model rm "
        "--dataset SET\n"
    )


def test_lists_have_a_column_for_it_where_there_is_any(finetui: Any) -> None:
    rows = [line.split() for line in finetui("runs", "list").out.splitlines()]
    assert rows[0][5:8] == ["EVAL", "WATCHED", "METHOD"]
    kinds = {row[0]: row[1] for row in rows[1:]}
    assert kinds == {"policy": "ppo", "judge": "rm", "plain": "train"}
    told = {row[0]: row[5:7] for row in rows[1:]}
    assert (told["policy"], told["judge"]) == (["reward", "1.5"], ["accuracy", "1"])
    assert "WATCHED" not in finetui("runs", "list", "--kind", "sft").out
    (record,) = finetui("runs", "list", "--kind", "ppo", "--json").records
    assert (record["name"], record["stage"], record["metrics"]["kl"]) == ("policy", "ppo", 4.0)
    assert len(finetui("runs", "list", "--kind", "train", "--json").records) == 3


def test_everything_about_one_names_what_stands_beside_it(finetui: Any) -> None:
    done = finetui("runs", "show", "policy")
    facts = dict(line.split(None, 1) for line in done.out.splitlines())
    assert facts["stage"] == "ppo"
    assert facts["beside"].startswith("held against telecom (adapter) on demo")
    assert (facts["reward"], facts["kl_coef"], facts["answer_tokens"]) == ("1.5", "0.2", "30")


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        ("runs/judge", "judge"),
        ("runs/judge/checkpoints/step-000200", "judge@200"),
        ("elsewhere/deep/rules.py:short", "deep/rules.py:short"),
    ],
)
def test_what_is_named_by_a_path_is_told_by_its_name(
    finetui: Any, workspace: Workspace, reward: str, told: str
) -> None:
    path = workspace.root / reward
    run = ScriptedRun(workspace.runs / "scored", stage="ppo")
    run.start(alive=False)
    run.beside(reward=str(path))
    run.finish()
    facts = dict(line.split("  ", 1) for line in finetui("runs", "show", "scored").out.splitlines())
    assert facts["beside"].endswith(f"; scored by {told} (lora)")
    assert facts["rewards from"].strip() == str(path)
    assert f"; scored by {told} (lora)" in finetui("runs", "follow", "scored").out


def test_curves_begin_with_what_tells_most(finetui: Any) -> None:
    done = finetui("runs", "plot", "policy")
    assert "reward" in done.out.splitlines()[0]
    assert done.out.splitlines()[-1].endswith("policy/training_reward.png")
    points = finetui("runs", "plot", "judge", "--json").records[0]
    assert (points["metric"], points["points"]) == ("accuracy", [[50, 0.75], [100, 1.0]])
    both = finetui("runs", "plot", "policy", "judge", "--json").records
    assert {record["metric"] for record in both} == {"loss"}
    assert finetui("runs", "plot", "policy", "--metric", "kl", "--json").records[0]["points"] == [[50, 2.0], [100, 4.0]]
    assert "there is no curve margin" in finetui("runs", "plot", "policy", "--metric", "margin").err
