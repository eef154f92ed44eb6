"""Ours against transformers' Trainer: the same rows in the same order, the same losses for 20 steps, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from core.config.data import DataOptions
from core.engine.batches.cache import token_set
from core.engine.batches.recipe import Recipe
from core.runs.events import Step
from core.workspace import Workspace
from training_runs import Trained, train_here

STEPS = 20
OPTIONS: dict[str, Any] = {
    "finetuning_type": "full",
    "max_steps": STEPS,
    "shuffle": False,
    "learning_rate": 2e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 3,
    "weight_decay": 0.1,
    "max_grad_norm": 0.7,
}


class InOrder(transformers.Trainer):  # type: ignore[misc]
    """Takes the rows as they come, as `shuffle: false` does."""

    def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def padded(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)

    def filled(key: str, filler: int) -> torch.Tensor:
        return torch.tensor([row[key] + [filler] * (longest - len(row[key])) for row in rows])

    ids, labels = filled("input_ids", 0), filled("labels", -100)
    lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
    return {"input_ids": ids, "labels": labels, "attention_mask": (torch.arange(longest)[None] < lengths).long()}


def by_transformers(workspace: Workspace, folder: Path, batch: int, accumulation: int) -> list[dict[str, float]]:
    recipe = Recipe(workspace.root, ("colours",), DataOptions(), workspace.models / "tiny")
    rows = [
        {"input_ids": row.ids.tolist(), "labels": np.where(row.trained, row.ids, -100).tolist()}
        for row in token_set(recipe)
    ]
    model = transformers.AutoModelForCausalLM.from_pretrained(workspace.models / "tiny", dtype=torch.float32)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        warmup_steps=3,
        weight_decay=0.1,
        max_grad_norm=0.7,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = InOrder(model=model, args=arguments, train_dataset=rows, data_collator=padded)
    trainer.train()
    return [row for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize(("batch", "accumulation"), [(4, 1), (2, 3)])
def test_twenty_steps_are_those_of_transformers(
    workspace: Workspace, tmp_path: Path, batch: int, accumulation: int
) -> None:
    theirs = by_transformers(workspace, tmp_path, batch, accumulation)
    ours: Trained = train_here(
        workspace,
        f"ours-{batch}",
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        **OPTIONS,
    )
    points = ours.all(Step)
    assert len(points) == len(theirs) == STEPS
    assert [one.loss for one in points] == pytest.approx([row["loss"] for row in theirs], rel=1e-5)
    assert [one.learning_rate for one in points] == pytest.approx([row["learning_rate"] for row in theirs], rel=1e-9)
    assert [one.grad_norm for one in points] == pytest.approx([row["grad_norm"] for row in theirs], rel=1e-4)
    assert [one.epoch for one in points] == pytest.approx([row["epoch"] for row in theirs], abs=0.2)
    assert max(one.grad_norm for one in points) > 0.7  # so that shortening them is compared too
