"""PPO's answers, memory and time: drawn answers against the batched generator's greedy ones and against
`transformers.generate`; peak memory and the parts of a step with a reward adapter, against supervised training.

    python -m benchmarks.ppo [MODEL] [--rounds N] [--threads N] [--rows N] [--new TOKENS] [--only answers|training]

Answers: a LoRA policy in training, prompts of telecom_test_100, every answer as long as `--new` says, so all write the
same number of tokens; temperature alone. `generate` draws at batch 1 (every so many-th prompt) and at the same batch.
Each round has all of them, in another order; ratios are medians of a round's ratios, of CPU time. Training:
`core.engine.train` itself as a process, float32, two updates, as many rows a batch, of up to 128 prompt and 128 answer
tokens; SFT and PPO with adapters of one rank, PPO with a reward adapter on the same base. A step's parts are what the
run records (wall time, of the last step). Ten minutes on one idle core. Budgets: issue 5, item 4.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.engine.serve import PASSIVE_WAITS

os.environ.update(PASSIVE_WAITS)  # before torch
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

from benchmarks.decode import default_model, timed
from benchmarks.figures import Figure, median, report
from core.chat.message import Message
from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import load
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.save import as_yaml
from core.config.training import TRAINING
from core.engine.beside.policy_runner import PolicyRunner
from core.engine.ppo.rollouts import Roller
from core.engine.tuning.prepare import TrainingBase, describe_base, load_for_training, prepare

DATA = Path(__file__).parent.parent / "data"
GREEDY_BUDGET, TOGETHER_BUDGET, ALONE_BUDGET, MEMORY_BUDGET = 1.1, 1.15, 4.0, 1.5
ALONE_SHARE = 8
"""At batch 1 an eighth of the prompts is answered in each round."""
EPOCHS = 2
_GenerationConfig: Any = transformers.GenerationConfig


# --- answers -----------------------------------------------------------------------------------------------------


def endless(folder: Path) -> TrainingBase:
    """A base whose answers end by their length alone."""
    options = BaseModelOptions(model_name_or_path=str(folder), device="cpu", dtype="float32")
    base = load_for_training(options, FinetuningOptions(), OptimizationOptions())
    return replace(base, end_ids=frozenset())


def questions(count: int) -> list[str]:
    with (DATA / "telecom_test_100.jsonl").open(encoding="utf-8") as file:
        return [str(json.loads(line)["instruction"]) for line in itertools.islice(file, count)]


def theirs(peer: Any, prompts: Sequence[Sequence[int]], new_tokens: int, batch: int) -> None:
    """transformers' draws, padded on the left."""
    config = _GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=True,
        top_k=0,
        top_p=1.0,
        temperature=1.0,
        eos_token_id=None,
        pad_token_id=0,
    )
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        width = max(map(len, part))
        ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in part])
        seen = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in part])
        with torch.inference_mode():
            peer.generate(input_ids=ids, attention_mask=seen, generation_config=config)


def answers(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    torch.set_num_threads(options.threads)
    base = endless(folder)
    peer = endless(folder).network
    notes = describe_base(base, DataOptions())
    policy = PolicyRunner(prepare(base, FinetuningOptions(), OptimizationOptions(), [], notes), base)
    drawn = Roller(policy, temperature=1.0, max_new_tokens=options.new)
    greedy = Roller(policy, temperature=0.0, max_new_tokens=options.new)
    prompts = [base.template.rendering([Message("user", one)]).ids for one in questions(options.rows)]
    drawn.draw(prompts[:2], 0)  # warm
    ways: dict[str, tuple[Callable[[int], object], int]] = {
        "drawn": (lambda turn: drawn.draw(prompts, turn), len(prompts)),
        "greedy": (lambda turn: greedy.draw(prompts, turn), len(prompts)),
        "together": (lambda _turn: theirs(peer, prompts, options.new, len(prompts)), len(prompts)),
        "alone": (lambda turn: theirs(peer, some_of(prompts, turn), options.new, 1), len(some_of(prompts, 0))),
    }
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.rounds):
        names = list(ways)
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            work, count = ways[name]
            costs[name].append(timed(work, turn)[2] / count / options.new)
    yield Figure("drawn answers, of CPU", 1 / median(costs["drawn"]), "tokens/s")
    against = ratio(costs["drawn"], costs["greedy"])
    yield Figure("– against greedy ones of the batched generator, CPU", against, "×", GREEDY_BUDGET)
    for name, what, budget in (("together", "the same batch", TOGETHER_BUDGET), ("alone", "batch 1", ALONE_BUDGET)):
        faster = ratio(costs[name], costs["drawn"])
        yield Figure(f"– generate at {what}, against ours, CPU", faster, "×", budget, at_least=True)


def some_of(prompts: Sequence[Sequence[int]], turn: int) -> Sequence[Sequence[int]]:
    """Those that are answered one by one in a round, in every round as many."""
    return prompts[turn % ALONE_SHARE :: ALONE_SHARE][: max(1, len(prompts) // ALONE_SHARE)]


def ratio(costs: Sequence[float], others: Sequence[float]) -> float:
    return median(one / other for one, other in zip(costs, others, strict=True))


# --- training ----------------------------------------------------------------------------------------------------


def workspace(root: Path) -> None:
    """Rows of long answers, pairs, and no runs yet."""
    (root / "runs").mkdir()
    (root / "data").mkdir()
    long = "the answer goes on and on, and says nothing new at all, and " * 12
    asked = questions(100)
    rows = [{"instruction": one, "output": long} for one in asked]
    pairs = [{"instruction": one, "chosen": long, "rejected": "No."} for one in asked[:4]]
    columns = {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}
    described: dict[str, Any] = {
        "rows": {"file_name": "rows.json"},
        "pairs": {"file_name": "pairs.json", "ranking": True, "columns": columns},
    }
    contents: dict[str, Any] = {"rows": rows, "pairs": pairs, "dataset_info": described}
    for name, content in contents.items():
        (root / "data" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


@dataclass(frozen=True)
class Trained:
    """What a training took."""

    peak: float
    """Memory, in MB."""
    step: dict[str, Any]
    """The last point of its curves, as recorded."""

    @property
    def tokens(self) -> float:
        """Of an update, on average."""
        return float(self.step["tokens"]) / float(self.step["step"])

    @property
    def seconds(self) -> float:
        """Of an update."""
        return self.tokens / float(self.step["tokens_per_second"])


def trained(root: Path, name: str, folder: Path, threads: int, **options: Any) -> Trained:
    """Train in a process of its own."""
    values = {
        "model_name_or_path": str(folder),
        "dataset": ("rows",),
        "device": "cpu",
        "dtype": "float32",
        "threads": threads,
        "per_device_train_batch_size": 8,
        "max_source_length": 128,
        "max_target_length": 128,
        "cutoff_len": 256,
        "max_steps": 2,
        "save_strategy": "no",
        "logging_steps": 1,
        "plot_loss": False,
        "probe_max_new_tokens": 0,
        **options,
    }
    run = root / "runs" / name
    run.mkdir()
    (run / "config.yaml").write_text(as_yaml(load(TRAINING, values=values), *TRAINING), encoding="utf-8")
    environment = {**os.environ, "FINETUI_WORKSPACE": str(root), "OMP_NUM_THREADS": str(threads)}
    with (run / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "core.engine.train", str(run)],
            env=environment,
            cwd=Path(__file__).parent.parent,
            stdout=log,
            stderr=log,
        )
        _pid, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit((run / "log").read_text(encoding="utf-8")[-2000:])
    records = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return Trained(usage.ru_maxrss / 1000, [record for record in records if record["type"] == "step"][-1])


def training(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        workspace(root)
        supervised = trained(root, "sft", folder, options.threads)
        yield Figure("supervised training, peak memory", supervised.peak, "MB")
        small = {"per_device_train_batch_size": 1, "max_steps": 1}
        trained(root, "rm", folder, options.threads, stage="rm", dataset=("pairs",), **small)
        held = {"stage": "ppo", "adapter_name_or_path": ("sft",), "reward_model": "rm", "ppo_epochs": EPOCHS}
        reinforced = trained(root, "ppo", folder, options.threads, **held)
        yield Figure("PPO with a reward adapter, peak memory", reinforced.peak, "MB")
        yield Figure("– against supervised training", reinforced.peak / supervised.peak, "×", MEMORY_BUDGET)
        yield from parts(reinforced, supervised)


def parts(reinforced: Trained, supervised: Trained) -> Iterator[Figure]:
    """Where a step's time goes, and what a pass of learning costs a token, against a supervised update."""
    metrics = reinforced.step["metrics"]
    seconds = {name: float(metrics[f"{name}_seconds"]) for name in ("rollout", "score", "update")}
    whole = sum(seconds.values())
    yield Figure("a PPO step of 8 answers, wall", whole, "s")
    for name, what in (
        ("rollout", "drawing answers"),
        ("score", "scores, and what policy and reference think"),
        ("update", f"learning, {EPOCHS} passes"),
    ):
        yield Figure(f"– {what}", 100 * seconds[name] / whole, "%")
    each = seconds["update"] / EPOCHS / reinforced.tokens
    plain = supervised.seconds / supervised.tokens
    yield Figure("a pass of learning, a token, against a supervised update, wall", each / plain, "×")


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    folder = options.model or default_model()
    if options.only != "training":
        yield from answers(options, folder)
    if options.only != "answers":
        yield from training(options, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--new", type=int, default=32, help="tokens of an answer")
    parser.add_argument("--only", choices=("answers", "training"))
    report(figures(parser.parse_args()))


if __name__ == "__main__":
    main()
