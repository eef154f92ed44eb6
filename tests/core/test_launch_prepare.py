"""What becomes of options before a training starts: names, folders, and what the machine can do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.load import load
from core.config.training import TRAINING
from core.errors import ConfigError
from core.launch import record
from core.launch.local import train_command
from core.launch.machine import Machine
from core.launch.naming import run_folder
from core.launch.prepare import PreparedTraining, prepare
from core.launch.start import launch_of
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from folders import ROW, make_adapter, make_data, make_model


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_data(found.data)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return found


def prepared(workspace: Workspace, machine: Machine | None = None, **options: object) -> PreparedTraining:
    values = {"model_name_or_path": "demo", "dataset": "intro", **options}
    return prepare(load(TRAINING, values=values), workspace, machine=machine or Machine(0))


def told(workspace: Workspace, machine: Machine, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        prepared(workspace, machine, **options)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


def test_what_the_machine_can_do_is_done(workspace: Workspace) -> None:
    gpu, amx = Machine(2), Machine(0, bf16_on_cpu=True)
    for option in ("fp16", "bf16"):
        found = prepared(workspace, gpu, **{option: True})
        assert (found.values[option], found.device, found.devices, found.cautions) == (True, "cuda", ("cuda-0",), ())
        lesser = prepared(workspace, gpu, device="cpu", **{option: True})
        assert (lesser.values[option], lesser.device, len(lesser.cautions)) == (False, "cpu", 1)
    assert prepared(workspace, amx, bf16=True).values["bf16"] is True
    assert prepared(workspace, amx, fp16=True).values["fp16"] is False
    assert prepared(workspace, Machine(0), pure_bf16=True).cautions == ()
    assert told(workspace, Machine(0), bf16=True, strict=True) == [
        "bf16: there is no device here that computes in that format"
    ]


def test_several_processes_have_a_device_each(workspace: Workspace) -> None:
    assert prepared(workspace, Machine(2), nproc_per_node=2).devices == ("cuda-0", "cuda-1")
    assert prepared(workspace, Machine(0), nproc_per_node=3).devices == ("cpu",)
    assert told(workspace, Machine(1), nproc_per_node=2) == ["nproc_per_node: there are 1 accelerators here"]
    command = train_command(RunDirectory(Path("/runs/one two")), 2, "step-000010")
    assert command[1:5] == ("-P", "-m", "torch.distributed.run", "--standalone")
    assert command[-3:] == ("/runs/one two", "--resume", "step-000010")


def test_a_run_is_named_after_method_and_data(workspace: Workspace) -> None:
    assert prepared(workspace).run.path == workspace.runs / "lora-intro"
    (workspace.runs / "lora-intro").mkdir(parents=True)
    assert prepared(workspace).run.path == workspace.runs / "lora-intro-2"
    assert prepared(workspace, finetuning_type="p_tuning").run.name == "ptuning-intro"


def test_a_bare_name_lies_in_runs_and_a_path_where_it_says(workspace: Workspace) -> None:
    assert run_folder("mine", workspace) == workspace.runs / "mine"
    assert run_folder("./mine", workspace) == Path.cwd() / "mine"
    assert run_folder("out/mine", workspace) == Path.cwd() / "out" / "mine"
    assert run_folder("/srv/mine", workspace) == Path("/srv/mine")


def test_the_config_means_the_same_from_everywhere(workspace: Workspace, tmp_path: Path) -> None:
    make_model(tmp_path / "elsewhere" / "base")
    make_adapter(tmp_path / "elsewhere" / "first", "base")
    Path("rows.jsonl").write_text(json.dumps(ROW))
    found = prepared(
        workspace, model_name_or_path="base", dataset="rows.jsonl,intro", adapter="first", output_dir="o/p"
    )
    here = tmp_path / "elsewhere"
    values = found.values
    assert values["model_name_or_path"] == str(here / "base")
    assert values["adapter_name_or_path"] == (str(here / "first"),)
    assert values["dataset"] == (str(here / "rows.jsonl"), "intro")
    assert values["output_dir"] == str(here / "o" / "p")
    config = here / "config.yaml"
    config.write_text(found.config)
    assert load(TRAINING, file=config).values() == values
    named = prepared(workspace, output_dir="short")
    assert named.values["model_name_or_path"] == "demo"
    assert named.values["output_dir"] == "short"


def test_a_rate_that_destroys_is_told_before_the_start(workspace: Workspace) -> None:
    (caution,) = prepared(workspace, learning_rate=2e-2).cautions
    assert caution.message == "learning_rate 0.02 is high enough to destroy what the model can do already"
    assert prepared(workspace, learning_rate=9e-3).cautions == ()


def test_an_adapter_of_a_base_with_another_name_is_told(workspace: Workspace) -> None:
    make_adapter(workspace.models / "other", "org/elsewhere")
    (caution,) = prepared(workspace, adapter="other").cautions
    assert caution.message == "the adapter other was trained on org/elsewhere, not on demo; their shapes agree"


def test_versions_commits_and_data_are_recorded(workspace: Workspace) -> None:
    launch = launch_of(prepared(workspace))
    assert [(file.dataset, file.path) for file in launch.data] == [("intro", str(workspace.data / "intro.jsonl"))]
    assert launch.data[0].sha256 == record.file_hash(workspace.data / "intro.jsonl")
    assert launch.commits.keys() <= {"finetui"}
    assert launch.packages["torch"].startswith("2.")


def test_a_ranking_set_is_refused(workspace: Workspace) -> None:
    entries = {"pairs": {"file_name": "pairs.jsonl", "ranking": True}}
    (workspace.data / "dataset_info.json").write_text(json.dumps(entries))
    (workspace.data / "pairs.jsonl").write_text('{"instruction": "q", "input": "", "output": ["a", "b"]}\n')
    (problem,) = told(workspace, Machine(0), dataset="pairs")
    assert problem == "dataset: pairs holds rankings: two answers for each question"


def test_what_does_not_count_is_told_before_the_start_and_kept(workspace: Workspace) -> None:
    found = prepared(workspace, finetuning_type="full", dtype="bfloat16")
    (caution,) = found.cautions
    assert caution.message.startswith("dtype does not count: full trains every weight")
    assert caution.hint == "pure_bf16 holds all in bfloat16, bf16 computes in it"
    assert launch_of(found).cautions == (caution,)


def test_an_adapter_that_is_trained_further_is_never_overwritten(workspace: Workspace) -> None:
    make_adapter(workspace.runs / "zh", "demo")
    (workspace.runs / "zh" / "events.jsonl").write_text("")
    (problem,) = told(workspace, Machine(0), adapter_name_or_path="zh", output_dir="zh", overwrite_output_dir=True)
    assert "holds what this run needs, and overwrite_output_dir would delete it" in problem
