"""Who is evaluated: names become models and adapters, each with a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ModelNotFound
from core.models.adapters import resolve_adapter
from core.models.candidates import base_of, find_candidates
from core.workspace import Workspace
from folders import make_adapter, make_model


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_adapter(found.runs / "zh", "demo")
    make_adapter(found.runs / "zh" / "checkpoints" / "step-000200", "demo")
    monkeypatch.chdir(found.root)
    return found


def names(workspace: Workspace, *adapters: str, include_base: bool = False, model: str = "demo") -> list[str]:
    values = {"model_name_or_path": model, "adapter_name_or_path": adapters, "include_base": include_base}
    return [candidate.name for candidate in find_candidates(values, workspace)]


def test_runs_checkpoints_and_the_base_are_told_by_short_names(workspace: Workspace) -> None:
    assert names(workspace) == ["demo"]
    typed = ("zh", "zh@200", "zh/step-000200", "zh/checkpoints/step-000200", "runs/zh", str(workspace.runs / "zh"))
    assert [names(workspace, name) for name in typed] == [["zh"], ["zh@200"], ["zh@200"], ["zh@200"], ["zh"], ["zh"]]
    assert names(workspace, "zh", "zh@200", include_base=True) == ["demo", "zh", "zh@200"]


def test_folders_elsewhere_have_their_last_name_and_twins_are_told_apart(workspace: Workspace) -> None:
    make_adapter(workspace.root / "outputs" / "sft", "demo")
    make_adapter(workspace.root / "outputs" / "sft" / "checkpoint-30", "demo")
    make_adapter(workspace.root / "old" / "sft", "demo")
    assert names(workspace, "outputs/sft", "outputs/sft@30") == ["sft", "sft@30"]
    assert names(workspace, "outputs/sft", "old/sft") == ["outputs/sft", "old/sft"]
    assert names(workspace, "zh", "zh") == ["runs/zh", "runs/zh (2)"]


def test_a_run_that_made_a_whole_model_needs_no_base(workspace: Workspace) -> None:
    make_model(workspace.runs / "full")
    make_model(workspace.runs / "full" / "checkpoints" / "step-000010")
    assert names(workspace, "full", "full@10", model="gone") == ["full", "full@10"]
    with pytest.raises(ModelNotFound, match="no model gone"):
        names(workspace, "full", include_base=True, model="gone")
    with pytest.raises(ModelNotFound, match="no adapter zz"):
        names(workspace, "zz")


def test_an_adapter_knows_its_base(workspace: Workspace) -> None:
    make_adapter(workspace.runs / "lost", "org/gone")
    make_adapter(workspace.runs / "silent", "")
    assert base_of(resolve_adapter("zh", workspace), workspace).name == "demo"
    with pytest.raises(ModelNotFound, match="no model org/gone"):
        base_of(resolve_adapter("lost", workspace), workspace)
    with pytest.raises(ModelNotFound, match="does not say which model"):
        base_of(resolve_adapter("silent", workspace), workspace)
