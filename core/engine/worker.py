"""What the chat worker does with each request.

Rendering needs a tokenizer only; everything with weights lives behind `core.engine.chat_model`, which is imported (with
torch, some seconds) when the first of them is to be loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from core.engine.manner import Manner, manner_of_model
from core.engine.template import choose_template
from core.engine.tokenizer import Tokenizer, load_tokenizer
from core.errors import ModelError, UsageError
from core.i18n import _
from core.serve.protocol import (
    AdapterLoaded,
    Done,
    Finished,
    Generate,
    Load,
    LoadAdapter,
    Loaded,
    Phase,
    PhaseChanged,
    Render,
    Rendered,
    Reply,
    Token,
    Unload,
    UnloadAdapter,
)
from core.serve.service import Work

if TYPE_CHECKING:
    from core.engine.chat_model import ChatModel


@dataclass
class Condition:
    """How the worker is, for whoever asks from another thread."""

    state: str = "empty"
    model: str = ""
    adapters: tuple[str, ...] = ()


class Worker:
    """Serves one request after another.

    Args:
        emit: where replies go.
        is_stopped: whether the user wants an end of the `Generate` of that id.
    """

    def __init__(self, emit: Callable[[Reply], None], is_stopped: Callable[[int], bool]) -> None:
        self.condition = Condition()
        self._emit = emit
        self._is_stopped = is_stopped
        self._model: ChatModel | None = None
        self._tokenizer: Tokenizer | None = None
        self._tokenizer_of = functools.lru_cache(maxsize=4)(load_tokenizer)

    def handle(self, request: Work) -> None:
        """Serve a request, its closing reply included.

        Raises:
            FinetuiError: it cannot be honoured.
        """
        match request:
            case Load():
                self._load(request)
            case LoadAdapter():
                self._load_adapter(request)
            case UnloadAdapter():
                self._loaded_model().unload_adapter(request.name)
                self._told(request.id)
            case Unload():
                self._unload()
                self._told(request.id)
            case Generate():
                self._generate(request)
            case Render():
                self._emit(self._rendered(request))
            case _:
                assert_never(request)

    def out_of_memory(self) -> None:
        """Give back what can be had again: the caches of conversations."""
        if self._model is not None:
            self._model.forget_conversations()

    def _load(self, request: Load) -> None:
        started_at = time.monotonic()

        def on_phase(phase: Phase) -> None:
            self._emit(PhaseChanged(request.id, phase, time.monotonic() - started_at))

        self._unload()
        self.condition.state = "loading"
        try:
            on_phase("importing")
            from core.engine.chat_model import ChatModel  # torch and transformers: 2–5 s

            self._model = ChatModel.load(request, on_phase)
            on_phase("ready")
        finally:
            self.condition.state = "empty" if self._model is None else "ready"
        _trim_heap()
        base = self._model.base
        self._tokenizer = base.tokenizer
        self.condition.model = request.model
        self._emit(
            Loaded(
                request.id,
                request.model,
                architecture=base.architecture,
                parameters=base.parameters,
                dtype=base.dtype,
                device=str(base.device),
                threads=base.threads,
                context_length=base.context_length,
                template=base.template.name,
                injected_system=base.template.injected_system,
                thinking=base.template.knows_thinking,
                fused=base.fused is not None,
                seconds=time.monotonic() - started_at,
                warnings=base.warnings,
            )
        )

    def _load_adapter(self, request: LoadAdapter) -> None:
        started_at = time.monotonic()
        model = self._loaded_model()
        try:
            loaded = model.load_adapter(request.name, Path(request.path))
        finally:
            self.condition.adapters = model.adapter_names  # one of the same name has left before
        self._emit(
            AdapterLoaded(
                request.id,
                request.name,
                loaded.method,
                loaded.parameters,
                time.monotonic() - started_at,
                loaded.warnings,
            )
        )

    def _unload(self) -> None:
        self._model = None
        self.condition.model, self.condition.adapters, self.condition.state = "", (), "empty"
        give_memory_back()

    def _told(self, request_id: int) -> None:
        self.condition.adapters = () if self._model is None else self._model.adapter_names
        self._emit(Done(request_id))

    def _generate(self, request: Generate) -> None:
        model = self._loaded_model()
        self.condition.state = "generating"

        def emit(reply: Reply) -> None:
            if isinstance(reply, Finished) and reply.last:
                self.condition.state = "ready"  # before anybody who read the reply can ask
            self._emit(reply)

        try:
            model.generate(request, emit, lambda: self._is_stopped(request.id))
        finally:
            self.condition.state = "ready"

    def _rendered(self, request: Render) -> Rendered:
        tokenizer = self._tokenizer_of(Path(request.model)) if request.model else self._tokenizer
        if tokenizer is None:
            raise UsageError(_("no model is loaded or named whose prompt could be shown"))
        manner = self._manner(request, tokenizer)
        dropped = self._left_out(request, manner)
        kept = [message for index, message in enumerate(request.messages) if index not in dropped]
        messages = manner.messages(kept)
        render = functools.partial(
            manner.template.rendering,
            messages,
            add_generation_prompt=request.add_generation_prompt,
            enable_thinking=manner.thinks(request.enable_thinking),
        )
        warnings: tuple[str, ...] = ()
        try:
            rendering = render(loss_mask=True)
        except ModelError as error:
            rendering, warnings = render(), (str(error),)
        tokens = zip(rendering.ids, rendering.pieces(), rendering.trained, strict=True)
        return Rendered(
            request.id,
            rendering.text,
            tuple(Token(*token) for token in tokens),
            manner.template.name,
            "" if any(message.role == "system" for message in messages) else manner.template.injected_system,
            warnings,
            dropped,
        )

    def _manner(self, request: Render, tokenizer: Tokenizer) -> Manner:
        """How whoever is to answer would be spoken to."""
        loaded = self._model
        if loaded and not request.model and request.template in ("auto", "", loaded.base.wanted_template):
            return loaded.manner(request.adapter)
        if request.model:
            return manner_of_model(Path(request.model), request.template, tokenizer)
        return Manner(choose_template(request.template, tokenizer))

    def _left_out(self, request: Render, manner: Manner) -> tuple[int, ...]:
        """What a `Generate` of these messages would leave out."""
        if not request.max_new_tokens or request.model:
            return ()
        length = self._loaded_model().base.context_length
        return manner.prompt(request.messages, length, request.max_new_tokens, request.enable_thinking).dropped

    def _loaded_model(self) -> ChatModel:
        if self._model is None:
            raise UsageError(_("no model is loaded"), _("load one first"))
        return self._model


def give_memory_back() -> None:
    gc.collect()  # networks are full of cycles
    _trim_heap()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _trim_heap() -> None:
    """What was freed in pieces stays with the process otherwise: 400 MB behind a model of 135 M parameters."""
    with contextlib.suppress(OSError, AttributeError):  # glibc's; others do without
        ctypes.CDLL(None).malloc_trim(0)
