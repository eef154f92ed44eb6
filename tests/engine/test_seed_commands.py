"""The seeds' commands, word by word, on a tiny base: they run to the end and write what the originals wrote.

Only what would take too long is shortened, by `max_steps`. The trainer runs in this process instead of one of its own;
`test_the_whole_way` has the real one.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate.state
import pytest

from core.engine.control import Control
from core.engine.train import train
from core.engine.training.journal import Journal
from core.jsonl import append_lines
from core.launch import prepare as prepare_module
from core.launch.machine import Machine
from core.models.packaged import PACKAGED_MODELS
from core.records import to_record
from core.runs.alive import this_host
from core.runs.events import Event, ModelsBeside, RunStarted, Step, Warned
from core.runs.follow import Follower
from core.runs.launch_file import Launch, write_launch
from core.runs.quantities import QUANTITIES
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from tui.__main__ import main

DATA = Path(__file__).parents[2] / "data"
SETS = ("persona_desc", "persona_train", "telecom_train_400", "self_introduction", "ad_copy")
COMPARISONS = ("comparison_en", "comparison_zh")
WRITTEN = {
    *("README.md", "all_results.json", "config.yaml", "events.jsonl", "finetui.json", "launch.json"),
    *("train_results.json", "trainer_log.jsonl", "trainer_state.json", "training_loss.png"),
}
LORA = {"adapter_config.json", "adapter_model.safetensors"}
PREFIX = {"prefix_encoder.safetensors"}
HEAD = {"value_head.safetensors"}

SEED_000 = """
--do_train --model_name_or_path default --dataset persona_desc,persona_train --dataset_dir data --finetuning_type lora
--output_dir yui_230510_lora_qkv --overwrite_cache --per_device_train_batch_size 4 --gradient_accumulation_steps 4
--lr_scheduler_type cosine --logging_steps 10 --save_steps 1000 --learning_rate 5e-5 --weight_decay 1e-5
--num_train_epochs 5.0 --lora_target query_key_value --source_prefix 现在你将扮演苏汐，模拟旅人和苏汐的对话。
--plot_loss --fp16
"""
SEED_000_LONG = SEED_000.replace("qkv ", "qkv_100r ").replace("epochs 5.0", "epochs 100.0")
SEED_001_REWARD = """
--stage rm --do_train --model_name_or_path default --dataset comparison_en,comparison_zh --dataset_dir data
--finetuning_type lora --output_dir reward_model_230510_en_zh --overwrite_cache --per_device_train_batch_size 4
--gradient_accumulation_steps 4 --lr_scheduler_type cosine --logging_steps 10 --save_steps 1000 --learning_rate 1e-5
--weight_decay 1e-5 --num_train_epochs 1.0 --lora_target query_key_value
--source_prefix 现在你将扮演苏汐，模拟旅人和苏汐的对话。 --plot_loss --fp16
"""
SEED_001_PPO = """
--stage ppo --do_train --model_name_or_path default --dataset persona_desc,persona_train --dataset_dir data
--finetuning_type lora --checkpoint_dir yui_230510_lora_qkv_100r --reward_model reward_model_230510_en_zh
--output_dir yui_230511_lora_rlhf_50r --overwrite_cache --per_device_train_batch_size 4
--gradient_accumulation_steps 4 --max_source_length 256 --max_target_length 128 --lr_scheduler_type cosine
--logging_steps 10 --save_steps 1000 --learning_rate 1e-5 --weight_decay 1e-5 --num_train_epochs 50.0
--lora_target query_key_value --source_prefix 现在你将扮演苏汐，模拟旅人和苏汐的对话。 --plot_loss --fp16
"""
SEED_002 = """
--stage sft --do_train --model_name_or_path default --dataset telecom_train_400 --template default
--finetuning_type lora --lora_target q_proj,v_proj,k_proj --output_dir outputs/sft_output --lora_alpha 256
--lora_rank 128 --lora_dropout 0.1 --loraplus_lr_ratio 1.0 --loraplus_lr_embedding 1e-6 --use_rslora --use_dora True
--create_new_adapter=true --per_device_train_batch_size 8 --gradient_accumulation_steps 8 --lr_scheduler_type cosine
--learning_rate 5e-5 --num_train_epochs 5.0
"""
SEED_003_PREFIX = """
--finetuning_type p_tuning --pre_seq_len 128 --model_name_or_path default --dataset self_introduction
--per_device_train_batch_size 1 --num_train_epochs 500 --max_source_length 300 --max_target_length 300
--quantization_bit 4 --output_dir ptuning_demo
"""
SEED_003_LORA = """
--finetuning_type lora --lora_rank 4 --model_name_or_path default --dataset self_introduction
--per_device_train_batch_size 2 --num_train_epochs 250 --learning_rate 2e-4 --max_source_length 230
--max_target_length 230 --output_dir lora_demo
"""
SEED_004 = """
--do_train --finetuning_type p_tuning --pre_seq_len 128 --model_name_or_path default --dataset ad_copy
--prompt_column content --response_column summary --per_device_train_batch_size 1 --gradient_accumulation_steps 16
--max_steps 3000 --logging_steps 10 --save_steps 1000 --learning_rate 2e-2 --quantization_bit 4
--output_dir adgen_ptuning
"""


ASKED_OF_PPO = {
    "overwrite_cache": "true",
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "max_source_length": 256,
    "lr_scheduler_type": "cosine",
    "learning_rate": "1e-05",
    "weight_decay": "1e-05",
    "num_train_epochs": 50,
    "lora_target": '["query_key_value"]',
    "plot_loss": "true",
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Callable[[str], Path]) -> Workspace:
    """A workspace with the bundled sets and a tiny base as `default`; a machine without accelerators."""
    found = Workspace(tmp_path)
    found.data.mkdir()
    for name in ("dataset_info.json", *(f"{name}.jsonl" for name in (*SETS, *COMPARISONS))):
        shutil.copy(DATA / name, found.data)
    shutil.copytree(model_folder("llama"), found.models / PACKAGED_MODELS[0].name)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare_module, "this_machine", lambda: Machine(0, bitsandbytes=True))
    return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are trained in this process, where everything is imported already."""

    def launch(run: RunDirectory, config: str, launch: Launch, _workspace: Workspace) -> None:
        run.config.write_text(config)
        write_launch(run, launch)
        cautions = (Warned(0.0, caution.message, caution.hint) for caution in launch.cautions)
        append_lines(run.events, *map(to_record, (RunStarted(0.0, 0, 0.0, this_host()), *cautions)))
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        train(run, "", Journal(run), Control(run))

    monkeypatch.setattr("core.launch.start.launch_run", launch)


class Done:
    """What a command left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {path.name for path in folder.iterdir() if path.is_file()}

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "trainer_log.jsonl").read_text().splitlines()]

    @property
    def events(self) -> list[Event]:
        return Follower(RunDirectory(self.folder)).poll_all()

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def config(self) -> str:
        return (self.folder / "config.yaml").read_text()


def pictures(*names: str) -> set[str]:
    return {f"training_{name}.png" for name in names}


def run_seed(workspace: Workspace, command: str, folder: str, *more: str) -> Done:
    assert main(["train", *shlex.split(command), *more]) == 0
    return Done(workspace.root / folder)


@pytest.mark.usefixtures("here")
def test_seed_000_a_character_by_lora(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_seed(workspace, SEED_000, "runs/yui_230510_lora_qkv", "--max_steps", "10")
    assert done.files == WRITTEN | LORA
    adapter = done.json("adapter_config.json")
    assert set(adapter["target_modules"]) == {"q_proj", "k_proj", "v_proj"}
    assert done.json("finetui.json")["source_prefix"] == "现在你将扮演苏汐，模拟旅人和苏汐的对话。"
    assert done.warnings[0].startswith("fp16: there is no device here that computes in that format")
    assert any("query_key_value" in told and "q_proj, k_proj, v_proj" in told for told in done.warnings)
    assert "fp16: false  # --fp16; this machine cannot" in done.config
    (point,) = [json.loads(line) for line in (done.folder / "trainer_log.jsonl").read_text().splitlines()]
    assert (point["current_steps"], point["total_steps"]) == (10, 10)
    assert (done.folder / "training_loss.png").read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    assert "global step 10 ( 100.00% ) , epoch: 1, loss: " in told
    assert "***** train metrics *****" in told
    assert done.json("trainer_state.json")["global_step"] == 10


@pytest.mark.usefixtures("here")
def test_seed_001_a_reward_model_and_ppo(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The adapter of seed 000, a reward model, and PPO that goes on from the one and is scored by the other."""
    silent = ("--probe_max_new_tokens", "0")
    sft = run_seed(workspace, SEED_000_LONG, "runs/yui_230510_lora_qkv_100r", "--max_steps", "2", *silent)
    reward = run_seed(workspace, SEED_001_REWARD, "runs/reward_model_230510_en_zh")
    capsys.readouterr()
    cut = ("--max_steps", "2", "--logging_steps", "1", "--save_steps", "1", "--max_target_length", "8", *silent)
    ppo = run_seed(workspace, SEED_001_PPO, "runs/yui_230511_lora_rlhf_50r", *cut)
    told = capsys.readouterr().out

    assert reward.files == WRITTEN | LORA | HEAD | {"generated_predictions.jsonl"} | pictures("accuracy", "margin")
    assert reward.json("finetui.json")["source_prefix"] == "现在你将扮演苏汐，模拟旅人和苏汐的对话。"
    assert reward.json("all_results.json")["train_samples"] == 84
    (point,) = reward.log
    assert (point["current_steps"], point["total_steps"]) == (6, 6)
    assert 0 <= point["accuracy"] <= 1

    assert ppo.files >= WRITTEN | LORA | HEAD | pictures("reward")
    assert [point["current_steps"] for point in ppo.log] == [1, 2]
    assert all(isinstance(point["reward"], float) for point in ppo.log)
    first, second = [event for event in ppo.events if isinstance(event, Step)]
    assert (first.rows, second.rows) == (16, 32)
    assert {quantity.name for quantity in QUANTITIES["ppo"]} == set(first.metrics)
    assert first.metrics["kl"] == pytest.approx(0, abs=1e-4)
    assert ", reward: " in told
    assert ", kl: " in told

    (beside,) = [event for event in ppo.events if isinstance(event, ModelsBeside)]
    assert beside.is_start
    assert "yui_230510_lora_qkv_100r" in beside.reference
    assert "reward_model_230510_en_zh" in beside.reward
    assert f'adapter_name_or_path: ["{sft.folder}"]  # --checkpoint_dir' in ppo.config
    assert f"reward_model: {reward.folder}  # --reward_model" in ppo.config
    assert all(f"{name}: {value}  # --{name}" in ppo.config for name, value in ASKED_OF_PPO.items())
    saved = ppo.folder / "checkpoints" / "step-000001"
    assert {path.name for path in saved.iterdir()} >= LORA | HEAD
    for file in ("adapter_model.safetensors", "value_head.safetensors"):  # nothing of the others was written over
        assert (ppo.folder / file).read_bytes() != (saved / file).read_bytes()


@pytest.mark.usefixtures("here")
def test_seed_002_intents_by_a_large_lora(workspace: Workspace) -> None:
    done = run_seed(workspace, SEED_002, "outputs/sft_output", "--max_steps", "1", "--probe_max_new_tokens", "0")
    assert done.files == WRITTEN | LORA
    adapter = done.json("adapter_config.json")
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (128, 256, 0.1)
    assert (adapter["use_rslora"], adapter["use_dora"]) == (True, True)
    assert set(adapter["target_modules"]) == {"q_proj", "k_proj", "v_proj"}
    assert done.json("finetui.json")["template"] == "default"
    assert (done.folder / "checkpoints" / "step-000001" / "adapter_model.safetensors").is_file()
    (step,) = [event for event in done.events if isinstance(event, Step)]
    assert step.rows == 64  # 8 rows times 8 accumulated batches


@pytest.mark.usefixtures("here")
def test_seed_003_a_name_by_p_tuning_and_by_lora(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("bitsandbytes")
    few = ("--max_steps", "10", "--probe_max_new_tokens", "4")
    prefix = run_seed(workspace, SEED_003_PREFIX, "runs/ptuning_demo", *few)
    lora = run_seed(workspace, SEED_003_LORA, "runs/lora_demo", *few)
    assert prefix.files == WRITTEN | PREFIX
    assert lora.files == WRITTEN | LORA
    assert "quantization_bit: 4  # --quantization_bit" in prefix.config
    assert lora.json("adapter_config.json")["r"] == 4
    assert prefix.json("all_results.json")["train_samples"] == len(
        (DATA / "self_introduction.jsonl").read_text().splitlines()
    )
    capsys.readouterr()
    assert main(["runs", "plot", "ptuning_demo", "lora_demo"]) == 0  # the comparison of the two
    assert "B  lora_demo" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_seed_004_copy_by_p_tuning(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("bitsandbytes")
    command = SEED_004.replace("--max_steps 3000", "--max_steps 2").replace("--logging_steps 10", "--logging_steps 1")
    done = run_seed(workspace, command, "runs/adgen_ptuning", "--probe_max_new_tokens", "0")
    assert done.files == WRITTEN | PREFIX
    assert done.warnings[0] == "learning_rate 0.02 is high enough to destroy what the model can do already"
    assert [event.rows for event in done.events if isinstance(event, Step)] == [16, 32]
    block = capsys.readouterr().out.partition("***** train metrics *****")[2]
    assert "train_samples " in block
    assert "train_loss " in block


def test_the_whole_way(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Command, supervisor, trainer: each a process, as a user has them."""
    done = run_seed(workspace, SEED_003_LORA, "runs/lora_demo", "--max_steps", "2", "--probe_max_new_tokens", "0")
    assert done.files == WRITTEN | LORA | {"output.log"}
    assert "***** train metrics *****" in (done.folder / "output.log").read_text()
    assert "finished at step 2" in capsys.readouterr().out
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _mentions(path, str(done.folder))]


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:  # it ended meanwhile
        return False
