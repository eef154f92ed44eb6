"""The models beside the one that is trained: what scores its answers, and what it is held against.

They are named by one option each. Here the names are looked up, and what should be said of them is found out: a reward
model that was trained under another prefix scores other prompts than people think.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.config.load import Settings
from core.config.stages import WITHOUT_REFERENCE
from core.errors import ModelError
from core.i18n import _
from core.launch.findings import Findings
from core.launch.named import without_problems
from core.models.adapters import check_adapter
from core.models.candidates import resolve_candidate
from core.models.info import AdapterInfo, ModelInfo
from core.models.notes import AdapterNotes
from core.models.reward_source import RewardSource, find_reward_source
from core.runs.catalog import called
from core.runs.launch_file import Caution
from core.untrusted import inert_line
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Beside:
    """The models beside the trained one, as far as the stage needs any."""

    reward: RewardSource | None = None
    reference: AdapterInfo | ModelInfo | None = None
    """None: the trained model as it begins."""

    @property
    def paths(self) -> list[Path]:
        """Folders that the run stands on."""
        folders = [self.reference.path] if self.reference is not None else []
        if self.reward is not None and self.reward.model is not None:
            folders.append(Path(self.reward.name))
        return folders

    def names(self, values: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, str]]]:
        """Option → (value, why) that means the same from any folder."""
        if self.reward is not None:
            yield "reward_model", (self.reward.name, "")
            looked = values["reward_model_type"] == "auto"
            yield "reward_model_type", (self.reward.kind, _("as it looks") if looked else "")
        if self.reference is not None:
            yield "ref_model", (_lasting(self.reference), "")


def find_beside(findings: Findings, settings: Settings, model: ModelInfo | None, workspace: Workspace) -> Beside:
    """Look up what a stage names beside its model; what stands against it goes to the findings."""
    values = settings.values()
    reward = reference = None
    if values["stage"] == "ppo" and values["reward_model"] is not None:
        find = partial(find_reward_source, values["reward_model"], values["reward_model_type"], workspace)
        reward = findings.tried("reward_model", find)
    if holds_reference(values) and values["ref_model"] is not None:
        reference = findings.tried("ref_model", partial(_reference, values["ref_model"], model, workspace))
    return Beside(reward, reference)


def holds_reference(values: dict[str, Any]) -> bool:
    """Whether the stage holds the trained model against another."""
    return values["stage"] == "ppo" or (values["stage"] == "dpo" and values["pref_loss"] not in WITHOUT_REFERENCE)


def _reference(name: str, model: ModelInfo | None, workspace: Workspace) -> AdapterInfo | ModelInfo:
    found = resolve_candidate(name, workspace)
    if isinstance(found, ModelInfo):
        return without_problems(found)
    if model is not None:
        check_adapter(found, model)
    if found.notes is not None and found.notes.stage == "rm":
        what = _("{name} is a reward model, and writes no answers").format(name=inert_line(name))
        raise ModelError(what, _("name a model or an adapter that was trained to answer"))
    return found


def _lasting(found: AdapterInfo | ModelInfo) -> str:
    if isinstance(found, ModelInfo) and found.source != "folder":
        return found.name
    return str(found.path.absolute())


# --- what should be said ------------------------------------------------------------------------------------------


def manner_cautions(
    values: dict[str, Any], model: ModelInfo, adapters: Sequence[AdapterInfo], beside: Beside
) -> Iterator[Caution]:
    """Where the models of one run were trained under different prompts."""
    if values["stage"] == "sft":
        return
    asked = _manner(values, model)
    if beside.reward is not None and beside.reward.adapter is not None:
        name = called(beside.reward.adapter.name)
        for option in _differences(asked, beside.reward.adapter.notes):
            told = _("the reward model {name} was trained with another {option} than this run has")
            message = told.format(name=inert_line(name), option=option)
            yield Caution(
                message, _("it scores under its own; train both with the same {option}").format(option=option)
            )
    for adapter in adapters[-1:]:
        for option in _differences(asked, adapter.notes):
            told = _("the adapter {name} was trained with another {option} than this run has")
            yield Caution(
                told.format(name=inert_line(called(adapter.name)), option=option),
                _("give the same {option}").format(option=option),
            )
        if adapter.notes is not None and adapter.notes.stage == "rm" and values["stage"] != "rm":
            told = _("the adapter {name} is a reward model: it was not trained to answer")
            yield Caution(
                told.format(name=inert_line(called(adapter.name))), _("name the adapter of a supervised training")
            )


def _manner(values: dict[str, Any], model: ModelInfo) -> dict[str, str]:
    template = values["template"]
    if template == "auto":
        template = "tokenizer" if model.has_chat_template else "default"
    return {name: values[name] for name in ("source_prefix", "default_system")} | {"template": template}


def _differences(asked: dict[str, str], notes: AdapterNotes | None) -> list[str]:
    """The options that are others than those of a training; nothing of what others have trained."""
    if notes is None:
        return []
    return [name for name, value in asked.items() if getattr(notes, name) not in (value, "auto", *_UNSAID[name])]


# Notes without a template are older than those that have one, and `auto` stands in those of a run to come.
_UNSAID = {"source_prefix": (), "default_system": (), "template": ("",)}
