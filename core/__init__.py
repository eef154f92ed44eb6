"""finetui's headless half: everything that a person's screen or command line asks for, without a screen.

`core` outside `core.engine` is light: no torch, no textual. `core.engine` is heavy and always runs in a process of
its own, reached over a pipe (`core.serve`) or through a run directory.

    from core import compare, evaluate, follow, train

    run = train("lora.yaml", lora_rank=16)      # detached: a run's folder
    for event in follow(run):
        print(event)

    base, tuned = evaluate("zh-lora", dataset="telecom_test_100", include_base=True)
    print(compare(base, tuned).table())

Names are resolved when they are first used: importing `core` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.chat.message import Message
    from core.launch.evaluating import evaluate
    from core.launch.training import train
    from core.report.comparing import compare
    from core.runs.rundir import RunDirectory
    from core.runs.watch import follow
    from core.serve.model import ModelSpec, load_model

__all__ = ["Message", "ModelSpec", "RunDirectory", "compare", "evaluate", "follow", "load_model", "train"]

_HOMES = {
    "Message": "core.chat.message",
    "ModelSpec": "core.serve.model",
    "load_model": "core.serve.model",
    "RunDirectory": "core.runs.rundir",
    "compare": "core.report.comparing",
    "evaluate": "core.launch.evaluating",
    "follow": "core.runs.watch",
    "train": "core.launch.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'core' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
