"""A run in the list and in the facts pane: texts, from what is known about it.

A state is a mark and a word before it is a colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from textual.content import Content

from core.i18n import _, plural
from core.models.figures import count_text, size_text
from core.runs.catalog import called
from core.runs.events import Answered, ModelReady
from core.runs.history import History
from core.runs.quantities import headline
from core.runs.state import RunState
from core.untrusted import inert, inert_line
from tui.charts.axes import number_text
from tui.curve_plots import word
from tui.run_watcher import Watched
from tui.series import sparkline

MARKS: dict[RunState, tuple[str, str]] = {
    "queued": ("⋯", "$text-warning"),
    "running": ("▸", "$text-primary"),
    "finished": ("✓", "$text-success"),
    "stopped": ("▪", "$text-warning"),
    "failed": ("✗", "$text-error"),
    "lost": ("?", "$text-error"),
}
STATES: dict[RunState, str] = {
    "queued": _("queued"),
    "running": _("running"),
    "finished": _("finished"),
    "stopped": _("stopped"),
    "failed": _("failed"),
    "lost": _("lost"),
}
STAGES = {
    "importing": _("starting the engine"),
    "data": _("reading the data"),
    "loading": _("loading the model"),
    "reference": _("asking the reference"),
    "trying": _("trying the longest batch"),
    "training": _("training"),
    "evaluating": _("evaluating"),
    "answering": _("answering"),
    "scoring": _("scoring answers"),
    "saving": _("saving"),
    "ending": _("ending"),
}
_STRIP, _SHORTEST_STRIP = 12, 4
ROWS = 2
"""The lines of a run in the list."""


def duration_text(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05`, `2 d 4 h`."""
    minutes = int(seconds // 60)
    if seconds < 90:
        return _("{n} s").format(n=round(seconds))
    if minutes < 90:
        return _("{n} min").format(n=minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("{hours} h {minutes:02}").format(hours=hours, minutes=minutes)
    return _("{days} d {hours} h").format(days=hours // 24, hours=hours % 24)


def percent(watched: Watched) -> str:
    progress = watched.progress
    return "" if progress is None or watched.state == "finished" else f"{progress:.0%}"


def strip(watched: Watched, width: int = _STRIP) -> str:
    """What it is about so far, as a strip of bars: the loss, of a policy the reward."""
    curve = watched.history.curves.get(headline(watched.stage)) if watched.history is not None else None
    return sparkline(curve.slices, width) if curve else ""


def row_content(watched: Watched, letter: str, width: int) -> Content:
    """Two lines that are exactly as wide as asked: what it is called and how far it is, how it goes and what comes."""
    mark, colour = MARKS[watched.state]
    right = percent(watched)
    room = max(1, width - 4 - cell_len(right) - 1)
    name = Content.styled(inert_line(watched.name), "bold" if watched.active else "").truncate(room, ellipsis=True)
    gap = " " * (room - name.cell_length + 1)
    first = Content.assemble((f"{letter or ' '} ", "bold"), (mark + " ", colour), name, gap, right)
    told = _second(watched)
    cells = min(_STRIP, width - 4 - cell_len(told) - 2)
    bars = strip(watched, cells) if cells >= _SHORTEST_STRIP else ""
    text = Content(told).truncate(max(1, width - 4 - (len(bars) + 1 if bars else 0)), ellipsis=True)
    filled = width - 4 - len(bars) - text.cell_length
    second = Content.assemble("    ", (bars, colour), " " * max(0, filled), text.stylize("$muted"))
    return Content("\n").join([first, second])


def _second(watched: Watched) -> str:
    history, summary = watched.history, watched.summary
    if watched.is_pipeline and watched.state in ("finished", "stopped"):
        return _("pipeline, {done} of {total} steps").format(done=summary.step, total=len(summary.steps))
    if watched.is_pipeline and watched.state in ("failed", "lost"):
        told = inert_line(summary.error) if watched.state == "failed" else ""
        return _("pipeline: {error}").format(error=told or STATES[watched.state])
    match watched.state:
        case "queued":
            holder = history.queued.holder if history and history.queued else ""
            return _("waits for {name}").format(name=inert_line(Path(holder).name)) if holder else _("waits")
        case "running":
            return running_text(watched)
        case "failed":
            return inert_line(summary.error) or _("failed")
        case "lost":
            return _("lost")
        case _ended:
            return _number(watched) or STATES[watched.state]


def _number(watched: Watched) -> str:
    """`loss 0.5`, `reward 1.2`."""
    name = headline(watched.stage)
    value, step = watched.summary.loss, watched.history.step if watched.history is not None else None
    if step is not None:
        value = step.loss if name == "loss" else step.metrics.get(name)
    elif name != "loss":
        value = None
    return f"{word(watched.stage, name)} {number_text(value)}" if value is not None else ""


def running_text(watched: Watched) -> str:
    """What a run that goes on is busy with, and for how long yet."""
    history = watched.history
    if history is None:
        return ""
    if history.moved is not None:
        moved = history.moved
        told = _("pipeline, {number} of {total}: {step}")
        number = moved.done + (moved.move not in ("finished", "kept"))  # those are counted already
        return told.format(step=inert_line(moved.step), number=min(max(1, number), moved.total), total=moved.total)
    if history.answered is not None:
        return _("{time} left").format(time=duration_text(history.answered.remaining))
    stage = history.stage.stage if history.stage else "importing"
    if history.step is None or stage in ("data", "loading", "importing", "trying"):
        share = history.stage.fraction if history.stage else None
        return STAGES[stage] + (f" {share:.0%}" if share is not None else "")
    left = duration_text(history.step.remaining)
    value = _number(watched)
    return f"{value.rpartition(' ')[2] if watched.stage == 'sft' else value}  {left}"


# --- what is told beside the curves -----------------------------------------------------------------------------


def progress_line(watched: Watched, width: int) -> Content:
    """The run's name, a bar, and when it will be done."""
    mark, colour = MARKS[watched.state]
    history = watched.history
    stage = history.stage.stage if history is not None and history.stage is not None else None
    facts: list[str] = [STATES[watched.state]]
    if watched.state == "running" and stage is not None:
        facts = [] if stage == "training" and history and history.step else [STAGES[stage]]
    if history is not None and history.answered is not None:
        facts += _answers_told(history.answered, active=watched.active)
    elif history is not None and history.step is not None:
        facts.append(_("step {n}/{total}").format(n=history.step.step, total=history.total_steps))
        if watched.active:
            facts.append(_("{time} left").format(time=duration_text(history.step.remaining)))
    progress = watched.progress
    cells = 16 if width >= 70 else 8
    bar: tuple[Any, ...] = ()
    if progress is not None and watched.state != "finished":
        filled = round(min(progress, 1.0) * cells)
        bar = (("━" * filled, "$text-primary"), ("─" * (cells - filled), "$muted"), f" {progress:4.0%}  ")
    told = Content.assemble("  ", *bar, " · ".join(facts))
    room = max(8, width - 2 - told.cell_length)
    name = Content.styled(inert_line(watched.name), "bold").truncate(room, ellipsis=True)
    text = Content.assemble((mark + " ", colour), name, told)
    return text.truncate(max(1, width), ellipsis=True)


def _answers_told(answered: Answered, *, active: bool) -> Iterator[str]:
    yield _("{done}/{total} answers").format(done=answered.done, total=answered.total)
    if answered.failed:
        yield plural("{count} failed", "{count} failed", answered.failed)
    if active and answered.rows_per_second:  # before the first answer there is no speed, and no end in sight
        yield _("{n} rows/s").format(n=number_text(answered.rows_per_second))
        yield _("{time} left").format(time=duration_text(answered.remaining))


def facts(watched: Watched, width: int, tested: Sequence[tuple[str, str]] = ()) -> Content:
    """Everything known about a run.

    Args:
        tested: what evaluations of it found, by test set.
    """
    history = watched.history
    lines = [_heading(watched)]
    if history is not None and history.failed is not None and watched.state == "failed":
        lines.append(Content.styled(inert(history.failed.error), "$text-error"))
        if history.failed.hint:
            lines.append(Content(inert(history.failed.hint)))
    elif watched.summary.error and watched.state == "failed":
        lines.append(Content.styled(inert(watched.summary.error), "$text-error"))
    for group in (list(tested), *_groups(watched, history)):
        pairs = [(label, value) for label, value in group if value]
        if pairs:
            lines += [Content(""), *_table(pairs, width)]
    if history is not None and history.warnings:
        lines.append(Content(""))
        for warning in history.warnings[-12:]:
            lines.append(Content.assemble(("! ", "bold $text-warning"), inert_line(warning.message)))
            if warning.hint:
                lines.append(Content.styled("  " + inert_line(warning.hint), "$muted"))
    return Content("\n").join(lines)


def _heading(watched: Watched) -> Content:
    mark, colour = MARKS[watched.state]
    return Content.assemble((f"{mark} {STATES[watched.state]}", f"bold {colour}"))


def _table(pairs: list[tuple[str, str]], width: int) -> Iterator[Content]:
    label_width = min(13, max(cell_len(label) for label, _value in pairs)) + 1
    for label, value in pairs:
        yield Content.assemble((label + " " * max(1, label_width - cell_len(label)), "$muted"), inert_line(value))


def _groups(watched: Watched, history: History | None) -> Iterator[list[tuple[str, str]]]:
    summary = watched.summary
    if history is None:
        yield [(_("model"), summary.model), (_("method"), summary.method), (_("data"), summary.dataset)]
        return
    if history.answered is not None:
        yield from _answer_groups(history.answered, active=watched.active)
    step = history.step
    if step is not None:
        yield [
            (_("step"), f"{step.step}/{history.total_steps}"),
            (_("epoch"), f"{step.epoch:.2f}"),
            (_("loss"), number_text(step.loss)),
            *_eval_losses(history),
            (_("grad norm"), number_text(step.grad_norm)),
            (_("learning rate"), number_text(step.learning_rate)),
        ]
        yield [
            (_("elapsed"), duration_text(step.elapsed)),
            (_("left"), duration_text(step.remaining) if watched.active else ""),
            (_("tokens/s"), number_text(step.tokens_per_second)),
            (_("rows/s"), number_text(step.rows_per_second)),
            (_("memory"), size_text(step.memory) if step.memory else ""),
        ]
    model, data = history.model, history.data
    yield [
        (_("model"), model.model if model else summary.model),
        (_("method"), model.method if model else summary.method),
        (_("trained"), _trained(model) if model and model.trainable else ""),
        (_("numbers"), f"{model.dtype}, {model.device}" if model else ""),
        (_("processes"), str(model.processes) if model and model.processes > 1 else ""),
    ]
    yield _beside(watched, history)
    yield [
        (_("data"), summary.dataset),
        (_("rows"), f"{data.rows:,}" if data else ""),
        (_("tokens"), f"{data.tokens:,}" if data else ""),
        (_("trained on"), f"{data.trained_tokens:,}" if data and data.trained_tokens else ""),
        (_("eval rows"), f"{data.eval_rows:,}" if data and data.eval_rows else ""),
        (_("cut"), f"{data.cut_rows:,}" if data and data.cut_rows else ""),
        (_("left out"), f"{data.left_out_rows:,}" if data and data.left_out_rows else ""),
    ]
    if model and model.choices:
        yield [("·", choice) for choice in model.choices]
    yield [(_("folder"), str(watched.run.path))]


def _beside(watched: Watched, history: History) -> list[tuple[str, str]]:
    """The stage, and the models that it needs besides the one it trains."""
    beside = history.beside
    if watched.stage == "sft" and beside is None:
        return []
    told: list[tuple[str, str]] = [(_("stage"), watched.stage)]
    if beside is not None and beside.reference:
        as_it_was = _("{name}, as it was at the start") if beside.is_start else "{name}"
        told.append((_("held against"), as_it_was.format(name=beside.reference)))
        told.append((_("its weights"), beside.reference_sha256[:12]))
    if beside is not None and beside.reward:
        told.append((_("rewards from"), f"{called(beside.reward)} ({beside.reward_kind})"))
    return told


def _trained(model: ModelReady) -> str:
    return f"{count_text(model.trainable)} ({model.trainable / model.parameters:.2%})"


def _answer_groups(answered: Answered, *, active: bool) -> Iterator[list[tuple[str, str]]]:
    yield [
        (_("part"), answered.part),
        (_("of it"), f"{answered.part_done}/{answered.part_total}"),
        (_("answers"), f"{answered.done}/{answered.total}"),
        (_("failed"), str(answered.failed) if answered.failed else ""),
        *((name, number_text(value)) for name, value in answered.metrics.items()),
    ]
    yield [
        (_("elapsed"), duration_text(answered.elapsed)),
        (_("left"), duration_text(answered.remaining) if active else ""),
        (_("rows/s"), number_text(answered.rows_per_second)),
        (_("tokens/s"), number_text(answered.tokens_per_second)),
        (_("memory"), size_text(answered.memory) if answered.memory else ""),
    ]


def _eval_losses(history: History) -> list[tuple[str, str]]:
    curve = history.curves.get("eval_loss")
    if curve is None or not len(curve):
        return []
    best = min((point.mean for point in curve.slices), default=curve.last)
    return [(_("eval loss"), number_text(curve.last)), (_("best"), number_text(best))]
