"""A plan as lines of label and value, for the form and for the command."""

from __future__ import annotations

from collections.abc import Iterator

from core.config.stages import RowKind
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
    yield _rows(plan)
    if plan.eval_rows:
        yield _("evaluated on"), units_text(report.kind, plan.eval_rows)
    if report.cut_rows:
        cut = _("{count}: {turns} lost turns, {questions} a part of the question, {answers} of the answer")
        yield (
            _("cut rows") if report.kind == "answers" else _("cut"),
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


def units_text(kind: RowKind, count: int) -> str:
    """So many of what a stage learns from."""
    match kind:
        case "answers":
            return plural("{count} row", "{count} rows", count)
        case "pairs":
            return plural("{count} pair", "{count} pairs", count)
        case "prompts":
            return plural("{count} question", "{count} questions", count)


def _rows(plan: Plan) -> tuple[str, str]:
    report = plan.report
    values = {"rows": f"{plan.rows:,}", "tokens": f"{report.tokens:,}", "longest": report.longest}
    match report.kind:
        case "answers":
            told = _("{rows} to train on, {tokens} tokens, {trained} of them trained; the longest has {longest}")
            return _("rows"), told.format(trained=f"{report.trained_tokens:,}", **values)
        case "pairs":
            told = _(
                "{rows} of a better and a worse answer, {tokens} tokens; the longest answer ends at token {longest}"
            )
            return _("pairs"), told.format(**values)
        case "prompts":
            told = _("{rows}, {tokens} tokens; the longest has {longest}, an answer gets {answer} at most")
            return _("questions"), told.format(answer=plan.longest_answer, **values)


def _steps(plan: Plan) -> str:
    told = _("{steps} in {epochs} epochs: {updates}, {batches}, {rows}")
    values = {
        "steps": f"{plan.total_steps:,}",
        "epochs": f"{round(plan.epochs, 1 if plan.epochs >= 10 else 2):,}".removesuffix(".0"),
        "updates": plural("{count} update an epoch", "{count} updates an epoch", plan.updates_per_epoch),
    }
    if plan.report.kind == "prompts":
        told = _("{steps} in {epochs} epochs: {answers} a step, each learnt from {passes}")
        answers = plural("{count} answer", "{count} answers", plan.rows_per_update)
        return told.format(answers=answers, passes=plural("once", "{count} times", plan.passes), **values)
    each = (
        plural("{count} row an update", "{count} rows an update", plan.rows_per_update)
        if plan.report.kind == "answers"
        else plural("{count} pair an update", "{count} pairs an update", plan.rows_per_update)
    )
    return told.format(
        batches=plural("{count} batch", "{count} batches", plan.micro_batches_per_epoch), rows=each, **values
    )


def dry_pairs(dry: DryStep) -> Iterator[tuple[str, str]]:
    """What the longest batch came to, label and value."""
    told = _("{seconds:.2f} s for {tokens} tokens, {memory} at most")
    yield _("longest batch"), told.format(seconds=dry.seconds, tokens=dry.tokens, memory=size_text(dry.peak_memory))
    yield _("time"), _("about {time} for the whole training").format(time=clock(dry.estimated_seconds))
