"""A plan as lines of label and value, for the form and for the command."""

from __future__ import annotations

from collections.abc import Iterator

from core.i18n import _, plural
from core.models.figures import count_text, size_text
from core.runs.plan import DryStep, Plan
from core.runs.told import clock
from core.untrusted import inert_line


def plan_pairs(plan: Plan) -> Iterator[tuple[str, str]]:
    """A plan, label and value."""
    report, memory, disk = plan.report, plan.memory, plan.disk
    share = 100 * plan.trainable / max(1, plan.parameters)
    yield _("model"), inert_line(plan.model)
    trained = _("{method}: {trainable} of {parameters} parameters ({share:.2g} %)")
    yield (
        _("trained"),
        trained.format(
            method=plan.method,
            trainable=count_text(plan.trainable),
            parameters=count_text(plan.parameters),
            share=share,
        ),
    )
    rows = _("{rows} to train on, {tokens} tokens, {trained} of them trained; the longest has {longest}")
    yield (
        _("rows"),
        rows.format(
            rows=f"{plan.rows:,}",
            tokens=f"{report.tokens:,}",
            trained=f"{report.trained_tokens:,}",
            longest=report.longest,
        ),
    )
    if plan.eval_rows:
        yield _("evaluated on"), plural("{count} row", "{count} rows", plan.eval_rows)
    if report.cut_rows:
        cut = _("{count}: {turns} lost turns, {questions} a part of the question, {answers} of the answer")
        yield (
            _("cut rows"),
            cut.format(
                count=report.cut_rows,
                turns=report.cut_turns,
                questions=report.cut_questions,
                answers=report.cut_answers,
            ),
        )
    if report.left_out:
        reasons = ", ".join(f"{name} {count}" for name, count in report.left_out_reasons.items())
        yield _("left out"), inert_line(f"{report.left_out} ({reasons})")
    if plan.packs:
        yield _("packs"), f"{plan.packs:,}"
    yield _("steps"), _steps(plan)
    told = (
        plural("{count} point of the loss", "{count} points of the loss", plan.points),
        plural("{count} evaluation", "{count} evaluations", plan.evaluations),
        plural("{count} checkpoint", "{count} checkpoints", plan.checkpoints),
    )
    yield _("on the way"), ", ".join(told)
    used = memory.checkpointed_total if plan.gradient_checkpointing else memory.total
    free = _("{used} of {free} free on {device}") if memory.available else _("{used} on {device}")
    held = free.format(used=size_text(used), free=size_text(memory.available), device=memory.device)
    yield _("memory"), held + (_(", with gradient checkpointing") if plan.gradient_checkpointing else "")
    yield _("disk"), _("{used} of {free} free").format(used=size_text(disk.total), free=size_text(disk.free))


def _steps(plan: Plan) -> str:
    told = _("{steps} in {epochs} epochs: {updates}, {batches}, {rows}")
    return told.format(
        steps=f"{plan.total_steps:,}",
        epochs=f"{round(plan.epochs, 1 if plan.epochs >= 10 else 2):,}".removesuffix(".0"),
        updates=plural("{count} update an epoch", "{count} updates an epoch", plan.updates_per_epoch),
        batches=plural("{count} batch", "{count} batches", plan.micro_batches_per_epoch),
        rows=plural("{count} row an update", "{count} rows an update", plan.rows_per_update),
    )


def dry_pairs(dry: DryStep) -> Iterator[tuple[str, str]]:
    """What the longest batch came to, label and value."""
    told = _("{seconds:.2f} s for {tokens} tokens, {memory} at most")
    yield _("longest batch"), told.format(seconds=dry.seconds, tokens=dry.tokens, memory=size_text(dry.peak_memory))
    yield _("time"), _("about {time} for the whole training").format(time=clock(dry.estimated_seconds))
