"""A base model with adapters beside it, answering conversations.

All adapters share one set of weights. Rows whose adapter the fast forward serves answer in one batch; rows that need
transformers' own forward follow one by one. Each conversation's cache is kept per adapter, for the same text has other
keys and values under each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from core.engine.adapters import AdapterFolder, below, open_adapter, read_lora
from core.engine.answer import Answer, Limits
from core.engine.cache import RowStore, common_prefix
from core.engine.context import Prompt
from core.engine.generate import answer_together, tokens_per_step
from core.engine.load import BaseModel, load_base, model_name
from core.engine.lora import LoraAdapter
from core.engine.manner import Manner, manner_of_adapter
from core.engine.sampling import Sampler, check
from core.engine.segment import Runner
from core.errors import ModelError, UsageError, did_you_mean
from core.hardware import memory
from core.i18n import _
from core.models.notes import AdapterNotes
from core.serve.protocol import Finished, Generate, Load, Phase, Reply, Row, Started

_CACHE_SHARE = 8
_MOST_CACHE = 4 << 30
"""Caches of conversations that nobody is having right now may take an eighth of the memory, at most 4 GiB."""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter beside the base."""

    method: str
    parameters: int
    is_fused: bool
    manner: Manner
    warnings: tuple[str, ...]


class ChatModel:
    """A loaded base, its adapters and the conversations it remembers."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self.step_tokens = tokens_per_step(base.parameters, base.threads, base.device.type == "cpu")
        self._adapters: dict[str, LoadedAdapter] = {}
        self._rows = RowStore(_cache_budget(base.device))

    @classmethod
    def load(cls, request: Load, on_phase: Callable[[Phase], None]) -> ChatModel:
        return cls(load_base(request, on_phase))

    @property
    def adapter_names(self) -> tuple[str, ...]:
        return tuple(self._adapters)

    def load_adapter(self, name: str, path: Path, beside: AdapterNotes | None = None) -> LoadedAdapter:
        """Put an adapter beside the base; one of the same name goes.

        Args:
            beside: of a model that it is used with: what both have in common is not warned of.

        Raises:
            ModelError: it cannot be loaded; AdapterMismatch: it belongs to another base.
        """
        folder = open_adapter(path)
        if name in self._adapters:
            self.unload_adapter(name)
        try:
            parameters, is_fused = self._put_beside(name, folder)
        except (OSError, SafetensorError) as error:
            raise ModelError(_("{path} cannot be read: {error}").format(path=folder.weights, error=error)) from error
        base = self.base
        manner, told = manner_of_adapter(folder.notes, base.manner, base.folder, base.wanted_template, beside)
        loaded = LoadedAdapter(folder.method, parameters, is_fused, manner, (*_other_base(folder, base.name), *told))
        self._adapters[name] = loaded
        return loaded

    def put_factors(self, name: str, factors: LoraAdapter | None, manner: Manner) -> None:
        """Put what is being trained beside the base; what had the name goes, with what was read through it.

        Args:
            factors: for the fast forward; None where the base's network has them in it and answers by itself.
        """
        self._rows.forget_adapter(name)
        if self.base.fused is not None and factors is not None:
            self.base.fused.adapters[name] = factors
        parameters = 0 if factors is None else factors.parameters
        self._adapters[name] = LoadedAdapter("lora", parameters, factors is not None, manner, ())

    def _put_beside(self, name: str, folder: AdapterFolder) -> tuple[int, bool]:
        """Its number of parameters, and whether the fast forward serves it."""
        fused, stock = self.base.fused, self.base.stock
        if folder.is_prefix:
            return stock.add_prefix(name, folder), False
        lower = below(folder, self.base.merged)
        if fused is not None and folder.is_plain_lora() and all(one.adds_up() for one in lower):
            adapter = fused.adapters[name] = read_lora([*lower, folder], fused.layers, self.base.name)
            return adapter.parameters, True
        return stock.add_adapter(name, folder, self.base.name, lower), False

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter and what conversations read through it.

        Raises:
            UsageError: there is none of that name.
        """
        self._known(name)
        if self.base.fused is not None:
            self.base.fused.adapters.pop(name, None)
        self.base.stock.remove_adapter(name)
        self._rows.forget_adapter(name)
        del self._adapters[name]

    def forget_conversations(self) -> None:
        self._rows.clear()
        if self.base.device.type == "cuda":
            torch.cuda.empty_cache()

    def generate(self, request: Generate, emit: Callable[[Reply], None], is_stopped: Callable[[], bool]) -> None:
        """Answer every row of a request.

        Raises:
            UsageError: an adapter is unknown or a parameter impossible.
            PromptTooLong: a row's last message does not fit.
        """
        started_at = time.monotonic()
        check(request.sampling)
        if not request.rows:
            raise UsageError(_("there is nothing to answer: no rows"))
        for row in request.rows:
            if row.adapter is not None:
                self._known(row.adapter)
        prompts = [self._prompt(row, request) for row in request.rows]
        unfinished = set(range(len(request.rows)))

        def finish(answer: Answer) -> Finished:
            unfinished.discard(answer.number)
            self._rows.put(answer.cache_key, answer.adapter, answer.row)
            assert answer.finish_reason is not None
            return Finished(request.id, answer.number, answer.finish_reason, answer.usage(), last=not unfinished)

        for runner, numbers in self._batches(request.rows):
            answers = [self._begin(request, n, prompts[n], runner, started_at) for n in numbers]
            for answer in answers:
                dropped = prompts[answer.number].dropped
                emit(Started(request.id, answer.number, len(answer.prompt), answer.reused, dropped))
            answer_together(runner, answers, self.step_tokens, emit, is_stopped, finish)

    def manner(self, adapter: str | None) -> Manner:
        """How the base or an adapter is spoken to.

        Raises:
            UsageError: there is no adapter of that name.
        """
        if adapter is None:
            return self.base.manner
        self._known(adapter)
        return self._adapters[adapter].manner

    def _prompt(self, row: Row, request: Generate) -> Prompt:
        return self.manner(row.adapter).prompt(
            row.messages, self.base.context_length, request.sampling.max_new_tokens, request.enable_thinking
        )

    def _batches(self, rows: Sequence[Row]) -> list[tuple[Runner, list[int]]]:
        """Who answers which rows, together or in turn."""
        fused = self.base.fused
        together = [n for n, row in enumerate(rows) if fused is not None and self.is_fused(row.adapter)]
        alone = [n for n in range(len(rows)) if n not in together]
        first: list[tuple[Runner, list[int]]] = [(fused, together)] if fused is not None and together else []
        return first + [(self.base.stock, [n]) for n in alone]

    def is_fused(self, adapter: str | None) -> bool:
        """Whether the fast forward serves the base, or an adapter."""
        return adapter is None or self._adapters[adapter].is_fused

    def _begin(self, request: Generate, number: int, prompt: Prompt, runner: Runner, started_at: float) -> Answer:
        asked = request.rows[number]
        sampling = request.sampling
        row, reused = self._continued(runner, asked, prompt)
        template = self.manner(asked.adapter).template
        return Answer(
            request_id=request.id,
            number=number,
            adapter=asked.adapter,
            cache_key=asked.cache_key,
            row=row,
            prompt=prompt.ids,
            reused=reused,
            limits=Limits(
                self.base.end_ids | template.end_ids,
                sampling.stop + template.stop,
                sampling.max_new_tokens,
                self.base.context_length,
            ),
            sampler=Sampler(sampling, prompt.ids, self.base.device),
            decode=self.base.tokenizer.decode,
            started_at=started_at,
            opening="<think>\n" if prompt.opens_reasoning else "",
        )

    def _continued(self, runner: Runner, asked: Row, prompt: Prompt) -> tuple[Any, int]:
        """The conversation's row, cropped to what it shares with the prompt; at least one token is left to read."""
        row = self._rows.take(asked.cache_key, asked.adapter)
        if row is not None:
            shared = min(common_prefix(row.tokens, prompt.ids), len(prompt.ids) - 1)
            if runner.continue_row(row, shared):
                return row, shared
        return runner.new_row(), 0

    def _known(self, name: str) -> None:
        if name not in self._adapters:
            loaded = ", ".join(self._adapters) or _("none")
            hint = did_you_mean(name, self._adapters) or _("loaded: {names}").format(names=loaded)
            raise UsageError(_("no adapter {name!r} is loaded").format(name=name), hint)


def _other_base(folder: AdapterFolder, model: str) -> tuple[str, ...]:
    """A warning when an adapter whose shapes fit names another base than the loaded one."""
    there = model_name(Path(folder.base)).rpartition("/")[2].lower()
    if not there or there == model.rpartition("/")[2].lower():
        return ()
    message = _("the adapter was trained on {base}, the loaded model is {model}")
    return (message.format(base=folder.base, model=model),)


def _cache_budget(device: torch.device) -> int:
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else memory().total
    return min(int(total) // _CACHE_SHARE, _MOST_CACHE)
