"""What may be exported, where it goes, and how the merging child is run; no torch, the child is a stand-in."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from core.errors import AdapterMismatch, ModelError, ModelNotFound
from core.models.export import export, export_adapter
from core.models.notes import AdapterNotes, PrefixFacts, write_notes
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights

PROOF = {"difference": 1e-6, "size": 12.0, "positions": 90, "same_choices": 90}
RESULT = {"dtype": "bfloat16", "adapters": ["a"], "probes": 4, "merging": PROOF, "stored": PROOF}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    base = make_model(tmp_path / "models" / "demo")
    make_adapter(tmp_path / "runs" / "zh", str(base))
    return Workspace(tmp_path)


def child(*lines: object, code: int = 0) -> object:
    """A command that writes a model and says these lines."""
    script = "\n".join(
        [
            "import json, pathlib, sys",
            "request = json.loads(pathlib.Path(sys.argv[1]).read_bytes())",
            "(pathlib.Path(request['folder']) / 'config.json').write_text(json.dumps(request))",
            *(f"print({json.dumps(line)!r}, flush=True)" for line in lines),
            f"sys.exit({code})",
        ]
    )
    return lambda request: [sys.executable, "-c", script, str(request)]


def test_a_run_becomes_a_model_beside_its_base(workspace: Workspace) -> None:
    stages: list[str] = []
    command = child({"stage": "loading demo"}, {"stage": "writing"}, {"result": RESULT})
    exported = export(["zh"], workspace, dtype="float16", on_stage=stages.append, command=command)  # type: ignore[arg-type]
    assert exported.path == workspace.models / "zh-merged"
    assert (exported.dtype, exported.probes, exported.merging.same_choices) == ("bfloat16", 4, 90)
    asked = json.loads((exported.path / "config.json").read_bytes())
    assert asked["model"] == str(workspace.models / "demo")
    assert asked["adapters"] == [str(workspace.runs / "zh")]
    assert (asked["dtype"], asked["device"]) == ("float16", "auto")
    assert set(stages) <= {"loading demo", "writing"}
    assert sorted(path.name for path in workspace.models.iterdir()) == ["demo", "zh-merged"]
    assert exported.record()["path"] == str(exported.path)


@pytest.mark.parametrize(
    ("lines", "code", "message"),
    [
        ([{"error": {"message": "it cannot", "hint": "because"}}], 1, "it cannot"),
        (["nonsense"], 3, 'merging failed: "nonsense"'),
    ],
)
def test_a_child_that_fails_leaves_nothing(lines: list[object], code: int, message: str, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=message):
        export(["zh"], workspace, command=child(*lines, code=code))  # type: ignore[arg-type]
    assert [path.name for path in workspace.models.iterdir()] == ["demo"]


def test_a_killed_child_and_a_cancelled_one(workspace: Workspace) -> None:
    def killed(_request: Path) -> list[str]:
        return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]

    with pytest.raises(ModelError, match="killed by signal 9: most likely out of memory"):
        export(["zh"], workspace, command=killed)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(ModelError, match="the export was cancelled"):
        export(["zh"], workspace, cancelled=cancelled, command=child({"result": RESULT}))  # type: ignore[arg-type]
    assert [path.name for path in workspace.models.iterdir()] == ["demo"]


def test_what_cannot_be_merged_says_what_to_do(workspace: Workspace) -> None:
    make_model(workspace.runs / "whole")
    with pytest.raises(ModelError, match="whole is a whole model already: there is nothing to merge"):
        export(["whole"], workspace)
    prefix = workspace.runs / "prefix"
    prefix.mkdir()
    make_weights(prefix / "prefix_encoder.safetensors", {"embedding.weight": [4, 8]})
    write_notes(prefix, AdapterNotes("p_tuning", base="demo", prefix=PrefixFacts(4)))
    with pytest.raises(ModelError, match="prefix is a prefix, which cannot be merged") as caught:
        export(["prefix"], workspace)
    assert caught.value.hint.startswith("finetui export prefix --adapter-only copies it")
    with pytest.raises(ModelNotFound, match="no adapter nothing"):
        export(["nothing"], workspace)
    make_adapter(workspace.runs / "orphan", "")
    with pytest.raises(ModelError, match="does not say on which model it was trained"):
        export(["orphan"], workspace)
    make_adapter(workspace.runs / "deep", "demo", layers=9)
    with pytest.raises(AdapterMismatch, match="does not fit demo"):
        export(["deep"], workspace)
    with pytest.raises(ModelError, match="demo is there already") as caught:
        export(["zh"], workspace, output=workspace.models / "demo")
    assert caught.value.hint == "name another folder with --output, or remove it first"


def test_an_adapters_own_files_leave_the_run_behind(workspace: Workspace) -> None:
    prefix = workspace.runs / "prefix"
    (prefix / "checkpoints").mkdir(parents=True)
    make_weights(prefix / "prefix_encoder.safetensors", {"embedding.weight": [4, 8]})
    write_notes(prefix, AdapterNotes("p_tuning", base="demo", prefix=PrefixFacts(4)))
    (prefix / "events.jsonl").write_text("{}\n")
    copied = export_adapter("prefix", workspace)
    assert copied == workspace.models / "prefix-adapter"
    assert sorted(path.name for path in copied.iterdir()) == ["finetui.json", "prefix_encoder.safetensors"]
    with pytest.raises(ModelError, match="is there already"):
        export_adapter("prefix", workspace)
