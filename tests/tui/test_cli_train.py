"""`finetui train` as a command: what it takes, refuses, starts and shows. The trainer is a fake, the rest is real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import fake_trainer
from commands import Run
from core.config.load import load
from core.config.training import TRAINING
from core.launch.machine import locks_of
from core.launch.stopping import wait_ended
from core.runs.catalog import list_runs
from core.runs.launch_file import read_launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from folders import make_adapter
from waiting import PATIENCE


def train(finetui: Any, *words: str) -> Run:
    found = finetui("train", "--model", "demo", "--dataset", "intro", *words)
    assert isinstance(found, Run)
    return found


# --- starting ---------------------------------------------------------------------------------------------------


def test_a_training_is_started_and_followed_to_its_end(finetui: Any, workspace: Workspace) -> None:
    done = train(finetui, "--output_dir", "first")
    assert done.code == 0
    assert done.err == "run first; ctrl+c leaves it running\n"
    assert done.out.splitlines() == [
        "starting the engine",
        "12 rows, 1,200 tokens, 120 of them trained, 3 steps",
        "demo: 135M parameters, 461k of them trained (0.34 %) by lora, float32 on cpu; no padding",
        "global step 1 ( 33.33% ) , epoch: 0, loss: 2.00000, speed: 0.50 step/s, ETA: 00:00:04",
        "global step 2 ( 66.67% ) , epoch: 1, loss: 1.00000, speed: 0.50 step/s, ETA: 00:00:02",
        "global step 3 ( 100.00% ) , epoch: 2, loss: 0.66667, speed: 0.50 step/s, ETA: 00:00:00",
        "saved checkpoints/step-000003, 4.1 kB",
        "***** train metrics *****",
        "  epoch         =        2.0",
        "  train_loss    =       1.25",
        "  train_runtime = 0:00:06.50",
        "  train_samples =         12",
        f"finished at step 3; everything is in {workspace.runs / 'first'}",
    ]


def test_a_run_keeps_what_is_needed_to_do_it_again(finetui: Any, workspace: Workspace) -> None:
    train(finetui, "--learning_rate", "3e-4", "--lora_rank", "4", "--detach")
    (run,) = list_runs(workspace)
    assert run.name == "lora-intro"
    wait_ended(run, PATIENCE)
    again = load(TRAINING, file=run.config).values()
    assert (again["learning_rate"], again["lora_rank"], again["output_dir"]) == (3e-4, 4, "lora-intro")
    assert len(again) == sum(len(section.model_fields) for section in TRAINING)
    launch = read_launch(run)
    assert launch.command == (*fake_trainer.COMMAND, str(run.path))
    assert (launch.model, launch.method, launch.datasets, launch.seed) == ("demo", "lora", ("intro",), 42)
    assert launch.devices == ("cpu",)
    assert launch.directory == str(workspace.root)
    assert launch.environment["PYTHONSAFEPATH"] == "1"
    assert launch.environment["FINETUI_WORKSPACE"] == str(workspace.root)
    assert {"python", "torch", "transformers", "peft"} <= launch.packages.keys()
    (data,) = launch.data
    assert (data.dataset, data.bytes) == ("intro", (workspace.data / "intro.jsonl").stat().st_size)
    assert re.fullmatch("[0-9a-f]{64}", data.sha256)

    refused = finetui("train", str(run.config))
    assert refused.code == 2
    assert "lora-intro is there already" in refused.err
    assert "hint: choose another output_dir, or give --overwrite_output_dir to delete what is in it" in refused.err
    assert finetui("train", str(run.config), "--output_dir", "again").code == 0
    assert finetui("train", str(run.config), "--overwrite_output_dir").code == 0
    assert {found.name for found in list_runs(workspace)} == {"lora-intro", "again"}


def test_detached_it_says_how_to_see_and_stop_it(finetui: Any, workspace: Workspace) -> None:
    done = train(finetui, "--detach", "--fp16")
    assert done.out == "started lora-intro\n"
    assert done.err.splitlines() == [
        "warning: fp16: there is no device here that computes in that format; dtype decides instead "
        "(leave it out, or give --strict to have it refused)",
        "see it: finetui runs follow lora-intro   stop it: finetui runs stop lora-intro",
    ]
    second = train(finetui, "--detach", "--json")
    assert second.records == [{"run": "lora-intro-2", "path": str(workspace.runs / "lora-intro-2")}]


def test_json_follows_with_the_events_themselves(finetui: Any) -> None:
    done = train(finetui, "--json")
    kinds = [record["type"] for record in done.records]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert kinds.count("step") == 3
    assert done.err == ""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("fail", 1, "loss: nan\nerror: the loss is no number\nhint: lower the learning_rate\n"),
        ("kill", 1, "error: killed by signal 9: most likely out of memory\nhint: take a smaller"),
    ],
)
def test_a_failure_is_told_with_its_reason(
    finetui: Any, monkeypatch: pytest.MonkeyPatch, end: str, code: int, said: str
) -> None:
    monkeypatch.setenv("FAKE_END", end)
    done = train(finetui)
    assert done.code == code
    assert said in done.err
    assert done.out.splitlines()[-1].startswith("failed at step 3; everything is in ")


def test_a_path_is_used_as_it_is_and_listed(finetui: Any, workspace: Workspace) -> None:
    train(finetui, "--output_dir", "outputs/sft_output")
    assert [run.path for run in list_runs(workspace)] == [workspace.root / "outputs" / "sft_output"]
    assert finetui("runs", "list", "--json").records[0]["name"] == "outputs/sft_output"


def test_what_fp16_became_stands_in_the_config_and_the_run(finetui: Any, workspace: Workspace) -> None:
    done = train(finetui, "--fp16", "--output_dir", "half")
    assert "warning: fp16: there is no device here" in done.out
    config = (workspace.runs / "half" / "config.yaml").read_text()
    assert "\nfp16: false  # --fp16; this machine cannot\n" in config
    assert "half" in finetui("runs", "show", "half").out
    refused = train(finetui, "--fp16", "--strict")
    assert refused.code == 2
    assert refused.err.splitlines()[0] == "error: --fp16: there is no device here that computes in that format"


# --- refusing ---------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(finetui: Any, workspace: Workspace) -> None:
    words = (
        "--model",
        "dema",
        "--dataset",
        "intra",
        "--packing",
        "--finetuning_type",
        "p_tuning",
        "--early_stopping_steps",
        "2",
    )
    done = finetui("train", *words, "--adapter", "none", "--quantization_bit", "4", "--resume_from_checkpoint", "true")
    assert done.code == 2
    told = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert told == [
        "error: --model: no model dema",
        "error: --adapter: no adapter none",
        "error: --dataset: data/dataset_info.json has no data set 'intra'",
        "error: --packing: joined rows would share one prefix and see each other",
        "error: --early_stopping_steps: needs rows to evaluate on",
        "error: --resume_from_checkpoint: of which run?",
        "error: --quantization_bit: needs the package bitsandbytes",
    ]
    assert "hint: did you mean 'demo'?" in done.err
    assert "hint: did you mean 'intro'?" in done.err
    assert list_runs(workspace) == []


def test_nothing_to_train_on_is_told(finetui: Any) -> None:
    done = finetui("train", "--model", "demo")
    assert done.err.splitlines() == [
        "error: dataset: there is nothing to train on",
        "hint: name one or more as dataset; finetui data list and F5 show them",
    ]


def test_bad_rows_are_told_before_anything_starts(finetui: Any, workspace: Workspace) -> None:
    with (workspace.data / "intro.jsonl").open("a") as file:
        file.write('{"instruction": "q", "input": "", "output": ""}\n')
    done = train(finetui)
    assert done.code == 2
    assert "data/intro.jsonl:13: the answer 'output' is empty" in done.err
    assert list_runs(workspace) == []
    kept = train(finetui, "--on_bad_rows", "skip", "--detach")
    assert kept.code == 0
    assert "1 row is left out (see: finetui data check intro)" in kept.err


def test_an_adapter_of_another_model_is_refused(finetui: Any, workspace: Workspace) -> None:
    make_adapter(workspace.models / "deep", "elsewhere/base", layers=4)
    done = train(finetui, "--adapter_name_or_path", "deep")
    assert done.code == 2
    assert "error: --adapter_name_or_path: the adapter deep does not fit demo: the model has no" in done.err


def test_what_a_stage_lacks_is_told_before_anything_starts(finetui: Any, workspace: Workspace) -> None:
    done = train(finetui, "--stage", "orpo", "--predict_with_generate", "--kto_chosen_weight", "2")
    assert [line.partition(": ")[2] for line in done.err.splitlines() if line.startswith("error")] == [
        "--predict_with_generate: is no option here",
        "--kto_chosen_weight: is no option here",
        "--stage: expected one of sft, rm, dpo, ppo, not 'orpo'",
    ]
    assert "hint: give stage dpo, with pref_loss orpo" in done.err
    done = train(finetui, "--stage", "ppo", "--packing")
    assert [line for line in done.err.splitlines() if line.startswith("error")] == [
        "error: --packing: stage ppo takes each row by itself",
        "error: reward_model: ppo needs something that scores answers",
    ]
    assert list_runs(workspace) == []


# --- resuming by option -----------------------------------------------------------------------------------------


def test_a_run_is_gone_on_with_under_new_options(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(finetui, "--output_dir", "long")
    monkeypatch.setenv("FAKE_STEPS", "5")
    done = train(finetui, "--output_dir", "long", "--num_train_epochs", "9", "--resume_from_checkpoint", "true")
    assert done.code == 0
    assert "goes on from step-000003" in done.out
    run = RunDirectory(workspace.runs / "long")
    assert load(TRAINING, file=run.config).values()["num_train_epochs"] == 9
    assert read_launch(run).segment == 2
    curve = finetui("runs", "plot", "long", "--json").records[0]["points"]
    assert [step for step, _loss in curve] == [1, 2, 3, 4, 5]
    wrong = train(finetui, "--output_dir", "long", "--resume_from_checkpoint", "runs/other/checkpoints/step-000003")
    assert wrong.err.splitlines()[0] == "error: --resume_from_checkpoint: is no checkpoint of long"


# --- files ------------------------------------------------------------------------------------------------------


def test_options_are_shown_and_saved_as_a_file_that_starts_the_same(finetui: Any, tmp_path: Path) -> None:
    shown = train(finetui, "--lora_rank", "32", "--show_config")
    assert "\nlora_rank: 32  # --lora_rank\n" in shown.out
    file = tmp_path / "mine.yaml"
    saved = train(finetui, "--lora_rank", "32", "--save_config", str(file))
    assert saved.out == f"saved {file}; start it with: finetui train {file}\n"
    assert "\nlora_rank: 32  # --lora_rank\n" in file.read_text()
    assert train(finetui, "--save_config", str(file)).err.startswith(f"error: cannot write {file}: File exists")
    assert finetui("train", str(file), "--show_config").out.count(f"# {file}:") > 50


def test_devices_have_one_name_for_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert locks_of("cuda", 2) == ("cuda-3", "cuda-5")
    assert locks_of("cuda:1", 1) == ("cuda-5",)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert locks_of("cuda:1", 1) == ("cuda-1",)
    assert locks_of("cpu", 4) == ("cpu",)


# LLaMA-Factory 0.9.5's example of a LoRA, its keys and values; model and data are the workspace's.
FACTORY_YAML = """
### model
model_name_or_path: demo
trust_remote_code: true

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all

### dataset
dataset: intro
template: llama3
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
dataloader_num_workers: 4

### output
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none  # choices: [none, wandb, tensorboard, swanlab, mlflow]

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null

### eval
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
"""


def test_an_example_of_llama_factory_runs_unchanged(finetui: Any, workspace: Workspace) -> None:
    (workspace.root / "llama3_lora_sft.yaml").write_text(FACTORY_YAML)
    done = finetui("train", "llama3_lora_sft.yaml")
    assert done.code == 0, done.err
    (run,) = list_runs(workspace)
    assert run.path == workspace.root / "saves" / "llama3-8b" / "lora" / "sft"
    values = load(TRAINING, file=run.config).values()
    assert (values["learning_rate"], values["warmup_ratio"], values["val_size"]) == (1e-4, 0.1, 0.1)
    assert values["bf16"] is False
    assert "warning: bf16: there is no device here that computes in that format" in done.out
    again = finetui("train", "llama3_lora_sft.yaml", "learning_rate=2e-4")  # overwrite_output_dir, and LF's key=value
    assert again.code == 0
    assert load(TRAINING, file=run.config).values()["learning_rate"] == 2e-4
