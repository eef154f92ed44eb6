"""A pipeline's file against the pipeline as it was last started: steps that came, went or moved, other values.

While it goes on, nothing of that is taken over: it would be half of one file and half of another. Afterwards all of it
is; what nobody asked for by that, a run that stays behind, an option that was typed and is not now, is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.config.fields import shown
from core.config.pipeline import Pipeline, PipelineStep
from core.errors import Problem
from core.i18n import _
from core.launch.pipeline.standing import StepStanding
from core.runs.catalog import list_runs
from core.runs.launch_file import Caution, read_launch
from core.untrusted import inert_line
from core.workspace import Workspace


def edits(before: Pipeline, now: Pipeline) -> Iterator[Problem]:
    """What a pipeline that goes on knows nothing of."""
    name = now.name
    hint = _(
        "see it as it goes on: finetui pipeline {name}; to change it, stop it first: finetui pipeline {name} --stop"
    )
    hint = hint.format(name=name)
    known = {step.name: step for step in before.steps}
    for step in now.steps:
        if step.name not in known:
            yield Problem(step.where, _("is not in the pipeline that is going on"), hint)
            continue
        for option, was in _other_values(known[step.name], step):
            what = _("is {value} in the pipeline that is going on").format(value=was)
            yield Problem(_place(step, option), what, hint)
    for gone in [each for each in known if each not in [step.name for step in now.steps]]:
        yield Problem("steps", _("{step} is in the pipeline that is going on").format(step=gone), hint)
    if _order(now, before) != _order(before, now):
        yield Problem("steps", _("the pipeline that is going on has them in another order"), hint)


def other_options(before: Pipeline, found: Sequence[StepStanding]) -> Iterator[tuple[str, Caution]]:
    """Of steps that have no run yet: what they would have begun with when the pipeline was started the last time."""
    known = {step.name: step for step in before.steps}
    for standing in found:
        step = standing.step
        if standing.state is None and step.name in known:
            for option, was in _other_values(known[step.name], step):
                told = _("{option} was {value} when the pipeline was last started, and is {now} now")
                now = step.given.get(option) or _value(step, option)
                yield step.name, Caution(told.format(option=option, value=was, now=now))


def left_behind(pipeline: Pipeline, found: Sequence[StepStanding], workspace: Workspace) -> Iterator[Caution]:
    """Runs of steps that there are no longer, or that write elsewhere now."""
    places = {standing.run.path.resolve() for standing in found}
    for run in list_runs(workspace):
        launch = read_launch(run)
        if launch.pipeline != pipeline.name or run.path.resolve() in places:
            continue
        name, step = inert_line(run.name), inert_line(launch.pipeline_step)
        twin = _same(dict(launch.pipeline_options), found)
        if twin is not None:
            told = _("{new} begins anew; {run} was made as {old} with the same options")
            hint = _("to keep that, call the step {old} again, in its folder").format(old=step)
            yield Caution(told.format(new=twin.step.name, run=name, old=step), hint)
        else:
            told = _("{run} stays as it is: it was made as the step {step}, which is not in the file now")
            if launch.pipeline_step in [standing.step.name for standing in found]:
                told = _("{run} stays as it is: it was made as the step {step}, which writes elsewhere now")
            yield Caution(told.format(run=name, step=step), _("delete it: finetui runs rm {run}").format(run=name))


def _same(options: dict[str, str], found: Sequence[StepStanding]) -> StepStanding | None:
    """The step without a run that would be made with these options."""
    options.pop("output_dir", None)
    for standing in found:
        given = standing.step.given
        given.pop("output_dir", None)
        if standing.state is None and given == options:
            return standing
    return None


def _other_values(before: PipelineStep, now: PipelineStep) -> Iterator[tuple[str, str]]:
    """(option, what it was) of those that have another value."""
    was, given = before.given, now.given
    for option in ("does", *now.values):
        if was.get(option) != given.get(option):
            yield option, was.get(option) or _value(before, option)


def _value(step: PipelineStep, option: str) -> str:
    return shown(step.values.get(option)) or _("not given")


def _place(step: PipelineStep, option: str) -> str:
    origin = step.settings.origins.get(option)
    return (origin.where if origin is not None else "") or f"{step.where}.{option}"


def _order(one: Pipeline, other: Pipeline) -> list[str]:
    """The steps that both have."""
    both = {step.name for step in other.steps}
    return [step.name for step in one.steps if step.name in both]
