"""A real update with the longest batch, measured: what a plan cannot count.

The pieces are the training's own, in a process that ends with the answer. Where memory is too short the batch is halved
as the training would do it.
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions, OutputOptions
from core.engine.batches.batch import Batch
from core.engine.forward.choose import Forward, choose_forward
from core.engine.load import choose_device
from core.engine.planning.draft import Draft
from core.engine.shortage import is_out_of_memory
from core.engine.training.data import probes_of
from core.engine.training.memory import free_unused
from core.engine.training.optim import build_optimizer
from core.engine.training.probes import Prober
from core.engine.training.processes import Processes
from core.engine.tuning.prepare import TrainingBase, describe_base, load_for_training, prepare
from core.engine.tuning.tunable import Tunable
from core.errors import TrainingError
from core.hardware import free_physical_cores
from core.i18n import _
from core.models.adapters import resolve_adapter
from core.runs.plan import DryStep

_QUICK_SECONDS = 60.0
"""A first update that took no longer is done once more: the first one also finds its kernels and its memory."""

_PROBE_TOKENS = 4
"""Enough of an answer to tell how long the rest will take."""


def dry_step(made: Draft) -> DryStep:
    """Load the model, and measure.

    Raises:
        FinetuiError: the model cannot be loaded, has not what the options name, or one row is too much for it.
    """
    settings, options = made.settings, made.settings[OptimizationOptions]
    base_options = settings[BaseModelOptions]
    device = choose_device(base_options.device)
    processes = Processes(device, "fp16" if options.fp16 and device.type != "cpu" else "bf16" if options.bf16 else "no")
    torch.set_num_threads(base_options.threads or free_physical_cores())
    folder = base_options.model_copy(update={"model_name_or_path": str(made.model.path)})
    base = load_for_training(folder, settings[FinetuningOptions], options, device=device)
    base = replace(base, template=made.recipe.chosen_template)
    adapters = [resolve_adapter(n, made.workspace).path for n in settings[FinetuningOptions].adapter_name_or_path]
    tunable = prepare(base, settings[FinetuningOptions], options, adapters, describe_base(base, settings[DataOptions]))
    forward = choose_forward(tunable, options=options, checkpointing=made.checkpointing)
    forward.train(True)
    measured = _Measured(made, tunable, forward, processes)
    step = measured.step()
    besides = measured.evaluations() + _probes(made, base, tunable, forward)
    return replace(step, estimated_seconds=step.estimated_seconds + besides)


def _probes(made: Draft, base: TrainingBase, tunable: Tunable, forward: Forward) -> float:
    """Seconds of all answers to probes: the beginning of one, measured."""
    output = made.settings[OutputOptions]
    longest = output.probe_max_new_tokens
    asked = made.encoded.examples[made.numbers]
    probes = probes_of(made.recipe, asked, made.settings[DataOptions], output) if longest else ()
    if not probes:
        return 0.0
    forward.train(False)
    tokens = min(longest, _PROBE_TOKENS)
    prober = Prober(
        tunable.network, probes[:1], decode=base.tokenizer.decode, end_ids=frozenset(), stop=(), longest=tokens
    )
    began = time.perf_counter()
    list(prober.answer(0))
    seconds = time.perf_counter() - began
    return seconds * longest / tokens * len(probes) * made.counts.looks


class _Measured:
    def __init__(self, made: Draft, tunable: Tunable, forward: Forward, processes: Processes) -> None:
        self._made, self._tunable, self._forward, self._processes = made, tunable, forward, processes
        self._optimizer = build_optimizer(tunable.groups(), made.settings[OptimizationOptions])
        self._rows = made.updates.longest_batch()

    def step(self) -> DryStep:
        _forget_peak(self._processes.device)
        backward, moving = self._update()
        if backward + moving < _QUICK_SECONDS:
            backward, moving = self._update()
        tokens = int(self._made.updates.lengths[self._rows].sum())
        return DryStep(
            seconds=backward + moving,
            tokens=tokens,
            peak_memory=_peak(self._processes.device),
            estimated_seconds=self._whole(backward / tokens, moving),
            trainable=sum(parameter.numel() for parameter in self._tunable.trained.values()),
            micro_batch=len(self._rows),
        )

    def evaluations(self) -> float:
        """Seconds of all evaluations, by the loss of the longest batch without a gradient."""
        made = self._made
        if not made.plan.evaluations:
            return 0.0
        self._forward.train(False)
        batch, began = self._batch(), time.perf_counter()
        with torch.no_grad(), self._processes.autocast():
            self._forward.loss(batch)
        self._wait()
        return (time.perf_counter() - began) / batch.tokens * made.eval_tokens * made.plan.evaluations / self._sharing

    def _batch(self) -> Batch:
        return self._made.encoded.batch([int(self._made.numbers[row]) for row in self._rows])

    def _update(self) -> tuple[float, float]:
        """Seconds of the passes through the model, and of moving the weights."""
        while True:
            began = time.perf_counter()
            try:
                self._pass()
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._take_less()
        passed = time.perf_counter()
        self._processes.step(self._optimizer)
        self._optimizer.zero_grad(set_to_none=True)
        self._wait()
        return passed - began, time.perf_counter() - passed

    def _pass(self) -> None:
        batch = self._batch()
        scaler = self._processes.scaler
        with self._processes.autocast():
            loss = self._forward.loss(batch).sum / batch.targets
        torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
        self._wait()

    def _take_less(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        free_unused(self._processes.device)
        if len(self._rows) == 1:
            raise TrainingError(
                _("{device}: the longest row alone is too much for the memory").format(device=self._processes.device),
                _("lower cutoff_len, take lora with quantization_bit 4, or a smaller model"),
            )
        self._rows = self._rows[: len(self._rows) // 2]

    def _whole(self, seconds_per_token: float, moving: float) -> float:
        """Seconds of all updates."""
        plan = self._made.plan
        tokens = float(self._made.updates.lengths.sum()) * plan.epochs
        return tokens * seconds_per_token / self._sharing + plan.total_steps * moving

    @property
    def _sharing(self) -> int:
        """How many devices share the tokens; processes on one CPU share its cores too."""
        return self._made.settings[LaunchOptions].nproc_per_node if self._processes.device.type != "cpu" else 1

    def _wait(self) -> None:
        if self._processes.device.type == "cuda":
            torch.cuda.synchronize(self._processes.device)


def _forget_peak(device: torch.device) -> None:
    """Loading is not training: its peak does not count."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
