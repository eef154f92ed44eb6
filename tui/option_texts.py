"""The options of a verb between a form and the configuration: as texts, and as what a command line would say.

Importing this imports pydantic (80 ms), so it is imported when a form opens.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from core.config.fields import FieldSpec, Section, describe, shown
from core.config.load import Settings, load
from core.config.save import as_yaml
from core.config.sources import Preset, SourceOptions, list_presets
from core.config.stages import RowKind
from core.data.catalog import read_catalog
from core.data.formats import shape_of
from core.errors import FinetuiError
from core.i18n import _
from core.models.adapters import find_adapters
from core.models.catalog import list_models
from core.models.reward_source import scores_answers
from core.workspace import Workspace, load_state

Relevant = Callable[[str, Mapping[str, str]], bool]


@dataclass(frozen=True)
class OptionTexts:
    """The options of a verb, as its form has them."""

    command: str
    """What one types: `train`."""
    sections: Sequence[type[Section]]
    source: type[SourceOptions]
    basic: Collection[str]
    """What most say; the other rows are folded until they say something too."""
    of_a_run: Collection[str]
    """What a copy of a run does not take over: it is another run."""
    relevant: Relevant
    """Whether an option means something beside the texts of the others."""
    first: str = ""
    """The option that decides what the others are about: it stands above all groups, under its own name."""

    @cached_property
    def specs(self) -> list[FieldSpec]:
        """Every option, in the order of the form."""
        found = describe(*self.sections)
        ahead = [replace(spec, section=_("Stage")) for spec in found if spec.name == self.first]
        return [*ahead, *(spec for spec in found if spec.name != self.first)]

    def presets(self) -> tuple[Preset, ...]:
        return list_presets(self.source.presets)

    def defaults(self) -> dict[str, str]:
        """Every option's default as one would type it."""
        return {spec.name: spec.shown_default for spec in self.specs}

    def preset_texts(self, name: str) -> dict[str, str]:
        """Every option as a preset has it."""
        return self._texts(load([*self.sections, self.source], values={"preset": name}))

    def file_texts(self, config: Path) -> dict[str, str]:
        """Every option as a run's `config.yaml` has it, without what belongs to that run alone.

        Raises:
            ConfigError: the file has mistakes.
        """
        texts = self._texts(load([*self.sections, self.source], file=config))
        return {**texts, **{name: text for name, text in self.defaults().items() if name in self.of_a_run}}

    def _texts(self, settings: Settings) -> dict[str, str]:
        values = settings.values()
        return {spec.name: shown(values[spec.name]) for spec in self.specs}

    def said(self, values: Mapping[str, str]) -> dict[str, str]:
        """What differs from the defaults and means something."""
        usual = self.defaults()
        return {
            name: text.strip()
            for name, text in values.items()
            if text.strip() and text.strip() != usual[name] and self.relevant(name, values)
        }

    def settings_of(self, values: Mapping[str, str]) -> Settings:
        """The options that the texts mean; an empty text is the option's default.

        Raises:
            ConfigError: all that is wrong, each problem's `where` being the option's name.
        """
        return load(self.sections, values=self.said(values))

    def yaml_of(self, settings: Settings) -> str:
        """The options as a file."""
        return as_yaml(settings, *self.sections)

    def command_of(self, values: Mapping[str, str]) -> str:
        """The command that does the same."""
        words = ["finetui", self.command]
        for name, text in self.said(values).items():
            words += [f"--{name}", text]
        return shlex.join(words)


def suggested(workspace: Workspace, sets: Iterable[str], *, kind: RowKind = "answers") -> dict[str, list[str]]:
    """What there is for options that name something.

    Args:
        sets: the options that name data sets.
        kind: what the rows of these have to hold.
    """
    adapters, models = find_adapters(workspace), [model.name for model in list_models(workspace)]
    scoring = [adapter.name for adapter in adapters if scores_answers(adapter)]
    answering = [adapter.name for adapter in adapters if adapter.name not in scoring]
    names: list[str] = []
    with contextlib.suppress(FinetuiError):  # said when a set is named
        entries = read_catalog(workspace.data).entries
        names = [name for name, entry in entries.items() if kind in ("prompts", shape_of(entry).kind)]
    return {
        "model_name_or_path": ["default", *models],
        "adapter_name_or_path": answering,
        "ref_model": [*answering, *models],
        "reward_model": scoring,
        **dict.fromkeys(sets, names),
    }


def usual_model(workspace: Workspace) -> str:
    """The one that answers in the chat."""
    speaker = load_state(workspace).get("speaker")
    name = speaker.get("model") if isinstance(speaker, dict) else None
    return name if isinstance(name, str) and name else "default"


def option_of(where: str) -> str:
    """The option that a problem is about: `--lora_rank`, `lora.yaml:12: lora_rank` and the name alone."""
    return where.rpartition(" ")[2].lstrip("-").replace("-", "_") if where else ""
