"""`finetui train --plan`: what the engine answers is told as a table, as JSON, or as what is wrong."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from core.errors import Problem
from core.runs.catalog import list_runs
from core.runs.plan import DiskEstimate, DryStep, MemoryEstimate, Plan, Planning, PlanRecord, Refused, TokenReport
from core.workspace import Workspace
from tui import plan_child
from tui.cli import planning

TRAIN = ("train", "--model", "demo", "--dataset", "intro")
REPORT = TokenReport(
    rows=390,
    tokens=48_844,
    trained_tokens=6_078,
    longest=173,
    cut_rows=3,
    cut_answers=3,
    left_out=2,
    left_out_reasons={"untrained": 2},
)
PLAN = Plan(
    method="lora",
    model="demo",
    report=REPORT,
    rows=390,
    eval_rows=10,
    rows_per_update=8,
    micro_batches_per_epoch=49,
    updates_per_epoch=49,
    total_steps=147,
    epochs=3.0,
    packs=0,
    checkpoints=0,
    points=14,
    evaluations=1,
    parameters=137_000_000,
    trainable=2_440_000,
    memory=MemoryEstimate(10**8, 9 * 10**8, 10**8, 10**8, 2 * 10**9, 10**8, 10**8, 8 * 10**9, "cpu"),
    gradient_checkpointing=False,
    disk=DiskEstimate(10**7, 5 * 10**7, 10**10),
    warnings=(Problem("learning_rate", "0.02 makes most models forget everything", "1e-4 is usual"),),
)
DRY = DryStep(
    seconds=6.34, tokens=1363, peak_memory=2_850_000_000, estimated_seconds=682.0, trainable=2_442_240, micro_batch=8
)


def engine_answers(monkeypatch: pytest.MonkeyPatch, *records: PlanRecord) -> None:
    monkeypatch.setattr(planning, "ask_engine", lambda *_asked, **_how: iter(records))


def test_a_plan_is_a_table_with_its_warnings(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_answers(monkeypatch, Planning(0.5), PLAN, DRY)
    done = finetui(*TRAIN, "--plan", "--learning_rate", "2e-2", "--fp16")
    assert done.code == 0
    assert done.out.splitlines() == [
        "model          demo",
        "trained        lora: 2.44M of 137M parameters (1.8 %)",
        "rows           390 to train on, 48,844 tokens, 6,078 of them trained; the longest has 173",
        "evaluated on   10 rows",
        "cut rows       3: 0 lost turns, 0 a part of the question, 3 of the answer",
        "left out       2 (untrained 2)",
        "steps          147 in 3 epochs: 49 updates an epoch, 49 batches, 8 rows an update",
        "on the way     14 points of the loss, 1 evaluation, 0 checkpoints",
        "memory         3.3 GB of 8 GB free on cpu",
        "disk           50 MB of 10 GB free",
        "longest batch  6.34 s for 1363 tokens, 2.85 GB at most",
        "time           about 00:11:22 for the whole training",
    ]
    warnings = [line for line in done.err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2
    assert warnings[0].startswith("warning: fp16: there is no device here")
    assert warnings[1] == "warning: learning_rate: 0.02 makes most models forget everything (1e-4 is usual)"
    assert list_runs(workspace) == []


def test_a_plan_as_json(finetui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_answers(monkeypatch, Planning(0.5), PLAN, DRY)
    records = finetui(*TRAIN, "--plan", "--json").records
    assert [record["type"] for record in records] == ["plan", "dry_step"]
    assert records[0]["report"]["rows"] == 390


def test_what_cannot_be_planned_is_told(finetui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_answers(monkeypatch, Refused((Problem("data/intro.jsonl:3", "the answer is empty", "write one"),)))
    done = finetui(*TRAIN, "--plan")
    assert (done.code, done.err.splitlines()[-2:]) == (
        2,
        ["error: data/intro.jsonl:3: the answer is empty", "hint: write one"],
    )


def test_an_engine_that_dies_while_it_plans_is_told(finetui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_child, "COMMAND", (sys.executable, "-c", "raise SystemExit('no engine here')"))
    done = finetui(*TRAIN, "--plan")
    assert done.code == 2
    assert done.err.splitlines()[-2:] == ["error: the engine ended without a plan", "hint: no engine here"]
