"""A real update with the longest batch, measured: what a plan cannot count.

The pieces are the training's own, in a process that ends with the answer. Where memory is too short the batch is halved
as the training would do it.
"""

from __future__ import annotations

import resource
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from core.config.data import DataOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions, OutputOptions
from core.config.preference import PreferenceOptions
from core.config.stages import WITHOUT_REFERENCE
from core.engine.batches.order import updates_of
from core.engine.control import Control
from core.engine.forward.choose import Forward
from core.engine.load import choose_device
from core.engine.objectives.row_loop import RowLoop
from core.engine.planning.draft import Draft
from core.engine.shortage import is_out_of_memory
from core.engine.stages import make_loop
from core.engine.training.data import Data, probes_of
from core.engine.training.journal import Journal
from core.engine.training.judge import make_judge
from core.engine.training.loop import Loop
from core.engine.training.memory import free_unused
from core.engine.training.probes import Prober
from core.engine.training.processes import Processes
from core.engine.training.setup import Decided, Start, assemble
from core.engine.training.work import Work
from core.errors import TrainingError
from core.hardware import free_physical_cores
from core.i18n import _
from core.runs.plan import DryStep
from core.runs.rundir import RunDirectory

_QUICK_SECONDS = 60.0
"""A first update that took no longer is done once more: the first one also finds its kernels and its memory."""

_PROBE_TOKENS = 4
"""Enough of an answer to tell how long the rest will take."""


def dry_step(made: Draft) -> DryStep:
    """Load the model, and measure.

    Raises:
        FinetuiError: the model cannot be loaded, has not what the options name, or one row is too much for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = _assembled(made, RunDirectory(Path(folder)))
        loop = make_loop(work)
        if isinstance(loop, RowLoop):
            loop.objective.begin(loop.forward)
            loop.forward.train(True)
            measured = _Measured(made, loop)
            step = measured.step()
            besides = measured.reading() + _probes(made, work, loop.forward)
        else:
            step, evaluations = _played(made, loop)
            besides = evaluations + _probes(made, work, loop.forward)
    return replace(step, estimated_seconds=step.estimated_seconds + besides)


def _assembled(made: Draft, run: RunDirectory) -> Work:
    """The training itself, of the longest rows alone, in a folder that nobody keeps."""
    settings, options = made.settings, made.settings[OptimizationOptions]
    base_options, output = settings[BaseModelOptions], settings[OutputOptions]
    device = choose_device(base_options.device)
    processes = Processes(device, "fp16" if options.fp16 and device.type != "cpu" else "bf16" if options.bf16 else "no")
    torch.set_num_threads(base_options.threads or free_physical_cores())
    rows = made.rows.only(_longest(made))
    probes = probes_of(made.recipe, rows.examples, settings[DataOptions], output) if output.probe_max_new_tokens else ()
    return assemble(
        Start(run, settings, made.workspace, Journal(run, writes=False), Control(run, reads_wishes=False)),
        Decided(
            processes=processes,
            folder=made.model.path,
            data=Data(rows, made.report, (), made.recipe.chosen_template, probes),
            updates=replace(updates_of(settings, rows.lengths), shuffle=False),
            total_steps=1,
            checkpointing=made.checkpointing,
            judge=make_judge(settings, []),
            state=None,
        ),
    )


def _longest(made: Draft) -> list[int]:
    """The rows of the longest micro-batch; for stages that make their own rows, of the longest update."""
    if made.stage != "ppo":
        return made.updates.longest_batch()
    share = made.updates.rows_per_update // made.updates.world
    longest: list[int] = np.argsort(-made.rows.lengths, kind="stable")[:share].tolist()
    return longest


def _played(made: Draft, loop: Loop) -> tuple[DryStep, float]:
    """A step of PPO with its answers as they are now, and the seconds of all evaluations by what it took to answer."""
    _forget_peak(loop.work.processes.device)
    loop.rehearse()
    window, work = loop.progress.window, loop.work
    answering = sum(window.means.get(name, 0.0) for name in ("rollout_seconds", "score_seconds"))
    evaluated = answering / max(1, window.rows) * made.eval_rows * made.plan.evaluations
    step = DryStep(
        seconds=window.seconds,
        tokens=window.tokens,
        peak_memory=_peak(work.processes.device),
        estimated_seconds=window.seconds * made.plan.total_steps,
        trainable=_count(work),
        micro_batch=loop.effective.micro_batch,
    )
    return step, evaluated


def _count(work: Work) -> int:
    return sum(parameter.numel() for parameter in work.tunable.trained.values())


def _probes(made: Draft, work: Work, forward: Forward) -> float:
    """Seconds of all answers to probes: the beginning of one, measured."""
    longest = made.settings[OutputOptions].probe_max_new_tokens
    if work.prober is None:
        return 0.0
    forward.train(False)
    tokens = min(longest, _PROBE_TOKENS)
    probes = work.data.probes
    prober = Prober(
        work.tunable.network,
        probes[:1],
        decode=work.base.tokenizer.decode,
        end_ids=frozenset(),
        stop=(),
        longest=tokens,
    )
    began = time.perf_counter()
    list(prober.answer(0))
    seconds = time.perf_counter() - began
    return seconds * longest / tokens * len(probes) * made.counts.looks


class _Measured:
    """The longest micro-batch of rows that lie ready."""

    def __init__(self, made: Draft, loop: RowLoop) -> None:
        self._made, self._work, self._objective = made, loop.work, loop.objective
        self._forward, self._processes = loop.forward, loop.work.processes
        self._optimizer = loop.work.optimizer
        self._rows = list(range(len(loop.work.rows)))

    def step(self) -> DryStep:
        _forget_peak(self._processes.device)
        backward, moving = self._update()
        if backward + moving < _QUICK_SECONDS:
            backward, moving = self._update()
        tokens = self._tokens
        return DryStep(
            seconds=backward + moving,
            tokens=tokens,
            peak_memory=_peak(self._processes.device),
            estimated_seconds=self._whole(backward / tokens, moving),
            trainable=_count(self._work),
            micro_batch=len(self._rows),
        )

    def reading(self) -> float:
        """Seconds of all rows that are read without a gradient: by evaluations, and once by DPO's reference."""
        made = self._made
        tokens = made.eval_tokens * made.plan.evaluations
        if made.stage == "dpo" and made.settings[PreferenceOptions].pref_loss not in WITHOUT_REFERENCE:
            tokens += int(made.rows.lengths.sum()) + made.eval_tokens
        if not tokens:
            return 0.0
        self._forward.train(False)
        began = time.perf_counter()
        with torch.no_grad(), self._processes.autocast():
            self._objective.measure(self._forward, self._work.rows, self._rows)
        self._wait()
        return (time.perf_counter() - began) / self._tokens * tokens / self._sharing

    @property
    def _tokens(self) -> int:
        return int(self._work.data.rows.lengths[self._rows].sum())

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
        scaler = self._processes.scaler
        with self._processes.autocast():
            measured = self._objective.measure(self._forward, self._work.rows, self._rows)
            loss = measured.sum / measured.units
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
