"""From a run's folder to a training that is ready: what options leave open is decided here, and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions, OutputOptions
from core.config.ppo import PPOOptions
from core.engine.batches.order import Updates, updates_of
from core.engine.batches.verdict import notices
from core.engine.control import Control
from core.engine.forward.choose import Forward, choose_forward
from core.engine.load import choose_device
from core.engine.planning.memory import needs_checkpointing
from core.engine.training.checkpoint import read_state
from core.engine.training.data import Data, open_data
from core.engine.training.journal import Journal
from core.engine.training.judge import Judge, make_judge
from core.engine.training.optim import build_optimizer
from core.engine.training.probes import Prober
from core.engine.training.processes import Precision, Processes, local_processes, local_rank
from core.engine.training.progress import Effective, TrainerState
from core.engine.training.random_state import seed_all
from core.engine.training.schedule import build_schedule
from core.engine.training.work import Work
from core.engine.tuning.headed import freeze_output_head, with_head
from core.engine.tuning.prepare import TrainingBase, describe_base, load_for_training, prepare
from core.engine.tuning.tunable import Tunable
from core.errors import UsageError
from core.hardware import free_physical_cores
from core.i18n import _
from core.models.adapters import resolve_adapter
from core.models.catalog import resolve_model
from core.runs.events import DataReady, ModelReady
from core.runs.plan import TokenReport
from core.runs.rundir import RunDirectory
from core.untrusted import inert_line
from core.workspace import Workspace

_SECONDS_BETWEEN_WORDS = 0.5
_PRODUCTS_PER_SECOND = 75e9
"""Of one CPU thread in float32."""
_WORTH_COMPILING_SECONDS = 1800


@dataclass(frozen=True)
class Start:
    """A run that is about to be trained, or to go on."""

    run: RunDirectory
    settings: Settings
    workspace: Workspace
    journal: Journal
    control: Control
    resumed_from: Path | None = None

    @property
    def optimization(self) -> OptimizationOptions:
        return self.settings[OptimizationOptions]


@dataclass(frozen=True)
class Decided:
    """What is known before any weights are loaded."""

    processes: Processes
    folder: Path
    """Of the base model."""
    data: Data
    updates: Updates
    total_steps: int
    checkpointing: bool
    """Whether the backward pass computes again instead of keeping."""
    judge: Judge
    state: TrainerState | None
    """Of the checkpoint that is gone on from."""

    @property
    def steps_left(self) -> int:
        return self.total_steps - (self.state.progress.step if self.state else 0)


# --- before the weights -----------------------------------------------------------------------------------------


def decide(start: Start) -> Decided:
    """Read the data and count the steps.

    Raises:
        FinetuiError: data, options or checkpoint cannot be used.
    """
    settings, options, journal = start.settings, start.optimization, start.journal
    state = read_state(start.resumed_from) if start.resumed_from else None
    device = _device(settings[BaseModelOptions].device)
    processes = Processes(device, _precision(start, device), settings[LaunchOptions].ddp_timeout)
    torch.set_num_threads(_threads(settings[BaseModelOptions], state))
    folder = resolve_model(settings[BaseModelOptions].model_name_or_path, start.workspace).path
    journal.stage("data")
    data = _open_data_in_turn(start, folder, processes)
    updates = updates_of(settings, data.rows.lengths, world=processes.world, rank=processes.rank)
    total = updates.total(options.num_train_epochs, options.max_steps)
    journal.files.stage = settings[FinetuningOptions].stage
    journal.files.settings = _trainer_settings(settings, updates, total)
    journal.tell(_data_ready(data, updates, total))
    _tell_of_rows(journal, data.report)
    for name, report in data.evaluation_reports:
        _tell_of_rows(journal, report, name)
    judge = make_judge(settings, [one.name for one in data.evaluation_sets])
    (checkpointing,) = processes.agree(needs_checkpointing(settings, folder, updates, data.rows.projected, str(device)))
    return Decided(processes, folder, data, updates, total, checkpointing, judge, state)


def _device(name: str) -> torch.device:
    """A device of this process's own, where several processes run on several."""
    device = choose_device(name)
    if device.type != "cuda":
        return device
    device = torch.device("cuda", local_rank() if local_processes() > 1 else device.index or 0)
    torch.cuda.set_device(device)
    return device


def _precision(start: Start, device: torch.device) -> Precision:
    options = start.optimization
    if options.fp16 and device.type == "cpu":
        what = _("fp16 needs a GPU: dtype decides what is computed in")
        if start.settings[LaunchOptions].strict:
            raise UsageError(_("fp16 needs a GPU"), _("leave it out, or leave --strict out"))
        start.journal.warn(what, _("leave fp16 out, or give bf16"))
        return "no"
    return "fp16" if options.fp16 else "bf16" if options.bf16 else "no"


def _threads(options: BaseModelOptions, state: TrainerState | None) -> int:
    """As many as the checkpoint was trained with: sums over other numbers of threads differ in their last bits."""
    if state is not None:
        return state.effective.threads
    return options.threads or max(1, free_physical_cores() // local_processes())


def _open_data_in_turn(start: Start, folder: Path, processes: Processes) -> Data:
    """The first process makes what the others find in the cache."""

    def opened() -> Data:
        return open_data(start.settings, folder, start.workspace, _told_in_steps(start.journal))

    if processes.is_main:
        data = opened()
        processes.wait()
        return data
    processes.wait()
    return opened()


def _told_in_steps(journal: Journal, seconds: float = _SECONDS_BETWEEN_WORDS) -> Callable[[float], None]:
    last = [time.monotonic()]

    def told(fraction: float) -> None:
        if time.monotonic() - last[0] >= seconds:
            last[0] = time.monotonic()
            journal.stage("data", round(fraction, 3))

    return told


def _trainer_settings(settings: Settings, updates: Updates, total: int) -> dict[str, object]:
    """The options that `trainer_state.json` has."""
    output, options = settings[OutputOptions], settings[OptimizationOptions]
    return {
        "eval_steps": output.eval_steps or output.save_steps,
        "logging_steps": output.logging_steps,
        "max_steps": total,
        "num_train_epochs": -(-total // updates.per_epoch),
        "save_steps": output.save_steps,
        "train_batch_size": options.per_device_train_batch_size,
    }


def _data_ready(data: Data, updates: Updates, total: int) -> DataReady:
    return DataReady(
        time=time.time(),
        rows=len(data.rows),
        tokens=int(data.rows.lengths.sum()),
        trained_tokens=int(data.rows.projected.sum()),
        eval_rows=data.evaluation_rows,
        cut_rows=data.report.cut_rows,
        left_out_rows=data.report.left_out,
        total_steps=total,
        steps_per_epoch=float(updates.per_epoch),
    )


def _tell_of_rows(journal: Journal, report: TokenReport, dataset: str = "") -> None:
    """Nothing is cut or left out in silence, in evaluation sets neither."""
    for notice in notices(report):
        journal.warn(f"{inert_line(dataset)}: {notice.what}" if dataset else notice.what, notice.hint)


# --- with the weights -------------------------------------------------------------------------------------------


def assemble(start: Start, decided: Decided) -> Work:
    """Load the model, choose what is trained of it, and put everything together.

    Raises:
        FinetuiError: the model cannot be loaded, or has not what the options name.
    """
    settings, options, journal = start.settings, start.optimization, start.journal
    journal.stage("loading")
    model = settings[BaseModelOptions].model_copy(update={"model_name_or_path": str(decided.folder)})
    device, dtype = decided.processes.device, _dtype_then(decided.state)
    base = load_for_training(model, settings[FinetuningOptions], options, device=device, dtype=dtype)
    loaded = str(base.network.dtype).removeprefix("torch.")
    base = replace(base, template=decided.data.template)
    tunable = _tunable(start, base)
    tunable = _headed(start, base, tunable)
    for message in (*base.warnings, *tunable.warnings):
        journal.warn(message)
    if tunable.pads and not decided.updates.grouped:
        decided = replace(decided, updates=replace(decided.updates, grouped=True))
    optimizer = build_optimizer(tunable.groups(), options)
    effective = _effective(start, decided, tunable, loaded)
    return Work(
        run=start.run,
        settings=settings,
        workspace=start.workspace,
        base=base,
        tunable=tunable,
        make_forward=_forward_maker(tunable, options, effective),
        effective=effective,
        optimizer=optimizer,
        schedule=build_schedule(optimizer, options, decided.total_steps),
        data=decided.data,
        trained_tokens=int(decided.data.rows.projected.sum()),
        updates=decided.updates,
        total_steps=decided.total_steps,
        judge=decided.judge,
        prober=_prober(settings, decided.data, base, tunable),
        processes=decided.processes,
        journal=journal,
        control=start.control,
        resumed_from=start.resumed_from,
    )


def _dtype_then(state: TrainerState | None) -> torch.dtype | None:
    """The format of the weights that a checkpoint was trained with, also where this CPU would choose another."""
    return getattr(torch, state.effective.dtype) if state is not None and state.effective.dtype else None


def _tunable(start: Start, base: TrainingBase) -> Tunable:
    finetuning = start.settings[FinetuningOptions]
    adapters = [resolve_adapter(name, start.workspace).path for name in finetuning.adapter_name_or_path]
    seed_all(start.optimization.seed)  # factors and prefixes begin at random
    notes = describe_base(base, start.settings[DataOptions])
    return prepare(base, finetuning, start.optimization, adapters, notes)


def _headed(start: Start, base: TrainingBase, tunable: Tunable) -> Tunable:
    """With a value head, where a stage learns numbers; the head that is gone on from, where there is one."""
    stage = start.settings[FinetuningOptions].stage
    if stage not in ("rm", "ppo"):
        return tunable
    if stage == "rm":
        freeze_output_head(tunable)
    rate = start.settings[PPOOptions].ppo_value_learning_rate if stage == "ppo" else None
    adapters = start.settings[FinetuningOptions].adapter_name_or_path
    gone_on = resolve_adapter(adapters[-1], start.workspace).path if adapters else base.folder
    return with_head(tunable, base, learning_rate=rate, at_random=stage == "rm", goes_on_from=gone_on)


def _effective(start: Start, decided: Decided, tunable: Tunable, dtype: str) -> Effective:
    """What the checkpoint was trained with, or what this machine asks for."""
    options = start.optimization
    if decided.state is not None:
        then = decided.state.effective
        return replace(then, micro_batch=min(then.micro_batch, options.per_device_train_batch_size))
    return Effective(
        threads=torch.get_num_threads(),
        micro_batch=options.per_device_train_batch_size,
        checkpointing=decided.checkpointing,
        compiled=_compiles(options, decided, tunable),
        processes=decided.processes.world,
        dtype=dtype,
    )


def _compiles(options: OptimizationOptions, decided: Decided, tunable: Tunable) -> bool:
    """Whether layers are compiled: where nobody says, on one thread of a CPU, for a run that gets the time back.

    Seen there: a fifth faster, for half a minute's work; nothing on two threads. Nobody has measured it on a GPU.
    """
    if options.torch_compile != "auto":
        return options.torch_compile == "true"
    if decided.processes.device.type != "cpu" or torch.get_num_threads() > 1 or decided.checkpointing:
        return False
    tokens = decided.data.rows.lengths.sum() * decided.updates.epoch_after(decided.total_steps)
    return bool(6 * tunable.parameters * tokens / _PRODUCTS_PER_SECOND > _WORTH_COMPILING_SECONDS)


def _forward_maker(tunable: Tunable, options: OptimizationOptions, effective: Effective) -> Callable[[bool], Forward]:
    def make(checkpointing: bool) -> Forward:
        return choose_forward(tunable, options=options, checkpointing=checkpointing, compile=effective.compiled)

    return make


def _prober(settings: Settings, data: Data, base: TrainingBase, tunable: Tunable) -> Prober | None:
    output = settings[OutputOptions]
    if not data.probes or settings[FinetuningOptions].stage == "rm":  # which learns to judge answers, not to give them
        return None
    return Prober(
        tunable.network,
        data.probes,
        decode=base.tokenizer.decode,
        end_ids=base.end_ids,
        stop=data.template.stop,
        longest=output.probe_max_new_tokens,
    )


def model_ready(work: Work, forward: Forward, base_name: str) -> ModelReady:
    """What was loaded and decided, for the run's record."""
    effective, network = work.effective, work.tunable.network
    choices = list(forward.choices)
    if effective.checkpointing:
        choices.append(_("gradient checkpointing"))
    if work.processes.device.type == "cpu" and network.dtype is torch.bfloat16:
        choices.append(_("weights in bfloat16 (dtype float32 for the other)"))
    return ModelReady(
        time=time.time(),
        model=base_name,
        method=work.tunable.method,
        parameters=work.tunable.parameters,
        trainable=sum(parameter.numel() for parameter in work.tunable.trained.values()),
        dtype=str(network.dtype).removeprefix("torch."),
        device=str(work.processes.device),
        processes=work.processes.world,
        threads=effective.threads,
        choices=tuple(choices),
    )
