"""Runs as lines for people and as records for machines: lists, and all about one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.i18n import _, plural
from core.models.figures import size_text
from core.runs.catalog import called, run_name
from core.runs.events import (
    CheckpointSaved,
    RunFailed,
)
from core.runs.history import History
from core.runs.launch_file import Launch, QueuedRun, read_launch
from core.runs.quantities import TrainingStage, headline, stage_named
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, state_of
from core.runs.summary import RunSummary
from core.runs.told import clock
from core.untrusted import inert, inert_line
from core.workspace import Workspace
from tui.cli.event_lines import Teller, asked_line, beside_line, cut, data_line, evaluation_line, model_line, part_line

Row = tuple[str, ...]


def state_word(state: RunState) -> str:
    """A state as people read it."""
    words: dict[RunState, str] = {
        "queued": _("queued"),
        "running": _("running"),
        "finished": _("finished"),
        "stopped": _("stopped"),
        "failed": _("failed"),
        "lost": _("lost"),
    }
    return words[state]


# --- lists ------------------------------------------------------------------------------------------------------


def run_rows(summaries: Sequence[RunSummary], workspace: Workspace) -> Iterator[Row]:
    """A table's rows, its titles first. What stages are watched by has a column where there is any."""
    watched = any(_watched(summary) for summary in summaries)
    yield (
        *(_("RUN"), _("KIND"), _("STATE"), _("STEP"), _("LOSS"), _("EVAL")),
        *((_("WATCHED"),) if watched else ()),
        *(_("METHOD"), _("MODEL"), _("DATA"), _("STARTED")),
    )
    for summary in summaries:
        yield (
            inert_line(run_name(summary.run, workspace)),
            kind_word(summary.kind, summary.stage),
            _state_cell(summary),
            f"{summary.step}/{summary.total_steps}" if summary.total_steps else "",
            _number(summary.loss),
            _number(summary.eval_loss),
            *((_watched(summary),) if watched else ()),
            inert_line(summary.method),
            inert_line(cut(", ".join(summary.subjects) or summary.model.rpartition("/")[2], 28)),
            inert_line(cut(summary.dataset, 28)),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.launched)) if summary.launched else "",
        )


def _watched(summary: RunSummary) -> str:
    """`reward 1.29`, where the loss says little."""
    name = headline(summary.stage)
    return f"{name} {summary.metrics[name]:.4g}" if name in summary.metrics else ""


def kind_word(kind: str, stage: TrainingStage) -> str:
    """What a run does, as people read it: the stage of one that is not the ordinary training."""
    if kind == "train" and stage != "sft":
        return stage
    return {"train": _("train"), "evaluation": _("eval")}.get(kind) or inert_line(kind)


def _state_cell(summary: RunSummary) -> str:
    word = state_word(summary.state)
    if summary.state == "running" and summary.remaining:
        return f"{word}, {clock(summary.remaining)}"
    return word


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4f}"


def summary_record(summary: RunSummary, workspace: Workspace) -> dict[str, Any]:
    """A run for `--json`."""
    names = (
        "state",
        "kind",
        "stage",
        "model",
        "method",
        "subjects",
        "dataset",
        "launched",
        "step",
        "total_steps",
        "epoch",
        "loss",
    )
    more = ("eval_loss", "metrics", "elapsed", "remaining", "error")
    record: dict[str, Any] = {"name": run_name(summary.run, workspace), "path": str(summary.run.path)}
    values = {name: getattr(summary, name) for name in (*names, *more)}
    return record | {name: None if value != value else value for name, value in values.items()}


# --- one run ----------------------------------------------------------------------------------------------------


def fact_pairs(history: History, workspace: Workspace) -> list[tuple[str, str]]:
    """Everything known about a run, label and value."""
    run, launch = history.run, read_launch(history.run)
    stage = stage_named(launch.stage)
    pairs = [
        (_("run"), inert_line(run_name(run, workspace))),
        (_("folder"), inert_line(str(run.path))),
        (_("state"), _state_text(history)),
    ]
    if launch.time:
        pairs.append((_("started"), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(launch.time))))
    if stage != "sft":
        pairs.append((_("stage"), stage))
    pairs.append((_("model"), _model_text(history, launch)))
    if history.beside is not None:
        whole = history.beside.reward if called(history.beside.reward) != history.beside.reward else ""
        pairs += [(_("beside"), beside_line(history.beside)), (_("rewards from"), inert_line(whole))]
    pairs += [(_("data"), inert_line(", ".join(launch.datasets)))] if launch.datasets else []
    if history.data:
        rows = asked_line(history.data) if launch.kind == "evaluation" else data_line(history.data, stage)
        pairs.append((_("rows"), rows))
    pairs += list(_standing(history))
    pairs += [(_("step"), _queued_text(step)) for step in launch.steps]
    pairs += [(_("warning"), inert_line(warning.message)) for warning in history.warnings]
    pairs += [(_("checkpoint"), _checkpoint_text(saved)) for saved in history.checkpoints if saved.path != "."]
    return [(label, value) for label, value in pairs if value]


def _queued_text(step: QueuedRun) -> str:
    """`ppo: waits, stands on sft, rm`."""
    run = RunDirectory(Path(step.run))
    state = state_word(state_of(run)) if run.events.is_file() else _("waits")
    after = _("stands on {steps}").format(steps=", ".join(step.after)) if step.after else ""
    return inert_line(f"{step.name}: " + ", ".join(filter(None, (state, after))))


def _model_text(history: History, launch: Launch) -> str:
    if launch.subjects:
        return inert_line(", ".join(launch.subjects))
    return model_line(history.model) if history.model else inert_line(launch.model)


def _state_text(history: History) -> str:
    told = state_word(history.state)
    if history.queued is not None:
        return told + ": " + Teller().line(history.queued)
    if history.failed is not None:
        return inert_line(": ".join(filter(None, (told, history.failed.error))))
    return told


def _standing(history: History) -> Iterator[tuple[str, str]]:
    step = history.step
    if step is not None:
        yield (
            _("step"),
            _("{step} of {total}, epoch {epoch:.2f}").format(step=step.step, total=step.total_steps, epoch=step.epoch),
        )
        yield _("loss"), _number(step.loss)
        yield from ((name, f"{value:.4g}") for name, value in step.metrics.items())
        speed = _("{rows:.3g} rows/s, {tokens:.4g} tokens/s")
        yield _("speed"), speed.format(rows=step.rows_per_second, tokens=step.tokens_per_second)
        yield (
            _("time"),
            _("{elapsed} so far, {remaining} to go").format(
                elapsed=clock(step.elapsed), remaining=clock(step.remaining)
            ),
        )
        if step.memory:
            yield _("memory"), size_text(step.memory)
    yield from _answering(history)
    for evaluation in history.evaluations.values():
        yield _("evaluation"), evaluation_line(evaluation)


def _answering(history: History) -> Iterator[tuple[str, str]]:
    """How far an evaluation is."""
    event = history.answered
    if event is not None:
        told = _("{done} of {total}").format(done=f"{event.done:,}", total=f"{event.total:,}")
        failed = plural("{count} failed", "{count} failed", event.failed) if event.failed else ""
        yield _("answers"), ", ".join(filter(None, (told, failed)))
        times = _("{elapsed} so far, {remaining} to go")
        yield _("time"), times.format(elapsed=clock(event.elapsed), remaining=clock(event.remaining))
    for scored in history.scored.values():
        yield _("report"), part_line(scored)


def _checkpoint_text(saved: CheckpointSaved) -> str:
    told = inert_line(f"{saved.path}, {size_text(saved.bytes)}")
    return f"{told} ({_('the best')})" if saved.best else told


def failure_text(failed: RunFailed) -> str:
    """The end of the log of a run that failed, for below its error."""
    return inert(failed.log)
