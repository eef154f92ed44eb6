"""Who answers in an evaluation: what is named as model and adapters, looked up before anything is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from core.config.load import Settings
from core.errors import ConfigError, ModelNotFound, Problem
from core.i18n import _
from core.launch.findings import Findings
from core.launch.named import mismatches, usable_model, without_problems
from core.models.adapters import check_adapter
from core.models.candidates import Candidate, base_of, candidates_of, resolve_candidate
from core.models.info import AdapterInfo, ModelInfo
from core.models.packaged import DEFAULT
from core.runs.launch_file import Caution
from core.untrusted import inert_line
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Answering:
    """Those who answer here; nobody where a server does."""

    model: ModelInfo | None = None
    """What adapters stand on; None where whole models alone are named."""
    named: tuple[AdapterInfo | ModelInfo, ...] = ()
    """What is named as adapters, in its order."""
    candidates: tuple[Candidate, ...] = ()

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What should be said of adapters that fit by their shapes alone."""
        adapters = [one for one in self.named if isinstance(one, AdapterInfo)]
        return tuple(mismatches(adapters, self.model)) if self.model is not None else ()


def find_answering(findings: Findings, settings: Settings, workspace: Workspace) -> Answering:
    """Look up who answers; what stands against it goes to the findings."""
    values = settings.values()
    if values["api_base"]:
        return Answering()
    typed = values["adapter_name_or_path"]
    found = (findings.tried("adapter_name_or_path", partial(resolve_candidate, name, workspace)) for name in typed)
    named = [one for one in found if one is not None]
    paths = [one.path.resolve() for one in named]
    findings.refuse(_twice(one.name) for at, one in enumerate(named) if paths[at] in paths[:at])
    adapters = [one for one in named if isinstance(one, AdapterInfo)]
    whole_alone = bool(typed) and len(named) == len(typed) and not adapters and not values["include_base"]
    model = None if whole_alone else _base(findings, settings, adapters, workspace)
    for one in named:
        findings.tried("adapter_name_or_path", partial(_check, one, model, values["finetuning_type"]))
    candidates = candidates_of(model, named, workspace, include_base=values["include_base"])
    return Answering(model, tuple(named), candidates)


def _twice(name: str) -> Problem:
    what = _("{name} is named twice").format(name=inert_line(name))
    return Problem("adapter_name_or_path", what, _("name it once; --repeats asks it several times"))


def _base(
    findings: Findings, settings: Settings, adapters: Sequence[AdapterInfo], workspace: Workspace
) -> ModelInfo | None:
    """The model that is named; by `default`, of adapters, the one that they were trained on, where it is here."""
    name = settings.values()["model_name_or_path"]
    if name == DEFAULT and adapters:
        with contextlib.suppress(ModelNotFound):
            base = base_of(adapters[0], workspace)
            return findings.tried("model_name_or_path", partial(without_problems, base))
    return findings.tried("model_name_or_path", partial(usable_model, name, workspace))


def _check(one: AdapterInfo | ModelInfo, model: ModelInfo | None, method: str | None) -> None:
    """Raises:
    FinetuiError: it cannot be loaded, does not fit the base, or is not what it is said to be.
    """
    if isinstance(one, ModelInfo):
        without_problems(one)
    elif model is not None:
        check_adapter(one, model)
    problems = list(_otherwise(one, method))
    if problems:
        raise ConfigError(problems)


def _otherwise(one: AdapterInfo | ModelInfo, method: str | None) -> Iterator[Problem]:
    """Where finetuning_type says another method than the folder."""
    if isinstance(one, ModelInfo):
        agrees, kind = method in ("full", "freeze"), _("a whole model")
    else:
        agrees, kind = method == {"dora": "lora"}.get(one.method, one.method), one.method
    if method is not None and not agrees:
        what = _("says {method}, but {name} is {kind}").format(method=method, name=inert_line(one.name), kind=kind)
        yield Problem("finetuning_type", what, _("leave it out: it is read from the folder"))
