"""A plan's words: what crosses from the engine to whoever shows it."""

from __future__ import annotations

import json

from core.errors import Problem
from core.records import from_record, to_record
from core.runs.plan import (
    PLAN_RECORDS,
    DiskEstimate,
    DryStep,
    LeftOutRow,
    MemoryEstimate,
    Plan,
    Planning,
    PlanRecord,
    Refused,
    TokenReport,
)

MEMORY = MemoryEstimate(
    runtime=700,
    weights=500,
    gradients=10,
    optimizer=20,
    activations=2000,
    checkpointed_activations=200,
    logits=100,
    available=4000,
    device="cpu",
)
PLAN = Plan(
    method="lora",
    model="tiny",
    report=TokenReport(
        rows=4,
        tokens=400,
        longest=120,
        cut_rows=1,
        first_cut=("a.jsonl:3",),
        left_out=2,
        left_out_reasons={"untrained": 1, "unreadable": 1},
        first_left_out=(LeftOutRow("a.jsonl:5", "untrained"), LeftOutRow("a.jsonl:6", "unreadable", "broken JSON")),
    ),
    rows=3,
    eval_rows=1,
    rows_per_update=8,
    micro_batches_per_epoch=1,
    updates_per_epoch=1,
    total_steps=3,
    epochs=3.0,
    packs=0,
    checkpoints=1,
    points=1,
    evaluations=1,
    parameters=1000,
    trainable=10,
    memory=MEMORY,
    gradient_checkpointing=False,
    disk=DiskEstimate(checkpoint=40, total=80, free=1000),
    warnings=(Problem("learning_rate", "too high", "lower it"),),
)


def test_every_record_comes_back_as_it_was() -> None:
    records: list[PlanRecord] = [
        PLAN,
        Planning(0.5),
        DryStep(seconds=1.5, tokens=400, peak_memory=3, estimated_seconds=9.0, trainable=10, micro_batch=8),
        Refused((Problem("a.jsonl:3", "empty answer", "fill it in"),), total=7),
    ]
    for record in records:
        line = json.dumps(to_record(record))
        assert from_record(PLAN_RECORDS, json.loads(line)) == record


def test_checkpointing_takes_the_place_of_what_would_be_kept() -> None:
    assert MEMORY.total == 700 + 500 + 10 + 20 + 2000 + 100
    assert MEMORY.checkpointed_total == MEMORY.total - 2000 + 200
