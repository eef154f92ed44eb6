"""A pipeline's steps as lines: what they do, what they stand on, how far they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.fields import describe, shown
from core.config.pipeline import SECTIONS, Pipeline, PipelineStep
from core.i18n import _
from core.runs.events import Step
from core.runs.history import History
from core.runs.launch_file import Caution
from core.runs.quantities import QUANTITIES, headline, stage_named
from core.runs.rundir import RunDirectory
from core.runs.state import RunState
from core.runs.told import answer_rate, clock
from core.untrusted import inert_line
from tui.cli.event_lines import cut, stage_line
from tui.cli.model_tables import table
from tui.cli.run_lines import state_word

if TYPE_CHECKING:
    from core.launch.pipeline.plan import PipelinePlan, What

Row = tuple[str, ...]
_VALUE_CHARACTERS = 48
_MARKS: Mapping[RunState | None, str] = {
    None: "·",
    "queued": "…",
    "running": "▸",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "lost": "✗",
}


def pipeline_lines(pipeline: Pipeline, runs: Mapping[str, History | None]) -> Iterator[str]:
    """A line for each step: how far it is, and what it waits for.

    Args:
        runs: what each step's run has told; None for one that has none yet.
    """
    rows = [(_("STEP"), _("WHAT"), _("STATE"), _("PROGRESS"), _("STANDS ON"))]
    for step in pipeline.steps:
        history = runs.get(step.name)
        state = history.state if history is not None else None
        word = state_word(state) if state is not None else _("waits")
        progress = progress_text(history) if history is not None else ""
        rows.append((f"{_MARKS[state]} {step.name}", what_text(step), word, progress, ", ".join(_named(step))))
    return table(rows)


def what_text(step: PipelineStep) -> str:
    """`train ppo by lora`, or `eval`."""
    if step.verb == "eval":
        return _("eval")
    told = _("train {stage} by {method}")
    return told.format(stage=step.values["stage"], method=step.values["finetuning_type"])


def stands_on(step: PipelineStep) -> str:
    """`sft (adapter_name_or_path), rm (reward_model)`."""
    return ", ".join(f"{name} ({', '.join(options)})" for name, options in _named(step).items())


def _named(step: PipelineStep) -> dict[str, list[str]]:
    """What it stands on, checkpoints told apart, and the options that name it."""
    named: dict[str, list[str]] = {}
    for reference in step.references:
        at = f"@{reference.checkpoint}" if reference.checkpoint is not None else ""
        options = named.setdefault(reference.step + at, [])
        if reference.option not in options:
            options.append(reference.option)
    return named


def progress_text(history: History) -> str:
    """`120/200, reward 1.25, KL 3.1, ETA 00:01:20`."""
    active = history.state in ("running", "queued")
    answered, point = history.answered, history.step
    if answered is not None:
        parts = [f"{answered.done}/{answered.total}"]
        if active and answer_rate(answered):
            parts.append(_("ETA {eta}").format(eta=clock(answered.remaining)))
        return ", ".join(parts)
    if point is None:
        return stage_line(history.stage.stage) if active and history.stage is not None else ""
    parts = [f"{point.step}/{point.total_steps}", *_numbers(point)]
    if active:
        parts.append(_("ETA {eta}").format(eta=clock(point.remaining)))
    elif history.state == "finished":
        parts.append(clock(point.elapsed))
    return ", ".join(parts)


def _numbers(point: Step) -> Iterator[str]:
    """The loss, or what leads in the stage that tells such numbers."""
    stage = next((name for name in ("ppo", "dpo", "rm") if headline(name) in point.metrics), stage_named("sft"))
    leading = [one for one in QUANTITIES[stage] if one.leads and one.name in point.metrics][:2]
    if stage != "ppo":
        yield _("loss {loss:.4f}").format(loss=point.loss)
    for one in leading:
        yield f"{_(one.label)} {point.metrics[one.name]:.3g}"


def ways_on(run: RunDirectory) -> str:
    """How to see and to stop a pipeline, as commands."""
    told = _("see it: finetui pipeline {name}   stop it: finetui pipeline {name} --stop")
    return told.format(name=inert_line(run.name))


# --- plans ------------------------------------------------------------------------------------------------------


def plan_lines(plan: PipelinePlan) -> Iterator[str]:
    """The graph, and then the options that are not at their defaults: those that all steps share, and each step's."""
    rows = [(_("STEP"), _("WHAT"), _("NOW"), _("RUN"), _("STANDS ON"))]
    for planned in plan.steps:
        step, run = planned.step, planned.standing.run
        rows.append(
            (step.name, what_text(step), _what_word(planned.what), inert_line(run.name), inert_line(stands_on(step)))
        )
    yield from table(rows)
    given = [_given(planned.step) for planned in plan.steps]
    shared = [row for row in given[0] if all(row in rows for rows in given)] if len(given) > 1 else []
    if shared:
        yield from ("", _("every step:"), *(f"  {line}" for line in table(shared)))
    for planned, rows_given in zip(plan.steps, given, strict=True):
        own = [row for row in rows_given if row not in shared]
        yield from ("", f"{planned.step.name}:", *(f"  {line}" for line in table(own) if own))
        yield from (_caution_line(caution) for caution in planned.cautions)

    if plan.left_behind:
        yield ""
        yield from (_caution_line(caution) for caution in plan.left_behind)


def deleted_lines(plan: PipelinePlan) -> Iterator[str]:
    """What is thrown away before anything begins: `ppo is made anew: its run persona-ppo (finished) is deleted`."""
    for planned in plan.restarted:
        standing = planned.standing
        told = _("{step} is made anew: its run {run} ({state}) is deleted")
        state = state_word(standing.state) if standing.state is not None else ""
        yield told.format(step=planned.step.name, run=inert_line(standing.run.name), state=state)


def _caution_line(caution: Caution) -> str:
    return "  ! " + inert_line(f"{caution.message} ({caution.hint})" if caution.hint else caution.message)


def _what_word(what: What) -> str:
    words: dict[What, str] = {
        "keep": _("is finished"),
        "join": _("is running"),
        "go_on": _("goes on"),
        "begin": _("begins"),
        "restart": _("is made anew"),
    }
    return words[what]


def _given(step: PipelineStep) -> list[Row]:
    """Options that are not at their defaults, each with its value and where it stands: a pipeline that was started
    before has them all in its file."""
    origins, values = step.settings.origins, step.values
    defaults = {spec.name: _typed(spec.default) for spec in describe(*SECTIONS[step.verb])}
    return [
        (name, cut(inert_line(_typed(value)), _VALUE_CHARACTERS), inert_line(_place(origins[name].where)))
        for name, value in values.items()
        if origins[name].source != "default" and _typed(value) != defaults[name]
    ]


def _typed(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else shown(value)


def _place(where: str) -> str:
    """`persona.yaml:12` of `/somewhere/persona.yaml:12: sft.dataset`; the option's name stands before it already."""
    return Path(where.rpartition(": ")[0] or where).name


def plan_record(plan: PipelinePlan) -> dict[str, Any]:
    """The plan for `--json`."""
    return {
        "pipeline": plan.pipeline.name,
        "path": str(plan.run.path),
        "warnings": [_caution_record(one) for one in plan.left_behind],
        "steps": [
            {
                "name": planned.step.name,
                "does": planned.step.verb,
                "run": str(planned.standing.run.path),
                "state": planned.standing.state,
                "what": planned.what,
                "after": list(planned.step.after),
                "warnings": [_caution_record(one) for one in planned.cautions],
                "options": {name: planned.step.values[name] for name in _names(planned.step)},
            }
            for planned in plan.steps
        ],
    }


def _caution_record(caution: Caution) -> dict[str, str]:
    return {"message": caution.message, "hint": caution.hint}


def _names(step: PipelineStep) -> Sequence[str]:
    return [info.alias or name for kind in SECTIONS[step.verb] for name, info in kind.model_fields.items()]
