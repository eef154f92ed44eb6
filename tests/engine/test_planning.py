"""The plan of a training against the training itself: what it counts is what will be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.data.checks import BadData
from core.engine.planning import memory as memory_plan
from core.engine.planning.draft import Draft
from core.engine.planning.memory import needs_checkpointing
from core.errors import ConfigError, FinetuiError, ModelError, UsageError
from core.hardware import Memory
from core.records import from_record
from core.runs.plan import PLAN_RECORDS, Plan, Planning, Refused
from core.workspace import Workspace
from drafts import GIB, drafts_of, few_rows, write_rows


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return few_rows(tmp_path)


@pytest.fixture
def planned(workspace: Workspace, model_folder: Callable[[str], Path]) -> Callable[..., Draft]:
    return drafts_of(workspace, model_folder("llama"))


def warnings(plan: Plan) -> dict[str, str]:
    return {problem.where: f"{problem.what} ({problem.hint})" for problem in plan.warnings}


# --- what is counted ----------------------------------------------------------------------------------------------


def test_steps_points_and_checkpoints_of_a_usual_run(planned: Callable[..., Draft]) -> None:
    plan = planned(
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        num_train_epochs=5,
        logging_steps=4,
        save_steps=12,
        eval_dataset="test.jsonl",
    ).plan
    assert (plan.rows, plan.eval_rows, plan.rows_per_update) == (24, 5, 4)
    assert (plan.micro_batches_per_epoch, plan.updates_per_epoch) == (12, 6)
    assert (plan.total_steps, plan.epochs) == (30, 5.0)
    assert (plan.points, plan.checkpoints, plan.evaluations) == (8, 3, 3)
    assert plan.report.tokens > plan.report.trained_tokens > 0
    assert plan.warnings == ()
    assert plan.method == "lora"


def test_rows_are_kept_out_and_packed(planned: Callable[..., Draft]) -> None:
    plan = planned(val_size=4, packing=True, cutoff_len=256, per_device_train_batch_size=2).plan
    assert (plan.rows, plan.eval_rows) == (20, 4)
    assert 1 < plan.packs < 10
    assert plan.updates_per_epoch == -(-plan.packs // 2)


def test_processes_share_an_update(planned: Callable[..., Draft]) -> None:
    plan = planned(nproc_per_node=2, per_device_train_batch_size=3).plan
    assert (plan.rows_per_update, plan.updates_per_epoch) == (6, 4)


METHODS: list[dict[str, Any]] = [
    {},
    {"lora_rank": 3, "lora_target": "q_proj,down_proj"},
    {"lora_target": "query_key_value"},
    {"use_dora": True},
    {"additional_target": "lm_head,embed_tokens"},
    {"finetuning_type": "p_tuning", "pre_seq_len": 5},
    {"finetuning_type": "p_tuning", "pre_seq_len": 5, "prefix_projection": True},
    {"finetuning_type": "full"},
    {"finetuning_type": "freeze"},
    {"finetuning_type": "freeze", "freeze_trainable_layers": -1, "freeze_trainable_modules": "mlp"},
    {"finetuning_type": "freeze", "freeze_trainable_layers": 1, "freeze_extra_modules": "norm"},
]


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
@pytest.mark.parametrize("options", METHODS, ids=lambda options: "-".join(map(str, options.values())) or "lora")
def test_what_headers_promise_is_what_is_trained(
    kind: str, options: dict[str, Any], model_folder: Callable[[str], Path], planned: Callable[..., Draft]
) -> None:
    if kind == "gemma3" and "additional_target" in options:
        pytest.skip("its head is its embedding: PEFT saves one of the two")
    made = planned(model_name_or_path=str(model_folder(kind)), **options)
    counted = counted_parameters(made)
    assert (made.plan.trainable, made.plan.parameters) == counted


def counted_parameters(made: Draft) -> tuple[int, int]:
    from core.engine.tuning.prepare import describe_base, load_for_training, prepare

    settings = made.settings
    options = settings[BaseModelOptions].model_copy(update={"model_name_or_path": str(made.model.path)})
    base = load_for_training(options, settings[FinetuningOptions], settings[OptimizationOptions])
    notes = describe_base(base, made.recipe.data)
    tunable = prepare(base, settings[FinetuningOptions], settings[OptimizationOptions], [], notes)
    return sum(one.numel() for one in tunable.trained.values()), tunable.parameters


def test_a_target_that_is_not_there_is_told_before_anything_is_loaded(planned: Callable[..., Draft]) -> None:
    with pytest.raises(ModelError, match="no linear layer 'q_porj'") as caught:
        print(planned(lora_target="q_porj").plan)
    assert "did you mean 'q_proj'?" in caught.value.hint


# --- what is warned of --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "where", "expected"),
    [
        ({"learning_rate": 2e-2}, "learning_rate", "0.02 makes most models forget everything (1e-4 is usual"),
        (
            {"learning_rate": 2e-2, "finetuning_type": "p_tuning", "prefix_projection": True},
            "learning_rate",
            "0.02 is high for a prefix with a projection, each weight of which moves all of it (1e-4",
        ),
        ({"learning_rate": 1e-3, "finetuning_type": "full"}, "learning_rate", "0.001 is high for full (1e-4 is usual"),
        ({"num_train_epochs": 60}, "num_train_epochs", "60 passes over 24 rows learn them by heart"),
        ({"max_steps": 600}, "max_steps", "200 passes over 24 rows"),
        (
            {"gradient_accumulation_steps": 16, "per_device_train_batch_size": 4},
            "gradient_accumulation_steps",
            "16 batches for an update, and an epoch has only 6: every update is one whole epoch "
            "(an update takes 24 rows, not 64)",
        ),
        (
            {"save_steps": 1000},
            "save_steps",
            "1000 is more than all 9 steps: nothing is saved on the way, only the end",
        ),
        ({"logging_steps": 5}, "logging_steps", "the curve will have 2 points"),
        ({"warmup_steps": 9}, "warmup_steps", "9 steps of warm-up, and 9 in all"),
        ({"cutoff_len": 40}, "cutoff_len", "20 rows are too long and are cut: 83.3 % of them, "),
        ({"cutoff_len": 45, "on_long_rows": "drop"}, "on_long_rows", "13 rows are left out"),
        ({"template": "chatml"}, "template", "has a chat template of its own, and chatml is used"),
        ({"template": "llama3"}, "template", "<|eot_id|>, is no token that this tokenizer knows"),
        ({"packing": True}, "packing", "24 rows make 1 packs: 1 updates an epoch"),
        ({"eval_dataset": "few.jsonl"}, "eval_dataset", "few.jsonl is trained on too"),
        ({"eval_dataset": "part.jsonl"}, "dataset", "part.jsonl"),
    ],
)
def test_settings_that_cost_people_their_runs_are_told(
    planned: Callable[..., Draft], workspace: Workspace, options: dict[str, Any], where: str, expected: str
) -> None:
    calm = {"save_steps": 9, "logging_steps": 1}
    write_rows(workspace.data / "part.jsonl", 3)
    told = warnings(planned(**calm | options).plan)
    assert expected in told[where]


def test_a_base_without_a_template_is_told_what_it_gets(planned: Callable[..., Draft], tmp_path: Path) -> None:
    from tiny_models import make_model

    bare = make_model(tmp_path / "bare", "llama", chat_template=None)
    assert (
        "bare has no chat template: default is used" in warnings(planned(model_name_or_path=str(bare)).plan)["template"]
    )


def test_rows_beyond_the_models_context_are_told(planned: Callable[..., Draft], workspace: Workspace) -> None:
    row = {"instruction": "long " * 150, "output": "yes"}
    (workspace.data / "few.jsonl").write_text(json.dumps(row) + "\n")
    told = warnings(planned().plan)["cutoff_len"]
    assert "tokens, the model was made for 512 (lower it to 512)" in told


def test_too_little_memory_and_disk_are_told(planned: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "memory", lambda: Memory(GIB // 2, GIB // 2))
    monkeypatch.setattr("core.engine.planning.counts.shutil.disk_usage", lambda path: type("U", (), {"free": 1000})())
    told = warnings(planned().plan)
    assert "are needed, cpu has 537 MB free (lower it and raise" in told["per_device_train_batch_size"]
    assert "the disk has 1 kB free" in told["save_total_limit"]


# --- what is refused ----------------------------------------------------------------------------------------------


def test_all_mistakes_of_the_data_are_told_before_tokens_are_made(
    planned: Callable[..., Draft], workspace: Workspace
) -> None:
    (workspace.data / "few.jsonl").write_text('{"instruction": "?", "output": ""}\n{broken\n')
    with pytest.raises(BadData) as caught:
        planned()
    places = [problem.where.rpartition("/")[2] for problem in caught.value.report.problems]
    assert places[:2] == ["few.jsonl:1", "few.jsonl:2"]


def test_rows_without_loss_are_mistakes_unless_they_may_be_left_out(
    planned: Callable[..., Draft], workspace: Workspace
) -> None:
    long = json.dumps({"instruction": "?", "output": "yes", "system": "s" * 100})
    with (workspace.data / "few.jsonl").open("a") as file:
        file.write(long + "\n")
    with pytest.raises(ConfigError) as caught:
        planned(cutoff_len=64)
    (problem,) = caught.value.problems
    assert problem.where.endswith("few.jsonl:25")
    assert problem.what == "the system prompt and the template's markers leave no room within cutoff_len"
    plan = planned(cutoff_len=64, on_bad_rows="skip").plan
    assert plan.rows == 24
    assert "1 row is left out" in warnings(plan)["on_bad_rows"]


def test_rows_of_an_evaluation_set_stop_a_run_before_it_begins(
    planned: Callable[..., Draft], workspace: Workspace
) -> None:
    with (workspace.data / "test.jsonl").open("a") as file:
        file.write(json.dumps({"instruction": "?", "output": "yes", "system": "s" * 100}) + "\n")
    with pytest.raises(ConfigError) as caught:
        planned(cutoff_len=64, eval_dataset="test.jsonl")
    assert caught.value.problems[0].where.endswith("test.jsonl:6")
    plan = planned(cutoff_len=64, eval_dataset="test.jsonl", on_bad_rows="skip").plan
    assert plan.eval_rows == 5
    assert warnings(plan)["eval_dataset"].startswith("test.jsonl: 1 row is left out")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"packing": True, "finetuning_type": "p_tuning"}, UsageError, "packing and p_tuning do not go together"),
        ({"packing": True, "neftune_noise_alpha": 5}, UsageError, "packing and neftune_noise_alpha"),
        ({"val_size": 24}, ConfigError, "val_size: leaves none of the 24 rows to train on"),
        ({"dataset": "none"}, FinetuiError, "none"),
    ],
)
def test_what_cannot_be_trained_has_no_plan(
    planned: Callable[..., Draft], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        print(planned(**options).plan)


# --- the program --------------------------------------------------------------------------------------------------


def run(config: Path, workspace: Workspace, *arguments: str) -> tuple[int, list[Any]]:
    program = (
        "import sys; from core.engine.plan import main; code = main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(config), *arguments],
        env={**os.environ, "FINETUI_WORKSPACE": str(workspace.root)},
        capture_output=True,
    )
    return done.returncode, [from_record(PLAN_RECORDS, json.loads(line)) for line in done.stdout.splitlines()]


def test_the_program_plans_without_torch_and_says_why_it_cannot(
    workspace: Workspace, model_folder: Callable[[str], Path]
) -> None:
    config = workspace.root / "run.yaml"
    config.write_text(json.dumps({"model_name_or_path": str(model_folder("llama")), "dataset": "few.jsonl"}))
    code, records = run(config, workspace)
    plans = [record for record in records if not isinstance(record, Planning)]
    assert code == 0
    assert [type(record) for record in plans] == [Plan]
    assert plans[0].total_steps == 9
    config.write_text(json.dumps({"model_name_or_path": "x", "lora_rnak": 3, "learning_rate": -1}))
    code, (refused,) = run(config, workspace)
    assert code == 1
    assert isinstance(refused, Refused)
    assert [problem.where.rpartition("/")[2].split(": ")[-1] for problem in refused.problems] == [
        "lora_rnak",
        "learning_rate",
    ]
    assert refused.total == 2


def test_a_model_of_pickles_is_planned_as_far_as_it_can_be(
    planned: Callable[..., Draft], model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(model_folder("llama"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(ConfigError, match=r"model_name_or_path: only pickled weights \(pytorch_model.bin\)"):
        planned(model_name_or_path=str(folder))
    made = planned(model_name_or_path=str(folder), allow_pickle=True, lora_target="q_proj")
    assert (made.plan.total_steps, made.plan.trainable) == (9, 0)
    assert not needs_checkpointing(made.settings, folder, made.updates, made.rows.projected)
