"""Reading a pipeline's file: which options are whose, what they mean, and every mistake with its place.

An option stands in its step, above all steps (then it is every step's that has such an option and does not say
otherwise), or is typed (then it wins). What no step has is a mistake, told once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.config.command_line import by_name
from core.config.fields import FieldSpec, describe
from core.config.files import flat_pairs, node_items, read_text, yaml_items
from core.config.load import fill
from core.config.pipeline import SECTIONS, Pipeline, PipelineStep, Verb
from core.config.sources import Entry, read_preset
from core.errors import ConfigError, Problem, did_you_mean
from core.i18n import _

_NAME = re.compile(r"[A-Za-z0-9][\w-]*", re.ASCII)
_DECIDED_HERE = ("overwrite_output_dir", "resume_from_checkpoint", "resume")


def read_pipeline(path: Path, typed: Sequence[Entry] = ()) -> Pipeline:
    """Read a file of steps.

    Args:
        typed: options that win over the file's: every step's that has them, or, as `STEP.OPTION`, one step's.

    Raises:
        ConfigError: all that is wrong with it, each with its place.
    """
    return _Reader(path, typed).pipeline()


@dataclass(frozen=True, slots=True)
class _Written:
    """A step as the file has it."""

    name: str
    verb: Verb
    presets: tuple[Entry, ...]
    """What its presets say."""
    own: tuple[Entry, ...]
    """What it says itself, and over what a step says that it is like."""
    where: str


class _Reader:
    def __init__(self, path: Path, typed: Sequence[Entry]) -> None:
        self._shown, self._path = str(path), path
        self._typed = typed
        self._problems: list[Problem] = []
        self._bodies: dict[str, _Written] = {}
        """The steps that were read already, for those that are like one of them."""

    def pipeline(self) -> Pipeline:
        items = yaml_items(read_text(self._path, self._shown), self._shown)
        groups = [(node, line) for key, node, line in items if key == "steps"]
        flat = self._collected(lambda: self._entries([item for item in items if item[0] != "steps"]))
        name = self._name([entry for entry in (*self._typed, *flat) if entry.key == "name"])
        written = list(self._written(groups))
        common = [entry for entry in flat if entry.key != "name"]
        steps = [step for each in written if (step := self._step(each, common, written)) is not None]
        self._problems += _wrong_references(steps, {each.name: each.verb for each in written})
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems))
        return Pipeline(name, tuple(steps))

    # --- what is written ----------------------------------------------------------------------------------------

    def _entries(self, items: Sequence[tuple[str, Any, int]], step: str = "") -> list[Entry]:
        place = f"{step}." if step else ""
        pairs = flat_pairs(items, self._shown)
        return [Entry(key, raw, "file", f"{self._shown}:{line}: {place}{key}") for key, raw, line in pairs]

    def _name(self, given: Sequence[Entry]) -> str:
        if not given:
            return re.sub(r"[^\w-]+", "_", self._path.stem)
        name = str(given[0].raw or "")
        if not _NAME.fullmatch(name):
            self._problems.append(_bad_name(given[0].where))
        return name

    def _written(self, groups: Sequence[tuple[Any, int]]) -> Iterator[_Written]:
        if not groups:
            hint = _("name them below `steps:`, each with its options; examples/persona_rlhf.yaml shows it")
            self._problems.append(Problem(self._shown, _("has no steps"), hint))
        seen: set[str] = set()
        for node, line in groups:
            if getattr(node, "id", "") != "mapping" or not node.value:
                what = _("holds no steps")
                self._problems.append(
                    Problem(f"{self._shown}:{line}: steps", what, _("write `NAME:` and below it its options"))
                )
                continue
            for name, body, at in node_items(node):
                where = f"{self._shown}:{at}: {name}"
                if not _NAME.fullmatch(name):
                    self._problems.append(_bad_name(where))
                elif name in seen:
                    self._problems.append(Problem(where, _("is a second step of that name"), _("rename one of them")))
                elif getattr(body, "id", "") != "mapping":
                    self._problems.append(Problem(where, _("has no options"), _("write them below its name, indented")))
                else:
                    self._bodies[name] = self._body(name, body, where)
                    yield self._bodies[name]
                seen.add(name)

    def _body(self, name: str, body: Any, where: str) -> _Written:
        entries = self._collected(lambda: self._entries(node_items(body), name))
        model = self._like([entry for entry in entries if entry.key == "like"])
        verb = self._verb([entry for entry in entries if entry.key == "does"], model)
        presets = [entry for entry in entries if entry.key == "preset"]
        below: list[Entry] = []
        for preset in presets:
            below += self._collected(partial(read_preset, str(preset.raw), preset.where, verb))
        own = [entry for entry in entries if entry.key not in ("does", "preset", "like")]
        if model is not None:
            below, own = [*model.presets, *below], [*_not_among(own, model.own, verb), *own]
        return _Written(name, verb, tuple(below), tuple(own), where)

    def _like(self, given: Sequence[Entry]) -> _Written | None:
        """The step whose options are another's too."""
        for entry in given:
            if entry.raw in self._bodies:
                return self._bodies[str(entry.raw)]
            what = _("there is no step {name!r} above it").format(name=entry.raw)
            self._problems.append(Problem(entry.where, what, did_you_mean(str(entry.raw), self._bodies)))
        return None

    def _verb(self, given: Sequence[Entry], model: _Written | None) -> Verb:
        raw = given[0].raw if given else model.verb if model is not None else "train"
        for verb in SECTIONS:
            if raw == verb:
                return verb
        what = _("expected {what}, not {value}").format(what=_("train or eval"), value=repr(raw))
        self._problems.append(Problem(given[0].where, what, did_you_mean(str(raw), SECTIONS)))
        return "train"

    def _collected(self, read: Callable[[], list[Entry]]) -> list[Entry]:
        try:
            return read()
        except ConfigError as error:
            self._problems += error.problems
            return []

    # --- what it means ------------------------------------------------------------------------------------------

    def _step(self, written: _Written, common: Sequence[Entry], every: Sequence[_Written]) -> PipelineStep | None:
        known = by_name(describe(*SECTIONS[written.verb]))
        others = {key for each in every for key in by_name(describe(*SECTIONS[each.verb]))}
        first = written is every[0]
        presets, own = written.presets, written.own
        named = {known[entry.key].name for entry in own if entry.key in known}
        for_all = [
            entry
            for entry in common
            if (entry.key in known and known[entry.key].name not in named) or (first and entry.key not in others)
        ]
        self._problems += _decided_here(for_all, own)
        typed = [*self._typed_for_all(known, others, first), *self._typed_for(written.name, every, first)]
        try:
            settings = fill(SECTIONS[written.verb], [*presets, *for_all, *own, *typed])
        except ConfigError as error:
            self._problems += (_placed(problem, written) for problem in error.problems)
            return None
        return PipelineStep(written.name, written.verb, settings, written.where)

    def _typed_for_all(self, known: Mapping[str, FieldSpec], others: set[str], first: bool) -> Iterator[Entry]:
        for entry in self._typed:
            if (
                "." not in entry.key
                and entry.key != "name"
                and (entry.key in known or (first and entry.key not in others))
            ):
                yield entry

    def _typed_for(self, name: str, every: Sequence[_Written], first: bool) -> Iterator[Entry]:
        names = [each.name for each in every]
        for entry in self._typed:
            step, dot, key = entry.key.partition(".")
            if dot and step in (name, name.replace("-", "_")):
                yield Entry(key, entry.raw, entry.source, entry.where)
            elif dot and first and step not in (*names, *(each.replace("-", "_") for each in names)):
                self._problems.append(Problem(entry.where, _("there is no such step"), did_you_mean(step, names)))


def _not_among(own: Sequence[Entry], others: Sequence[Entry], verb: Verb) -> Iterator[Entry]:
    """The options of a step that another is like, without those that it gives itself, by whatever name; its folder
    is its own."""
    known = by_name(describe(*SECTIONS[verb]))
    named = {known[entry.key].name for entry in own if entry.key in known} | {"output_dir"}
    return (entry for entry in others if entry.key not in known or known[entry.key].name not in named)


def _placed(problem: Problem, written: _Written) -> Problem:
    """A problem of an option that stands nowhere gets its step's place."""
    if ":" in problem.where or problem.where.startswith("--"):
        return problem
    return Problem(f"{written.where}.{problem.where}", problem.what, problem.hint)


def _bad_name(where: str) -> Problem:
    return Problem(where, _("is no name of a folder"), _("take letters, digits, - and _"))


def _decided_here(for_all: Sequence[Entry], own: Sequence[Entry]) -> Iterator[Problem]:
    for entry in (*for_all, *own):
        if entry.key in _DECIDED_HERE and entry.raw not in (None, "", "false"):
            hint = _("leave it out: steps that ended early are gone on with; --restart makes one anew")
            yield Problem(entry.where, _("is decided by the pipeline"), hint)
    for entry in for_all:
        if entry.key == "output_dir":
            what = _("would be the same folder for every step")
            yield Problem(entry.where, what, _("leave it out, or give it to a step"))


def _wrong_references(steps: Sequence[PipelineStep], verbs: Mapping[str, Verb]) -> Iterator[Problem]:
    names = list(verbs)
    for step in steps:
        before = names[: names.index(step.name)]
        for reference in step.references:
            where = step.settings.origins[reference.option].where or f"{step.where}.{reference.option}"
            if reference.step not in names:
                what = _("there is no step {name!r}").format(name=reference.step)
                hint = did_you_mean(reference.step, before) or _("there are: {names}").format(names=", ".join(before))
                yield Problem(where, what, hint if before else "")
            elif reference.step not in before:
                what = _("{name} is not made before {step}").format(name=reference.step, step=step.name)
                yield Problem(where, what, _("steps can name those that stand above them"))
            elif verbs[reference.step] == "eval":
                what = _("{name} is an evaluation, which leaves no weights").format(name=reference.step)
                yield Problem(where, what, _("name a step that trains"))
