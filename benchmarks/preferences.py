"""An update on pairs of answers with their prompts computed once, against the same update with them computed twice.

The loss is DPO's without its reference (SimPO): the policy's pass and its gradient, on LoRA of the default model. Both
ways are measured by turns on the same pairs, in CPU seconds; what they compute is the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.decode import default_model
from benchmarks.figures import Figure, report
from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import load
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.preference import PreferenceOptions
from core.config.training import TRAINING
from core.engine.batches.rows import StageRows
from core.engine.forward.choose import Forward, choose_forward
from core.engine.objectives.preferring import Preferring
from core.engine.training.data import open_data
from core.engine.tuning.prepare import describe_base, load_for_training, prepare
from core.engine.tuning.tunable import Tunable
from core.workspace import Workspace

_REPOSITORY = Path(__file__).parent.parent
_PAIRS = 4
_BATCHES = 2
_SENTENCE = "You are a careful assistant who weighs every word before it is said. "


def measure(model: Path, turns: int = 5) -> Iterator[Figure]:
    """The figures, one after the other."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "data").symlink_to(_REPOSITORY / "data")
        yield from _ways(model, Workspace(root), "comparison_en + zh", "", turns)
        yield from _ways(model, Workspace(root), "the same, system prompts of 100 tokens more", _SENTENCE * 7, turns)


def _ways(model: Path, workspace: Workspace, told: str, prompt: str, turns: int) -> Iterator[Figure]:
    values: dict[str, Any] = {
        "model_name_or_path": str(model),
        "dataset": ("comparison_en", "comparison_zh"),
        "stage": "dpo",
        "pref_loss": "simpo",
        "default_system": prompt,
        "probe_max_new_tokens": 0,
    }
    settings = load(TRAINING, values=values)
    data = open_data(settings, model, workspace)
    options, method = settings[OptimizationOptions], settings[FinetuningOptions]
    base = load_for_training(settings[BaseModelOptions], method, options, device=torch.device("cpu"))
    base = replace(base, template=data.template)
    tunable = prepare(base, method, options, [], describe_base(base, settings[DataOptions]))
    batches = [list(range(start, start + _PAIRS)) for start in range(0, _BATCHES * _PAIRS, _PAIRS)]
    objective = Preferring(settings[PreferenceOptions], None)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    losses: dict[bool, float] = {}
    for _turn in range(turns):
        for shares in (True, False):
            forward = _forward(tunable, options, shares)
            began = time.process_time()
            losses[shares] = sum(_updated(forward, objective, data.rows, numbers) for numbers in batches)
            seconds[shares].append(time.process_time() - began)
            forward.close()
            tunable.network.zero_grad()
    once, twice = statistics.median(seconds[True]), statistics.median(seconds[False])
    yield Figure(f"{told}: prompts once, CPU", once, "s")
    yield Figure(f"{told}: prompts twice, CPU", twice, "s")
    ratio = statistics.median(two / one for one, two in zip(seconds[True], seconds[False], strict=True))
    yield Figure(f"{told}: twice over once", ratio, "×")
    yield Figure(f"{told}: difference of the losses", abs(losses[True] - losses[False]) / abs(losses[False]), "")


@dataclass
class _WithoutSharing:
    """As much of a Tunable as a forward looks at."""

    network: Any
    pads: bool = False
    exact_sharing: bool = False


def _forward(tunable: Tunable, options: OptimizationOptions, shares: bool) -> Forward:
    chosen: Any = tunable if shares else _WithoutSharing(tunable.network)
    forward = choose_forward(chosen, options=options)
    forward.train(True)
    return forward


def _updated(forward: Forward, objective: Preferring, rows: StageRows, numbers: list[int]) -> float:
    """The loss of some pairs, after its gradient."""
    loss = objective.measure(forward, rows, numbers).sum
    torch.autograd.backward(loss)
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    report(measure(options.model or default_model(), options.turns))


if __name__ == "__main__":
    main()
