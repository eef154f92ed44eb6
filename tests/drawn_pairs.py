"""A workspace with prompts whose answers are drawn at once, in the test's own process, as `fake_drawer` draws them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fake_drawer
from core.config.load import load
from core.judging.drawing import go_on_drawing
from core.judging.folder import Judging
from core.judging.opening import open_judging
from core.judging.options import JUDGING
from core.launch.evaluation import PreparedEvaluation
from core.launch.folder import make_folder
from core.launch.start import launch_of
from core.runs.launch_file import write_launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights

TALK = {
    "system": "be brief",
    "history": [["first?", "1."]],
    "instruction": "second?",
    "input": "",
    "output": "2.",
}
ENTRY = {
    "columns": {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "history": "history",
        "system": "system",
    },
}
COMPARED = {"ranking": True, "columns": {"prompt": "instruction", "query": "input", "response": "output"}}


def make_workspace(folder: Path, sets: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]) -> Workspace:
    """A workspace with the model `demo`, its adapter `zh`, its reward model `judge`, and sets by name: entry, rows."""
    found = Workspace(folder)
    make_model(found.models / "demo")
    make_adapter(found.runs / "zh", "demo")
    judge = make_adapter(found.runs / "judge", "demo")
    make_weights(judge / "value_head.safetensors", {"v_head.summary.weight": [1, 576]})
    found.data.mkdir()
    for name, (_entry, rows) in sets.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (found.data / f"{name}.jsonl").write_text(text)
    info = {name: {"file_name": f"{name}.jsonl", **entry} for name, (entry, _rows) in sets.items()}
    (found.data / "dataset_info.json").write_text(json.dumps(info))
    return found


def draw_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no processes started: each costs half a second."""

    def start(prepared: PreparedEvaluation) -> RunDirectory:
        make_folder(prepared.run, prepared.workspace, overwrite=False)
        prepared.run.config.write_text(prepared.config)
        write_launch(prepared.run, launch_of(prepared))
        fake_drawer.draw_all(prepared.run.path)
        return prepared.run

    monkeypatch.setattr("core.judging.drawing.start", start)


def make_talks(folder: Path) -> Workspace:
    """A workspace with four prompts, the first with a history and a system prompt, and a set of comparisons."""
    rows = [TALK, *({**TALK, "system": "", "history": [], "instruction": f"question {n}"} for n in (1, 2, 3))]
    compared = {"instruction": "这是什么？", "input": "", "output": ["好", "坏"]}
    return make_workspace(folder, {"talks": (ENTRY, rows), "compared": (COMPARED, [compared])})


def begun(workspace: Workspace, **options: Any) -> Judging:
    return open_judging(load(JUDGING, values={"model_name_or_path": "demo", **options}), workspace)


def drawn(workspace: Workspace, **options: Any) -> Judging:
    """A judging with all its answers."""
    judging = begun(workspace, **{"dataset": "talks", "output": "mine", **options})
    for _draw in range(6):
        if go_on_drawing(judging) is None:
            return judging
    raise AssertionError(f"never drawn: {judging.drawing.read_text()}")
