"""A training's updates against LLaMA-Factory 0.9.5's way: same rows, same model, same updates, one interleaved run.

    python -m benchmarks.train [MODEL] [--rounds N] [--threads N] [--device cpu|cuda] [--large MODEL]
                               [--parts techniques,shipped,dora,large]

That way is `transformers.Trainer`'s step with LLaMA-Factory's defaults: PEFT, gradient checkpointing, rows padded to
the longest of the batch (a multiple of 8), logits at every position. Ours is what a user gets who names no option.
Between the two stand the techniques one by one, each with all before it. Every variant starts each update from the
same weights, on the same eight rows of telecom_train_400 with LoRA of rank 8 on q, k, v and o; loss and length of the
gradient have to agree within float32's noise, or the benchmark fails.

Times are CPU seconds on a CPU (wall seconds on an accelerator), ratios are medians over updates taken side by side, so
that a busy machine disturbs all alike. `--parts` names what is measured: each part stands for itself, so one in a hurry
takes one, with `--rounds 2`. `dora` is that way's DoRA against ours. `--large` adds a model of a large vocabulary
(gemma3 270M). Budgets: issue 3, item 5; that of the checkpoint as shipped is for a CPU without matrix units for
bfloat16 (AMX), where that way is slow.
"""

from __future__ import annotations

import argparse
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.engine.serve import PASSIVE_WAITS

os.environ.update(PASSIVE_WAITS)  # before torch
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import Tensor

from benchmarks.decode import default_model
from benchmarks.figures import Figure, median, report
from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import Settings, load
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.training import TRAINING
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.forward.choose import Forward, choose_forward
from core.engine.forward.families import inner_model
from core.engine.forward.projection import projection_of
from core.engine.training.data import open_data
from core.engine.training.heap import keep_freed_memory
from core.engine.tuning.prepare import describe_base, load_for_training, prepare
from core.engine.tuning.tunable import Tunable
from core.workspace import Workspace

ROWS_PER_UPDATE = 8
FACTORY_MULTIPLE = 8
CHECKOUT = Path(__file__).parent.parent
FLOAT32_NOISE = 1e-4
BFLOAT16_NOISE = 3e-2


@dataclass
class Subject:
    """A network with its adapter, and how one variant computes the loss of a batch with it."""

    name: str
    tunable: Tunable
    make: Callable[[Tunable], Callable[[Batch], Tensor]]
    """Prepares the network and gives what computes the mean loss of a batch."""
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    peak: int = 0

    def __post_init__(self) -> None:
        self.weights = list(self.tunable.trained.values())
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-4, weight_decay=0.0)


def that_way(checkpointing: bool) -> Callable[[Tunable], Callable[[Batch], Tensor]]:
    """transformers.Trainer's step, with or without gradient checkpointing (reentrant, as LLaMA-Factory has it)."""

    def make(tunable: Tunable) -> Callable[[Batch], Tensor]:
        network = tunable.network
        model = inner_model(network)
        model.activation_checkpointing_disable()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": True})
            model.enable_input_require_grads()
        network.train()

        def loss(batch: Batch) -> Tensor:
            inputs = factory_batch(batch, model.device)
            targets = torch.tensor(batch.targets)
            found: Tensor = network(**inputs, use_cache=False, num_items_in_batch=targets).loss
            return found

        return loss

    return make


def ours(**techniques: bool) -> Callable[[Tunable], Callable[[Batch], Tensor]]:
    """Some of the forward's techniques; without any name, what `choose_forward` takes."""

    def make(tunable: Tunable) -> Callable[[Batch], Tensor]:
        inner_model(tunable.network).activation_checkpointing_disable()  # that way may have left it on
        if techniques:
            projection = projection_of(inner_model(tunable.network), 0.0)
            forward = Forward(tunable.network, projection=projection, **techniques)
        else:
            forward = choose_forward(tunable, options=OptimizationOptions())
        forward.train(True)
        _open.append(forward)
        return lambda batch: forward.loss(batch).sum / batch.targets

    return make


_open: list[Forward] = []


def factory_batch(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """As LLaMA-Factory's collator pads it."""
    longest = max(len(row.ids) for row in batch.rows)
    shape = (len(batch.rows), math.ceil(longest / FACTORY_MULTIPLE) * FACTORY_MULTIPLE)
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, -100)
    for number, row in enumerate(batch.rows):
        tokens, length = torch.from_numpy(row.ids.astype("int64")), len(row.ids)
        ids[number, :length], mask[number, :length] = tokens, 1
        labels[number, :length] = torch.where(torch.from_numpy(row.trained.copy()), tokens, -100)
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: values.to(device) for name, values in inputs.items()}


def read_rows(folder: Path) -> list[EncodedRow]:
    """telecom_train_400 as a run would tokenise it, shuffled as a run would."""
    settings = settings_for(folder)
    rows = open_data(settings, folder, Workspace(CHECKOUT)).rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(42)).tolist()
    return [rows.row(number) for number in order]


def settings_for(folder: Path, **changes: object) -> Settings:
    values = {
        "model_name_or_path": str(folder),
        "dataset": "telecom_train_400",
        "lora_target": "q_proj,k_proj,v_proj,o_proj",
        "probe_max_new_tokens": 0,
    }
    return load(TRAINING, values=values | changes)


def make_tunable(folder: Path, device: torch.device, dtype: str, **changes: object) -> Tunable:
    """The model with LoRA, as a run would prepare it."""
    settings = settings_for(folder, dtype=dtype, **changes)
    finetuning, optimization = settings[FinetuningOptions], settings[OptimizationOptions]
    base = load_for_training(settings[BaseModelOptions], finetuning, optimization, device=device)
    torch.manual_seed(0)
    tunable = prepare(base, finetuning, optimization, [], describe_base(base, settings[DataOptions]))
    for name, weight in tunable.trained.items():
        if "lora_B" in name:  # or half of the gradients would be zero at first
            torch.nn.init.normal_(weight, std=0.02)
    return tunable


def run(subjects: Sequence[Subject], rows: Sequence[EncodedRow], rounds: int) -> None:
    """Every subject makes every update, by turns, from the same weights; the first update warms up."""
    for turn in range(rounds + 1):
        start = turn * ROWS_PER_UPDATE
        batch = Batch(rows[start : start + ROWS_PER_UPDATE])
        before = [weight.detach().clone() for weight in subjects[0].weights]
        after: list[Tensor] = []
        for subject in subjects:
            put(subject.weights, before)
            update(subject, batch, is_warming_up=turn == 0)
            after = after or [weight.detach().clone() for weight in subject.weights]
        put(subjects[0].weights, after)


def put(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)


def update(subject: Subject, batch: Batch, *, is_warming_up: bool) -> None:
    """Loss, gradient, clipping, the optimiser's step: what Trainer does, timed."""
    compute = subject.make(subject.tunable)
    device = subject.weights[0].device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = clock(device)
    loss = compute(batch)
    torch.autograd.backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(subject.weights, 1e9)
    subject.optimizer.step()
    subject.optimizer.zero_grad()
    seconds = clock(device) - began
    while _open:
        _open.pop().close()
    subject.losses.append(loss.item())
    subject.norms.append(norm.item())
    if device.type == "cuda":
        subject.peak = max(subject.peak, torch.cuda.max_memory_allocated(device))
    if not is_warming_up:
        subject.seconds.append(seconds)


def clock(device: torch.device) -> float:
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def assert_equal(subjects: Sequence[Subject], noise: float) -> None:
    """Same losses and gradients as the first, update by update."""
    first = subjects[0]
    for subject in subjects[1:]:
        for mine, theirs in zip(subject.losses + subject.norms, first.losses + first.norms, strict=True):
            if abs(mine - theirs) > noise * abs(theirs):
                raise SystemExit(f"{subject.name}: {mine} where {first.name} has {theirs}")


def faster(subject: Subject, other: Subject) -> float:
    """How many times as fast as another, over updates side by side."""
    return median(theirs / mine for mine, theirs in zip(subject.seconds, other.seconds, strict=True))


def print_table(title: str, subjects: Sequence[Subject]) -> None:
    print(f"\n**{title}**\n\n| variant | s per update | rows/s | × that way | × the one before | peak |", flush=True)
    print("| --- | --- | --- | --- | --- | --- |")
    for number, subject in enumerate(subjects):
        seconds = median(subject.seconds)
        before = f"{faster(subject, subjects[number - 1]):.2f}" if number else "–"
        peak = f"{subject.peak / 2**30:.2f} GiB" if subject.peak else "–"
        print(
            f"| {subject.name} | {seconds:.2f} | {ROWS_PER_UPDATE / seconds:.2f} | {faster(subject, subjects[0]):.2f} "
            f"| {before} | {peak} |",
            flush=True,
        )


def techniques(folder: Path, rows: Sequence[EncodedRow], device: torch.device, rounds: int) -> list[Subject]:
    """One network in float32, from that way to ours, technique by technique."""
    tunable = make_tunable(folder, device, "float32")
    variants = {
        "that way: checkpointing, padded, logits everywhere": that_way(checkpointing=True),
        "no gradient checkpointing": that_way(checkpointing=False),
        "+ logits at trained positions only": ours(ragged=False, share=False, lean=False),
        "+ rows end to end, no padding": ours(ragged=True, share=False, lean=False),
        "+ the shared prefix once": ours(ragged=True, share=True, lean=False),
        "+ lean arithmetic: ours": ours(),
    }
    subjects = [Subject(name, tunable, make) for name, make in variants.items()]
    run(subjects, rows, rounds)
    assert_equal(subjects, FLOAT32_NOISE)
    return subjects


def as_shipped(folder: Path, rows: Sequence[EncodedRow], device: torch.device, rounds: int) -> list[Subject]:
    """A checkpoint in bfloat16, which that way trains as it is, and ours as a user gets it; ours in both formats."""
    half = make_tunable(folder, device, "bfloat16")
    subjects = [
        Subject("that way, bfloat16", half, that_way(checkpointing=True)),
        Subject("ours, as a user gets it", make_tunable(folder, device, "auto"), ours()),
        Subject("ours, bfloat16", half, ours()),
        Subject("ours, float32", make_tunable(folder, device, "float32"), ours()),
    ]
    run(subjects, rows, rounds)
    assert_equal(subjects, BFLOAT16_NOISE)
    return subjects


def with_dora(folder: Path, rows: Sequence[EncodedRow], device: torch.device, rounds: int) -> list[Subject]:
    """LoRA with trained magnitudes, which PEFT computes by laying out every product of factors."""
    tunable = make_tunable(folder, device, "float32", use_dora=True)
    subjects = [Subject("that way", tunable, that_way(checkpointing=True)), Subject("ours", tunable, ours())]
    run(subjects, rows, rounds)
    assert_equal(subjects, FLOAT32_NOISE)
    return subjects


def figures(options: argparse.Namespace, device: torch.device) -> list[Figure]:
    folder = options.model or default_model()
    rows = read_rows(folder)
    whole = Batch(rows)
    print(
        f"{folder.name}: {len(rows)} rows of {whole.tokens / len(rows):.0f} tokens, {whole.targets / len(rows):.0f} "
        f"trained, {whole.common_prefix} shared; {options.threads} thread(s), {device}"
    )
    found: list[Figure] = []
    if "techniques" in options.parts:
        subjects = techniques(folder, rows, device, options.rounds)
        print_table(f"{folder.name}, float32", subjects)
        found.append(Figure("rows/s against that way", faster(subjects[-1], subjects[0]), "×", 2.2, at_least=True))
        without = faster(subjects[-1], subjects[1])
        found.append(Figure("rows/s against it without checkpointing", without, "×", 1.7, at_least=True))
    if "shipped" in options.parts:
        shipped = as_shipped(folder, rows, device, options.rounds)
        print_table(f"{folder.name}, bfloat16 as shipped", shipped)
        found.append(
            Figure("rows/s on the checkpoint as shipped", faster(shipped[1], shipped[0]), "×", 4.0, at_least=True)
        )
        found.append(Figure("rows/s on it in bfloat16", faster(shipped[2], shipped[0]), "×"))
    if "dora" in options.parts:
        dora = with_dora(folder, rows, device, options.rounds)
        print_table(f"{folder.name}, DoRA, float32", dora)
        found.append(Figure("rows/s with DoRA", faster(dora[1], dora[0]), "×"))
    if options.large and "large" in options.parts:
        large = techniques(options.large, read_rows(options.large), device, options.rounds)
        print_table(f"{options.large.name}, float32", large)
        found.append(Figure("rows/s on a large vocabulary", faster(large[-1], large[0]), "×", 2.5, at_least=True))
    print()
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--large", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--parts", default="techniques,shipped,dora,large", type=lambda typed: typed.split(","))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as a run does; that way runs in the same process and has the gain too
    report(figures(options, torch.device(options.device)))


if __name__ == "__main__":
    main()
