"""A pipeline: trainings and evaluations in one file, one after another, each standing on what earlier ones made.

    name: persona
    model_name_or_path: default          # options above `steps` are every step's that has them
    steps:
      sft:                               # a step's name, and its own options
        dataset: persona_train
      ppo:
        stage: ppo
        adapter_name_or_path: ${sft}     # what the step sft made; ${sft@200} is its checkpoint at step 200
      bolder:
        like: ppo                        # its options, where nothing else is said
        ppo_kl_coef: 0.05
      compare:
        does: eval
        adapter_name_or_path: ${sft},${ppo},${bolder}

Steps are made in their order, and can name earlier ones alone, so there are no circles. Options are those of
`finetui train` and `finetui eval`, read by the same loader; all mistakes of all steps are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from core.config.change import replaced
from core.config.evaluation import EVALUATION
from core.config.fields import Section, describe, shown
from core.config.load import Settings
from core.config.save import as_yaml
from core.config.training import TRAINING

Verb: TypeAlias = Literal["train", "eval"]

SECTIONS: Mapping[Verb, tuple[type[Section], ...]] = {"train": TRAINING, "eval": EVALUATION}
_REFERENCE = re.compile(r"\$\{([^}@]*)(?:@(\d+))?\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a step names an earlier one."""

    option: str
    step: str
    checkpoint: int | None = None
    """Of the earlier step; None for what it leaves at its end."""


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """One training or evaluation."""

    name: str
    verb: Verb
    settings: Settings
    """With the references as they were written."""
    where: str
    """Its place: `persona.yaml:9: sft`."""

    @property
    def values(self) -> dict[str, Any]:
        """Every option by its name, references as they were written."""
        return self.settings.values()

    @property
    def given(self) -> dict[str, str]:
        """The options that are not at their defaults, as one would type them, and what the step does."""
        defaults = {spec.name: shown(spec.default) for spec in describe(*SECTIONS[self.verb])}
        told = {name: shown(value) for name, value in self.values.items()}
        return {"does": self.verb} | {name: text for name, text in told.items() if text != defaults[name]}

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every place that names an earlier step, in the order of the options."""
        return tuple(found for option, value in self.values.items() for found in _references(option, value))

    @property
    def after(self) -> tuple[str, ...]:
        """The steps that it stands on."""
        return tuple(dict.fromkeys(reference.step for reference in self.references))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in the order in which they are made."""

    name: str
    steps: tuple[PipelineStep, ...]

    def standing_on(self, names: Sequence[str]) -> tuple[str, ...]:
        """These steps and all that stand on them, directly or not, in order."""
        found = set(names)
        for step in self.steps:
            if found & set(step.after):
                found.add(step.name)
        return tuple(step.name for step in self.steps if step.name in found)


def with_outputs(step: PipelineStep, place: Callable[[Reference], str]) -> Settings:
    """A step's settings with what earlier steps made in the place of their names."""

    def put(match: re.Match[str]) -> str:
        return place(_reference("", match))

    changes: dict[str, tuple[Any, str]] = {}
    for option in {reference.option for reference in step.references}:
        value = step.values[option]
        if isinstance(value, str):
            changes[option] = (_REFERENCE.sub(put, value), "")
        else:
            changes[option] = (tuple(_REFERENCE.sub(put, item) for item in value), "")
    return replaced(step.settings, changes)


def as_text(pipeline: Pipeline) -> str:
    """The pipeline as a file that reads back as the same: every option of every step, references kept."""
    lines = [f"name: {pipeline.name}", "steps:"]
    for step in pipeline.steps:
        lines += [f"  {step.name}:", f"    does: {step.verb}"]
        lines += [f"    {line}" for line in as_yaml(step.settings, *SECTIONS[step.verb]).splitlines()]
    return "\n".join(lines) + "\n"


def _references(option: str, value: Any) -> Iterator[Reference]:
    for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
        yield from (_reference(option, match) for match in _REFERENCE.finditer(text))


def _reference(option: str, match: re.Match[str]) -> Reference:
    return Reference(option, match[1].strip(), int(match[2]) if match[2] else None)
