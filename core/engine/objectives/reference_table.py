"""How likely the reference finds every answer, computed once before the first update and kept in the run's folder.

A resumed run reads what the first segment computed: the same numbers, and no second look at the reference. They are
taken for nothing but the very rows, base, adapters and reference that they were computed of.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.preference import PreferenceOptions
from core.engine.batches.batch import Batch
from core.engine.beside.reference import Identity, open_reference, start_identity
from core.engine.forward.choose import Forward
from core.engine.objectives.pairs import answers_likely, batch_of_pairs, by_row, over_pairs, over_part, pairs_of
from core.engine.training.evaluate import Rows
from core.engine.training.work import Work
from core.i18n import _
from core.models.adapters import resolve_adapter
from core.models.candidates import resolve_candidate
from core.records import to_record
from core.runs.events import ModelsBeside

FILE = "reference.safetensors"
_SECONDS_BETWEEN_WORDS = 0.5
_NEAR, _NEAR_IN_16_BITS = 1e-3, 0.5
"""Nats an answer that the trained model may be away from its own beginning before the first update."""


class ReferenceTable:
    """The log-probabilities of all answers of a run."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._sets: list[tuple[str, Rows]] = [
            ("train", work.rows),
            *((f"eval.{number}", one.rows) for number, one in enumerate(work.evaluation_sets)),
        ]
        self._known: dict[int, Tensor] = {}

    def of(self, rows: Rows) -> Tensor:
        """float32 [pairs, 2]: of the better answer and of the worse, in nats."""
        return self._known[id(rows)]

    def fill(self, forward: Forward) -> None:
        """Read or compute everything; the weights are those that the training began with."""
        work = self._work
        work.journal.stage("reference")
        path, key = work.run.path / FILE, _key(work, self._sets)
        kept = _read(path, key) if work.resumed_from is not None else None
        (somebody_lacks_it,) = work.processes.agree(kept is None)  # and everybody has looked before somebody writes
        found = self._computed(forward) if kept is None or somebody_lacks_it else kept
        if somebody_lacks_it and work.processes.is_main:
            _write(path, key, found)
        for name, rows in self._sets:
            self._known[id(rows)] = found.tensors[name]
        identity = found.identity
        work.journal.tell(ModelsBeside(time.time(), identity.name, identity.sha256, identity.is_start))
        if identity.is_start:
            self._check_start(forward)

    def _computed(self, forward: Forward) -> _Found:
        work = self._work
        identity, likely = self._opened(forward)
        total = sum(len(rows) for _name, rows in self._sets)
        tensors, before = dict[str, Tensor](), 0
        for name, rows in self._sets:
            told = _told_in_steps(work, before / total, len(rows) / total)
            tensors[name] = over_pairs(
                rows,
                likely,
                work.processes,
                batch_rows=work.optimization.per_device_eval_batch_size,
                on_progress=told,
            )
            before += len(rows)
        return _Found(identity, tensors)

    def _opened(self, forward: Forward) -> tuple[Identity, Callable[[Batch], Tensor]]:
        """Who the reference is, and how likely it finds the answers of a batch, [rows]."""
        work, settings = self._work, self._work.settings
        names = settings[FinetuningOptions].adapter_name_or_path
        adapters = [resolve_adapter(name, work.workspace).path for name in names]
        named = settings[PreferenceOptions].ref_model
        forward.train(False)
        if named is None:  # nothing has been learnt yet: no second look is needed, nor a copy of the beginning
            return start_identity(work.base, adapters), lambda batch: answers_likely(forward, batch)
        reference = open_reference(
            work.tunable,
            work.base,
            ref_model=named,
            adapters=adapters,
            forward=lambda: forward,
            options=settings[BaseModelOptions],
            workspace=work.workspace,
            on_warning=work.journal.warn,
        )
        return reference.identity, lambda batch: by_row(batch, reference.log_probabilities(batch))

    def _check_start(self, forward: Forward) -> None:
        """Before the first update the trained model is its own reference, and every loss begins at its value for pairs
        that are not apart (sigmoid: ln 2). Said where it is not so."""
        work = self._work
        batches = self._work.updates.update(0)[:1]
        forward.train(False)
        for numbers in batches:
            here = over_part(
                numbers, work.processes, lambda some: answers_likely(forward, batch_of_pairs(work.rows, some))
            )
            away = float((here.cpu() - self.of(work.rows)[numbers].reshape(-1)).abs().max())
            if away > (_NEAR_IN_16_BITS if _is_narrow(work) else _NEAR):
                message = _("before the first update the model is {away:.3g} nats an answer away from its reference")
                hint = _("the reference should be the model that the training begins with; the losses mean little")
                work.journal.warn(message.format(away=away), hint)


@dataclass(frozen=True)
class _Found:
    identity: Identity
    tensors: dict[str, Tensor]


def _is_narrow(work: Work) -> bool:
    return work.base.network.dtype is not torch.float32 or work.optimization.bf16 or work.optimization.fp16


def _told_in_steps(work: Work, start: float, share: float) -> Callable[[float], None]:
    last = [time.monotonic()]

    def told(fraction: float) -> None:
        if time.monotonic() - last[0] >= _SECONDS_BETWEEN_WORDS:
            last[0] = time.monotonic()
            work.journal.stage("reference", round(start + share * fraction, 3))

    return told


# --- what is kept -------------------------------------------------------------------------------------------------


def _write(path: Path, key: str, found: _Found) -> None:
    """Beside the run; a disk that takes no more costs a resume the time to compute it again."""
    identity = json.dumps([found.identity.name, found.identity.sha256, found.identity.is_start])
    hidden = path.with_name(f".{path.name}")
    with suppress(OSError, SafetensorError):
        save_file(found.tensors, hidden, {"key": key, "identity": identity})
        hidden.replace(path)


def _read(path: Path, key: str) -> _Found | None:
    """What was computed of the same; None where it was of something else, or is broken."""
    try:
        with safe_open(path, "pt") as stored:
            facts = stored.metadata() or {}
            if facts.get("key") != key:
                return None
            name, sha256, is_start = json.loads(facts["identity"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  no mapping
            return _Found(Identity(name, sha256, is_start), tensors)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def _key(work: Work, sets: list[tuple[str, Rows]]) -> str:
    """Of all that the numbers depend on."""
    digest = hashlib.sha256()
    for fact in _facts(work):
        digest.update(json.dumps(fact, sort_keys=True, default=str).encode())
    for name, rows in sets:
        digest.update(f"{name} {len(rows)}".encode())
        pairs = pairs_of(rows)
        for number in range(len(rows)):
            pair = pairs.pair(number)
            for row in (pair.chosen, pair.rejected):
                digest.update(row.ids.tobytes() + row.trained.tobytes())
    return digest.hexdigest()


def _facts(work: Work) -> Iterator[object]:
    """The base and what is trained of it as it begins, and the reference, as far as files tell."""
    yield to_record(work.tunable.notes)
    yield str(work.base.network.dtype), work.optimization.seed
    yield work.settings[FinetuningOptions].model_dump()
    for name in work.settings[FinetuningOptions].adapter_name_or_path:
        yield _stamps(resolve_adapter(name, work.workspace).path)
    ref_model = work.settings[PreferenceOptions].ref_model
    if ref_model is not None:
        yield ref_model, _stamps(resolve_candidate(ref_model, work.workspace).path)


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Its weights' names, sizes and times: a changed file is another model."""
    found = ((path, path.stat()) for path in sorted(folder.glob("*.safetensors")))
    return [(str(path.resolve()), facts.st_size, facts.st_mtime_ns) for path, facts in found]
