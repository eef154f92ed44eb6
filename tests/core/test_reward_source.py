"""What `reward_model` names, and what is refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from core.errors import FinetuiError
from core.models.reward_source import HEAD_WEIGHT, VALUE_HEAD, RewardKind, RewardSource, find_reward_source
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_reward(found.runs / "rm")
    make_adapter(found.runs / "sft", "demo")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return found


def make_reward(folder: Path, *, base: str = "demo", width: int = 576) -> Path:
    make_adapter(folder, base)
    make_weights(folder / VALUE_HEAD, {HEAD_WEIGHT: [1, width]})
    return folder


def refused(name: str, workspace: Workspace, kind: RewardKind | Literal["auto"] = "auto") -> str:
    with pytest.raises(FinetuiError) as caught:
        find_reward_source(name, kind, workspace)
    return str(caught.value)


def test_a_run_and_its_checkpoint_are_adapters_with_a_head(workspace: Workspace) -> None:
    step = make_reward(workspace.runs / "rm" / "checkpoints" / "step-000200")
    found = find_reward_source("rm", "auto", workspace)
    assert (found.kind, found.name) == ("lora", str(workspace.runs / "rm"))
    assert found.model is not None
    assert found.model.name == "demo"
    assert find_reward_source("rm@200", "lora", workspace).name == str(step)
    assert find_reward_source(str(workspace.runs / "rm"), "auto", workspace).kind == "lora"
    assert refused("rm", workspace, "full").startswith("rm is an adapter, not full: leave reward_model_type out")


def test_what_has_no_head_is_no_reward_model(workspace: Workspace) -> None:
    assert refused("sft", workspace).startswith("sft is no reward model: it has no value head: take a run of stage rm")
    assert refused("demo", workspace).startswith("demo is no reward model: it has no value head")
    (workspace.runs / "sft" / "value_head.bin").write_bytes(b"")
    assert refused("sft", workspace).startswith("sft: its value head is a pickle, which can run any code")
    make_reward(workspace.runs / "wide", width=64)
    assert refused("wide", workspace).endswith("the value head is for 64 numbers, the model has 576")
    make_weights(make_adapter(workspace.runs / "odd", "demo") / VALUE_HEAD, {"other": [1, 576]})
    assert refused("odd", workspace).endswith(f"{HEAD_WEIGHT} is expected in it")
    assert refused("rmm", workspace) == "no reward model rmm: did you mean 'rm'?"
    assert refused("other", workspace) == (
        "no reward model other: name a run of stage rm, a function as FILE.py:NAME, or a server's address"
    )


def test_a_base_that_is_not_here_is_told_before_the_start(workspace: Workspace) -> None:
    make_reward(workspace.runs / "stray", base="org/elsewhere")
    assert "org/elsewhere" in refused("stray", workspace)


def test_whole_models_score_by_a_head_or_by_one_label(workspace: Workspace) -> None:
    folder = make_model(workspace.models / "whole")
    make_weights(folder / VALUE_HEAD, {HEAD_WEIGHT: [1, 576]})
    found = find_reward_source("whole", "full", workspace)
    assert (found.kind, found.name, found.adapter) == ("full", str(folder), None)
    assert refused("whole", workspace, "lora").startswith("whole is a whole model, not lora")
    folder = make_model(workspace.models / "judge")
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert find_reward_source("judge", "auto", workspace).kind == "full"
    config["id2label"] |= {"1": "LABEL_1"}
    (folder / "config.json").write_text(json.dumps(config))
    assert refused("judge", workspace).startswith("judge tells 2 classes apart; a reward model has one label")
    del config["id2label"]
    (folder / "config.json").write_text(json.dumps(config))
    assert refused("judge", workspace).startswith(
        "judge tells 2 classes apart"
    )  # what a configuration means by silence


def test_functions_are_found_without_being_run(workspace: Workspace) -> None:
    file = Path("rules.py")
    file.write_text("raise SystemExit\nimport os\nlength = len\ndef polite(prompt, answer): ...\n")
    here = Path.cwd()
    expected = RewardSource("function", f"{here / 'rules.py'}:polite")
    assert find_reward_source("rules.py:polite", "auto", workspace) == expected
    assert find_reward_source(f"{here}/rules.py:length", "function", workspace).name.endswith("rules.py:length")
    assert refused("rules.py", workspace) == f"which function of {here}/rules.py?: name it behind a colon: FILE.py:NAME"
    assert refused("rules.py:polit", workspace) == f"{here}/rules.py defines no polit: did you mean 'polite'?"
    assert refused("none.py:f", workspace).startswith(f"{here}/none.py cannot be read: No such file or directory: ")
    assert refused("polite", workspace, "function").startswith("polite names no Python function")
    assert refused("rules.py:polite", workspace, "lora") == (
        "rules.py:polite is no folder of weights: leave reward_model_type out: it is seen from the name"
    )
    file.write_text("async def polite(prompts, answers): ...\n")
    assert refused("rules.py:polite", workspace).startswith(f"{here}/rules.py: polite is async, and nothing waits")
    file.write_text("def polite(:\n")
    assert refused("rules.py:polite", workspace) == f"{here}/rules.py:1: no Python: invalid syntax"


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import torch\nexcept ImportError:\n    def polite(prompts, answers): ...",
        "if True:\n    with open('x') as file:\n        polite = len",
        "polite: object = len",
        "rude, (polite, *rest) = makers()",
        "from mine import *",
        "match 1:\n    case _:\n        from mine import kind as polite",
    ],
    ids=["try", "with", "annotated", "unpacked", "everything", "match"],
)
def test_a_function_may_be_bound_in_any_way(workspace: Workspace, text: str) -> None:
    Path("rules.py").write_text(text)
    assert find_reward_source("rules.py:polite", "auto", workspace).kind == "function"


def test_names_of_inner_blocks_and_names_without_a_value_are_none(workspace: Workspace) -> None:
    Path("rules.py").write_text("def rude():\n    polite = len\nclass Rude:\n    polite = len\npolite: object\n")
    assert refused("rules.py:polite", workspace).startswith(f"{Path.cwd()}/rules.py defines no polite")


def test_addresses_are_looked_at(workspace: Workspace) -> None:
    address = "http://127.0.0.1:8000/score"
    assert find_reward_source(address, "auto", workspace) == RewardSource("api", address)
    assert refused("127.0.0.1:8000", workspace, "api").startswith(
        "the address 127.0.0.1:8000 begins with neither http:// nor https://"
    )
    assert "a key belongs into a variable" in refused("https://me:secret@host/score", workspace)
