"""Runs and what they tell, as lines for people and as records for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from core.i18n import _, plural
from core.models.figures import count_text, size_text
from core.runs.catalog import run_name
from core.runs.events import (
    CheckpointSaved,
    DataReady,
    Evaluation,
    Event,
    ModelReady,
    Queued,
    RunFailed,
    RunStarted,
    Sample,
    Stage,
    StageChanged,
    Step,
    Warned,
)
from core.runs.history import History
from core.runs.launch_file import read_launch
from core.runs.state import RunState
from core.runs.summary import RunSummary
from core.runs.told import clock, log_line
from core.untrusted import inert, inert_line
from core.workspace import Workspace

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


def stage_line(stage: Stage) -> str:
    """What a run is busy with; empty where the line would only be noise."""
    lines: dict[Stage, str] = {
        "importing": _("starting the engine"),
        "data": _("reading the data"),
        "loading": _("loading the model"),
        "trying": _("trying a step"),
    }
    return lines.get(stage, "")


class Teller:
    """Turns events into lines; keeps what a line needs of the events before."""

    def __init__(self) -> None:
        self._before: Step | None = None
        self._stage: Stage | None = None
        self.speed = 0.0
        """Updates a second, over the window of the last point."""

    def line(self, event: Event) -> str:
        """The line of an event, empty for what nobody has to read. The last word of a run is not told here."""
        match event:
            case RunStarted(segment=segment, resumed_from=checkpoint) if segment > 1:
                return _("goes on from {checkpoint}").format(checkpoint=inert_line(checkpoint))
            case Queued(device=device, holder=holder):
                told = _("waiting for {device}, which {holder} has")
                return told.format(device=inert_line(device), holder=inert_line(holder))
            case StageChanged(stage=stage):
                told, self._stage = stage_line(stage) if stage != self._stage else "", stage
                return told
            case DataReady():
                return data_line(event)
            case ModelReady():
                return model_line(event)
            case Step():
                return self._step(event)
            case Evaluation():
                return evaluation_line(event)
            case Sample(prompt=prompt, answer=answer, step=step):
                where = _("before") if step == 0 else _("step {step}").format(step=step)
                return inert_line(f"{where}: {_cut(prompt, 60)} → {_cut(answer, 120)}")
            case CheckpointSaved(path=path, bytes=size):
                return (
                    "" if path == "." else _("saved {path}, {size}").format(path=inert_line(path), size=size_text(size))
                )
            case Warned(message=message, hint=hint):
                return _("warning: {text}").format(text=inert_line(f"{message} ({hint})" if hint else message))
        return ""

    def _step(self, event: Step) -> str:
        before = self._before
        if before is not None and before.step < event.step and before.elapsed < event.elapsed:
            self.speed = (event.step - before.step) / (event.elapsed - before.elapsed)
        else:
            self.speed = event.step / event.elapsed if event.elapsed else 0.0
        self._before = event
        return log_line(event, self.speed)


def data_line(event: DataReady) -> str:
    """What became of the rows."""
    rows = plural("{count} row", "{count} rows", event.rows)
    told = _("{rows}, {tokens} tokens, {trained} of them trained, {steps}").format(
        rows=rows,
        tokens=f"{event.tokens:,}",
        trained=f"{event.trained_tokens:,}",
        steps=plural("{count} step", "{count} steps", event.total_steps),
    )
    more = [
        plural("{count} row is cut", "{count} rows are cut", event.cut_rows) if event.cut_rows else "",
        plural("{count} is left out", "{count} are left out", event.left_out_rows) if event.left_out_rows else "",
        plural("{count} to evaluate on", "{count} to evaluate on", event.eval_rows) if event.eval_rows else "",
    ]
    return "; ".join(filter(None, (told, *more)))


def model_line(event: ModelReady) -> str:
    """What is trained, and how."""
    told = _(
        "{model}: {parameters} parameters, {trainable} of them trained ({share:.2g} %) by {method}, {dtype} on {device}"
    )
    line = told.format(
        model=event.model,
        parameters=count_text(event.parameters),
        trainable=count_text(event.trainable),
        share=100 * event.trainable / max(1, event.parameters),
        method=event.method,
        dtype=event.dtype,
        device=event.device,
    )
    processes = plural("{count} process", "{count} processes", event.processes) if event.processes > 1 else ""
    return inert_line("; ".join(filter(None, (line, processes, *event.choices))))


def evaluation_line(event: Evaluation) -> str:
    """The metrics of an evaluation, by the names that files use."""
    prefix = f"eval_{event.dataset}_" if event.dataset else "eval_"
    metrics = ", ".join(f"{prefix}{name}: {value:.5g}" for name, value in event.metrics.items())
    told = _("step {step}: {metrics}").format(step=event.step, metrics=metrics)
    return inert_line(told + (f" ({_('the best so far')})" if event.best else ""))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# --- lists ------------------------------------------------------------------------------------------------------


def run_rows(summaries: Sequence[RunSummary], workspace: Workspace) -> Iterator[Row]:
    """A table's rows, its titles first."""
    yield _("RUN"), _("STATE"), _("STEP"), _("LOSS"), _("EVAL"), _("METHOD"), _("MODEL"), _("DATA"), _("STARTED")
    for summary in summaries:
        yield (
            inert_line(run_name(summary.run, workspace)),
            _state_cell(summary),
            f"{summary.step}/{summary.total_steps}" if summary.total_steps else "",
            _number(summary.loss),
            _number(summary.eval_loss),
            inert_line(summary.method),
            inert_line(_cut(summary.model.rpartition("/")[2], 28)),
            inert_line(_cut(summary.dataset, 28)),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.launched)) if summary.launched else "",
        )


def _state_cell(summary: RunSummary) -> str:
    word = state_word(summary.state)
    if summary.state == "running" and summary.remaining:
        return f"{word}, {clock(summary.remaining)}"
    return word


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4f}"


def summary_record(summary: RunSummary, workspace: Workspace) -> dict[str, Any]:
    """A run for `--json`."""
    names = ("state", "kind", "model", "method", "dataset", "launched", "step", "total_steps", "epoch", "loss")
    more = ("eval_loss", "elapsed", "remaining", "error")
    record: dict[str, Any] = {"name": run_name(summary.run, workspace), "path": str(summary.run.path)}
    values = {name: getattr(summary, name) for name in (*names, *more)}
    return record | {name: None if value != value else value for name, value in values.items()}


# --- one run ----------------------------------------------------------------------------------------------------


def fact_pairs(history: History, workspace: Workspace) -> list[tuple[str, str]]:
    """Everything known about a run, label and value."""
    run, launch = history.run, read_launch(history.run)
    pairs = [
        (_("run"), inert_line(run_name(run, workspace))),
        (_("folder"), inert_line(str(run.path))),
        (_("state"), _state_text(history)),
    ]
    if launch.time:
        pairs.append((_("started"), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(launch.time))))
    pairs += [(_("model"), model_line(history.model))] if history.model else [(_("model"), inert_line(launch.model))]
    pairs += [(_("data"), inert_line(", ".join(launch.datasets)))] if launch.datasets else []
    pairs += [(_("rows"), data_line(history.data))] if history.data else []
    pairs += list(_standing(history))
    pairs += [(_("warning"), inert_line(warning.message)) for warning in history.warnings]
    pairs += [(_("checkpoint"), _checkpoint_text(saved)) for saved in history.checkpoints if saved.path != "."]
    return [(label, value) for label, value in pairs if value]


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
    for evaluation in history.evaluations.values():
        yield _("evaluation"), evaluation_line(evaluation)


def _checkpoint_text(saved: CheckpointSaved) -> str:
    told = inert_line(f"{saved.path}, {size_text(saved.bytes)}")
    return f"{told} ({_('the best')})" if saved.best else told


def failure_text(failed: RunFailed) -> str:
    """The end of the log of a run that failed, for below its error."""
    return inert(failed.log)
