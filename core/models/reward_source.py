"""What a `reward_model` names: trained weights, a Python function, or a server. Found out by files and headers alone.

A name's form tells functions and addresses; for everything else the folder does. Nothing is loaded or run here, so a
launch can refuse what is no reward model long before a policy is in memory.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from core.config.address import SCHEMES, address_problem
from core.errors import ModelError, ModelNotFound, did_you_mean
from core.i18n import _
from core.models.adapters import find_adapters
from core.models.bound_names import ANY, bound_names
from core.models.candidates import Candidate, base_of, resolve_candidate
from core.models.info import AdapterInfo, ModelInfo, read_json, typed_path
from core.models.notes import AdapterNotes, read_notes
from core.models.safetensors_header import read_header
from core.untrusted import inert_line
from core.workspace import Workspace

RewardKind: TypeAlias = Literal["lora", "full", "function", "api"]

VALUE_HEAD = "value_head.safetensors"
HEAD_WEIGHT = "v_head.summary.weight"
_FUNCTION = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[^:/\\]*))?", re.DOTALL)
_ADAPTERS = ("lora", "dora")


@dataclass(frozen=True, slots=True)
class RewardSource:
    """Where scores come from."""

    kind: RewardKind
    name: str
    """A folder, `FILE.py:NAME` or an address, which means the same from any folder."""
    adapter: AdapterInfo | None = None
    model: ModelInfo | None = None
    """What an adapter stands on, or the whole model."""


def find_reward_source(name: str, kind: RewardKind | Literal["auto"], workspace: Workspace) -> RewardSource:
    """What a name means, and that it can give scores.

    Args:
        kind: what it is said to be; auto believes its looks.

    Raises:
        ModelNotFound: there is none of that name.
        ModelError: it gives no scores, or is of another kind than it is said to be.
    """
    if kind == "api" or (kind == "auto" and name.startswith(SCHEMES)):
        return _server(name)
    if kind == "function" or (kind == "auto" and _FUNCTION.fullmatch(name)):
        return _function(name)
    found = _found(name, workspace)
    source = _adapter(found, partial(base_of, found, workspace)) if isinstance(found, AdapterInfo) else _whole(found)
    if kind not in ("auto", source.kind):
        is_one = _("an adapter") if source.kind == "lora" else _("a whole model")
        what = _("{name} is {what}, not {kind}").format(name=inert_line(name), what=is_one, kind=kind)
        raise ModelError(what, _("leave reward_model_type out: it is read from the folder"))
    return source


def source_of(candidate: Candidate) -> RewardSource:
    """Somebody of an evaluation as what gives scores.

    Raises:
        ModelError: it gives none.
    """
    if candidate.adapter is None:
        return _whole(replace(candidate.model, name=candidate.name))
    return _adapter(replace(candidate.adapter, name=candidate.name), candidate.model)


def _found(name: str, workspace: Workspace) -> AdapterInfo | ModelInfo:
    """The folder of a name; what looks like a function or an address, and is none, was meant to be one."""
    try:
        return resolve_candidate(name, workspace)
    except ModelNotFound as error:
        if _FUNCTION.fullmatch(name) or name.startswith(SCHEMES):
            what = _("{name} is no folder of weights").format(name=inert_line(name))
            raise ModelError(what, _("leave reward_model_type out: it is seen from the name")) from error
        what = _("no reward model {name}").format(name=inert_line(name))
        known = [one.name for one in find_adapters(workspace) if scores_answers(one)]
        near = did_you_mean(name, known) or _(
            "name a run of stage rm, a function as FILE.py:NAME, or a server's address"
        )
        raise ModelNotFound(what, near) from error


def scores_answers(found: AdapterInfo | ModelInfo) -> bool:
    """Whether an adapter or a model has a head that scores: a policy's foretells rewards, and gives none."""
    if isinstance(found, ModelInfo) and is_classifier(found.path):
        return True
    if not (found.path / VALUE_HEAD).is_file():
        return False
    notes = found.notes if isinstance(found, AdapterInfo) else read_notes(found.path)
    return notes is None or notes.stage != "ppo"


def function_file(name: str) -> Path | None:
    """The file of a name that looks like a Python function's; None for any other."""
    found = None if name.startswith(SCHEMES) else _FUNCTION.fullmatch(name)
    return typed_path(found["file"]).absolute() if found is not None else None


# --- functions and servers ---------------------------------------------------------------------------------------


def _server(address: str) -> RewardSource:
    if problem := address_problem(address):
        what = _("the address {address} {problem}").format(address=inert_line(address), problem=problem)
        raise ModelError(what, _("give one as http://HOST:PORT/PATH"))
    return RewardSource("api", address)


def _function(name: str) -> RewardSource:
    found = _FUNCTION.fullmatch(name)
    if found is None:
        what = _("{name} names no Python function").format(name=inert_line(name))
        raise ModelError(what, _("give it as FILE.py:NAME"))
    path = typed_path(found["file"]).absolute()
    bound = bound_names(_parsed(path))
    if not found["name"]:
        what = _("which function of {path}?").format(path=inert_line(str(path)))
        raise ModelError(what, _("name it behind a colon: FILE.py:NAME"))
    kind = bound.get(found["name"])
    if kind is None and ANY not in bound:
        what = _("{path} defines no {name}").format(path=inert_line(str(path)), name=inert_line(found["name"]))
        raise ModelError(what, did_you_mean(found["name"], sorted(bound)))
    if kind == "async":
        what = _("{path}: {name} is async, and nothing waits for it").format(
            path=inert_line(str(path)), name=inert_line(found["name"])
        )
        raise ModelError(what, _("write def instead of async def; inside, asyncio.run(…) can wait"))
    return RewardSource("function", f"{path}:{found['name']}")


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        what = _("{path} cannot be read: {reason}").format(path=inert_line(str(path)), reason=reason)
        raise ModelError(what, _("paths are looked for from the folder that finetui was started in")) from error
    except (SyntaxError, ValueError, RecursionError) as error:
        place = f"{path}:{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else str(path)
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ModelError(_("{place}: no Python: {reason}").format(place=inert_line(place), reason=reason)) from error


# --- weights -----------------------------------------------------------------------------------------------------


def _adapter(found: AdapterInfo, base: ModelInfo | Callable[[], ModelInfo]) -> RewardSource:
    if found.method not in _ADAPTERS:
        what = _("{name}: a reward model is an adapter of LoRA's kind, not {method}")
        raise ModelError(what.format(name=inert_line(found.name), method=found.method))
    _refuse_policy(found.name, found.notes)
    base = base() if callable(base) else base
    _refuse_headless(found.name, found.path, _width(base.path))
    return RewardSource("lora", str(found.path.absolute()), found, base)


def _whole(found: ModelInfo) -> RewardSource:
    if found.problems:
        raise ModelError(_("{name}: {problem}").format(name=inert_line(found.name), problem=found.problems[0]))
    _refuse_policy(found.name, read_notes(found.path))
    config = read_json(found.path / "config.json")
    if _classifies(config):
        _refuse_classes(found, config)
    else:
        _refuse_headless(found.name, found.path, _width(found.path))
    return RewardSource("full", str(found.path.absolute()), None, found)


def _refuse_policy(name: str, notes: AdapterNotes | None) -> None:
    """A policy has a head too, and its folder looks the same."""
    if notes is not None and notes.stage == "ppo":
        what = _("{name} was trained by stage ppo: its value head foretells rewards, and gives none")
        raise ModelError(what.format(name=inert_line(name)), _("take the reward model that it was trained with"))


def is_classifier(folder: Path) -> bool:
    """Whether a model's folder says that it sorts texts, instead of writing them."""
    return _classifies(read_json(folder / "config.json"))


def _classifies(config: Mapping[str, Any]) -> bool:
    return any("SequenceClassification" in str(kind) for kind in config.get("architectures") or ())


def _refuse_classes(found: ModelInfo, config: Mapping[str, Any]) -> None:
    labels = len(config["id2label"]) if isinstance(config.get("id2label"), dict) else config.get("num_labels", 2)
    if labels != 1:
        what = _("{name} tells {labels} classes apart; a reward model has one label")
        told = what.format(name=inert_line(found.name), labels=inert_line(str(labels)))
        raise ModelError(told, _("take a model that was made to score answers"))


def _refuse_headless(name: str, folder: Path, width: int | None) -> None:
    path, shown = folder / VALUE_HEAD, inert_line(name)
    if not path.is_file():
        if any(folder.glob("value_head.*")):
            what = _("{name}: its value head is a pickle, which can run any code when it is read").format(name=shown)
            raise ModelError(what, _("save it as {file}").format(file=VALUE_HEAD))
        what = _("{name} is no reward model: it has no value head").format(name=shown)
        hint = _("take a run of stage rm, or a classification model with one label; finetui train --stage rm makes one")
        raise ModelError(what, hint)
    weight = read_header(path).get(HEAD_WEIGHT)
    if weight is None:
        told = _("{path} is no value head").format(path=inert_line(str(path)))
        raise ModelError(told, _("{weight} is expected in it").format(weight=HEAD_WEIGHT))
    if len(weight.shape) != 2 or weight.shape[0] != 1 or width not in (None, weight.shape[1]):
        told = _("{path}: the value head is for {there} numbers, the model has {here}")
        shape = weight.shape[-1] if weight.shape else 0
        raise ModelError(told.format(path=inert_line(str(path)), there=shape, here=width))


def _width(folder: Path) -> int | None:
    """Of a hidden state; None where the configuration has another word for it."""
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    width = (text if isinstance(text, dict) else config).get("hidden_size")
    return width if type(width) is int else None
