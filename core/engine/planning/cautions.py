"""What a plan warns of: settings that have cost people their runs, each beside its option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import OutputOptions
from core.engine.batches.order import Updates
from core.engine.batches.verdict import notices
from core.engine.planning.counts import Counts
from core.engine.template import Template
from core.errors import Problem
from core.i18n import _
from core.models.figures import size_text
from core.models.info import ModelInfo
from core.runs.plan import DiskEstimate, MemoryEstimate, TokenReport
from core.untrusted import inert_line

_CATASTROPHIC_RATE = 1e-2
_HIGH_RATES = {"full": 5e-4, "freeze": 3e-3, "lora": 3e-3, "p_tuning": _CATASTROPHIC_RATE}
_MANY_EPOCHS, _FEW_ROWS = 50, 100
_FEWEST_POINTS = 5


def of_steps(settings: Settings, updates: Updates, counts: Counts) -> Iterator[Problem]:
    """About batches, passes, and how often the run looks at itself."""
    options, output = settings[OptimizationOptions], settings[OutputOptions]
    yield from _of_rate(options.learning_rate, settings[FinetuningOptions])
    rows = len(updates.lengths)
    if counts.epochs > _MANY_EPOCHS and rows < _FEW_ROWS:
        what = _("{epochs:.0f} passes over {rows} rows learn them by heart").format(epochs=counts.epochs, rows=rows)
        option = "max_steps" if options.max_steps and options.max_steps > 0 else "num_train_epochs"
        yield Problem(option, what, _("watch the probe prompts for what is forgotten, or stop earlier"))
    if options.gradient_accumulation_steps > updates.micro_batches_per_epoch:
        what = _("{steps} batches for an update, and an epoch has only {batches}: every update is one whole epoch")
        hint = _("an update takes {rows} rows, not {meant}").format(rows=rows, meant=updates.rows_per_update)
        shown = what.format(steps=options.gradient_accumulation_steps, batches=updates.micro_batches_per_epoch)
        yield Problem("gradient_accumulation_steps", shown, hint)
    if output.save_strategy == "steps" and output.save_steps > counts.total_steps:
        what = _("{steps} is more than all {total} steps: nothing is saved on the way, only the end")
        shown = what.format(steps=output.save_steps, total=counts.total_steps)
        yield Problem("save_steps", shown, _("{steps} would save about five").format(steps=_fifth(counts.total_steps)))
    if counts.points < _FEWEST_POINTS <= counts.total_steps:
        what = _("the curve will have {points} points").format(points=counts.points)
        hint = _("{steps} would give about twenty").format(steps=max(1, counts.total_steps // 20))
        yield Problem("logging_steps", what, hint)
    if counts.total_steps <= options.warmup_steps and options.warmup_steps >= 1:
        what = _("{warmup:g} steps of warm-up, and {total} in all: the learning rate never gets to its highest")
        yield Problem("warmup_steps", what.format(warmup=options.warmup_steps, total=counts.total_steps))


def _of_rate(rate: float, method: FinetuningOptions) -> Iterator[Problem]:
    usual = _("1e-4 is usual for adapters, 1e-5 for whole models")
    kind = method.finetuning_type
    if rate >= _CATASTROPHIC_RATE and kind == "p_tuning" and method.prefix_projection:
        what = _("{rate:g} is high for a prefix with a projection, each weight of which moves all of it")
        yield Problem("learning_rate", what.format(rate=rate), _("1e-4 to 1e-3 is usual there"))
    elif rate >= _CATASTROPHIC_RATE:
        yield Problem("learning_rate", _("{rate:g} makes most models forget everything").format(rate=rate), usual)
    elif rate >= _HIGH_RATES[kind]:
        yield Problem("learning_rate", _("{rate:g} is high for {method}").format(rate=rate, method=kind), usual)


def of_sets(options: DataOptions, reports: Mapping[str, TokenReport]) -> Iterator[Problem]:
    """About evaluation sets: named twice over, with rows that are cut or left out."""
    for name, report in reports.items():
        for notice in notices(report):
            yield Problem("eval_dataset", f"{inert_line(name)}: {notice.what}", notice.hint)
    for name in options.eval_dataset:
        if name in options.dataset:
            what = _("{name} is trained on too: its loss says nothing about new rows").format(name=inert_line(name))
            yield Problem("eval_dataset", what, _("take another set, or val_size"))


def _fifth(steps: int) -> int:
    return max(1, steps // 5)


def of_model(settings: Settings, model: ModelInfo, template: Template, report: TokenReport) -> Iterator[Problem]:
    """About the template and the longest rows."""
    wanted = settings[BaseModelOptions].template
    own = template.tokenizer.chat_template
    if wanted in ("auto", "") and own is None and template.name == "default":
        what = _("{model} has no chat template: {template} is used").format(
            model=inert_line(model.name), template=template.name
        )
        yield Problem("template", what, _("right for base models; an instruct model wants the one it was made with"))
    elif own is not None and template.name not in ("tokenizer", "") and template.source != own:
        what = _("{model} has a chat template of its own, and {template} is used").format(
            model=inert_line(model.name), template=template.name
        )
        yield Problem("template", what, _("leave template out, unless the model is to learn the other one"))
    if template.answer_end and not template.end_ids:
        what = _("the end of an answer, {end}, is no token that this tokenizer knows").format(
            end=inert_line(template.answer_end)
        )
        yield Problem("template", what, _("the model has to learn it as a text; choose a template of its family"))
    if 0 < model.context_length < report.longest:
        what = _("the longest row has {longest} tokens, the model was made for {context}").format(
            longest=report.longest, context=model.context_length
        )
        yield Problem("cutoff_len", what, _("lower it to {context}").format(context=model.context_length))
    yield from notices(report)


def of_room(
    settings: Settings, memory: MemoryEstimate, disk: DiskEstimate, gradient_checkpointing: bool
) -> Iterator[Problem]:
    """About memory and disk."""
    needed = memory.checkpointed_total if gradient_checkpointing else memory.total
    if memory.available and needed > memory.available:
        what = _("about {needed} are needed, {device} has {free} free").format(
            needed=size_text(needed), device=inert_line(memory.device), free=size_text(memory.available)
        )
        hint = _("lower it and raise gradient_accumulation_steps, or lower cutoff_len; quantization_bit 4 helps too")
        yield Problem("per_device_train_batch_size", what, hint)
    elif gradient_checkpointing and settings[OptimizationOptions].gradient_checkpointing == "auto":
        what = _("memory is short: layers are computed twice, which takes about a third more time")
        yield Problem("gradient_checkpointing", what, _("a smaller per_device_train_batch_size may be faster"))
    if disk.total > disk.free:
        what = _("the run writes about {needed}, the disk has {free} free").format(
            needed=size_text(disk.total), free=size_text(disk.free)
        )
        yield Problem("save_total_limit", what, _("keep fewer checkpoints, or raise save_steps"))


def of_packing(settings: Settings, updates: Updates) -> Iterator[Problem]:
    """About packs that hold more rows than anybody thought."""
    if settings[DataOptions].packing and updates.per_epoch < _FEWEST_POINTS:
        what = _("{rows} rows make {packs} packs: {updates} updates an epoch").format(
            rows=len(updates.lengths), packs=len(updates.packs), updates=updates.per_epoch
        )
        yield Problem("packing", what, _("leave it out for few rows, or lower cutoff_len"))
