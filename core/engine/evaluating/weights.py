"""The weights of an evaluation: one set for a base and all its adapters, which take turns beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.config.evaluation import EvaluatedDataOptions, EvaluatedModelOptions, PredictionOptions
from core.config.load import Settings
from core.engine.chat_model import ChatModel
from core.engine.diary import Diary
from core.engine.evaluating.loaded import LoadedAnswerer
from core.engine.evaluating.speaking import Speaking
from core.engine.load import choose_device, load_base
from core.engine.training.memory import free_unused
from core.errors import ModelNotFound, UsageError
from core.i18n import _
from core.models.adapters import resolve_adapter
from core.models.candidates import Candidate
from core.runs.events import ModelReady
from core.serve.protocol import Load
from core.workspace import Workspace


class LoadedModels:
    """The weights that are held now: those of one base, and at most one adapter beside them."""

    def __init__(self, settings: Settings, workspace: Workspace, diary: Diary) -> None:
        self._settings, self._workspace, self._diary = settings, workspace, diary
        self._chat: ChatModel | None = None
        self.seconds = 0.0
        """That the weights took to load."""

    @contextmanager
    def answering(self, candidate: Candidate) -> Iterator[LoadedAnswerer]:
        """Somebody of an evaluation, loaded.

        Raises:
            FinetuiError: the model or the adapter cannot be loaded.
        """
        chat = self.base(candidate)
        began, notes = time.monotonic(), list(chat.base.warnings)
        adapter = candidate.name if candidate.adapter is not None else None
        if candidate.adapter is not None:
            _agree(self._settings, candidate)
            notes += chat.load_adapter(candidate.name, candidate.adapter.path).warnings
        try:
            speaking = _speaking(chat, adapter, self._settings)
            answerer = LoadedAnswerer(candidate, speaking, self._settings, self._diary, self.typed(candidate))
            answerer.loading_seconds = self.seconds + time.monotonic() - began
            answerer.noted += notes
            self._tell(answerer)
            for note in notes:
                self._diary.warn(f"{candidate.name}: {note}")
            yield answerer
        finally:
            if adapter is not None:
                chat.unload_adapter(adapter)

    def typed(self, candidate: Candidate) -> str:
        """The short name where that means this adapter, else its folder."""
        if candidate.adapter is None:
            return ""
        with suppress(ModelNotFound):
            if resolve_adapter(candidate.name, self._workspace).path.samefile(candidate.path):
                return candidate.name
        return str(candidate.path)

    def base(self, candidate: Candidate) -> ChatModel:
        """The model that somebody stands on, loaded if it is not the one that is held."""
        folder = candidate.model.path
        if self._chat is None or self._chat.base.folder != folder:
            if self._chat is not None:
                device = self._chat.base.device
                self._chat = None
                free_unused(device)
            self._diary.stage("loading")
            began = time.monotonic()
            self._chat = self._load(folder)
            self.seconds = time.monotonic() - began
        return self._chat

    def _load(self, folder: Path) -> ChatModel:
        model = self._settings[EvaluatedModelOptions]
        dtype = model.number_format
        if model.fp16 and choose_device(model.device).type == "cpu":
            dtype = "float32"
            self._diary.warn(_("fp16 needs a GPU: the answers are computed in float32"), _("leave fp16 out"))
        request = Load(
            1,
            str(folder),
            template=model.template,
            dtype=dtype,
            device=model.device,
            threads=model.threads,
            trust_remote_code=model.trust_remote_code,
            allow_pickle=model.allow_pickle,
        )
        return ChatModel(load_base(request, lambda _phase: None, model.quantization_bit))

    def _tell(self, answerer: LoadedAnswerer) -> None:
        base, subject = answerer.speaking.chat.base, answerer.subject
        event = ModelReady(
            time.time(),
            subject.name,
            subject.method,
            base.parameters,
            0,
            subject.dtype,
            subject.device,
            threads=base.threads,
            choices=(_("template {name}").format(name=subject.template),),
        )
        self._diary.tell(event)


def _speaking(chat: ChatModel, adapter: str | None, settings: Settings) -> Speaking:
    data, generation = settings[EvaluatedDataOptions], settings[PredictionOptions]
    return Speaking(
        chat, adapter, generation.default_system, data.source_prefix, generation.enable_thinking, data.cutoff_len
    )


def _agree(settings: Settings, candidate: Candidate) -> None:
    """Raises UsageError where the adapter was trained in another way than `finetuning_type` says."""
    wanted, adapter = settings[EvaluatedModelOptions].finetuning_type, candidate.adapter
    if wanted is None or adapter is None or adapter.method in (wanted, "dora" if wanted == "lora" else wanted):
        return
    what = _("the adapter {name} is {method}, not {wanted}")
    raise UsageError(
        what.format(name=candidate.name, method=adapter.method, wanted=wanted), _("leave finetuning_type out")
    )
