"""Reward models of an evaluation: which of two answers they find better, and how far.

Each asks in the manner that it was trained in, as it does where it judges answers. Both answers to a question follow
one another, so that the question is read once; long pairs come first, so that memory fails early if it fails. The
oldest turns of a question leave where it is too long; answers are never cut, for a reward is read at their end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from core.chat.message import Message
from core.config.evaluation import EvaluatedDataOptions, EvaluatedModelOptions, PredictionOptions
from core.config.load import Settings
from core.engine.diary import Diary
from core.engine.evaluating.answering import IsStopped, OnAnswer, OnTokens, Wanted, unanswered
from core.engine.evaluating.rewards import request_for
from core.engine.evaluating.test_set import ComparedRow, TestRow
from core.engine.evaluating.weights import LoadedModels
from core.engine.load import choose_device
from core.engine.scorers.opening import REWARD, load_classifier, on_model
from core.engine.scorers.trained import JudgedText, TrainedScorer, judged_text
from core.engine.training.memory import held_memory
from core.errors import FinetuiError
from core.i18n import _, plural
from core.models.candidates import Candidate
from core.models.reward_source import is_classifier, source_of
from core.report.prediction import Prediction
from core.report.report import Subject
from core.runs.events import ModelReady
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class _Pair:
    row: ComparedRow
    better: JudgedText
    worse: JudgedText
    dropped: int = 0
    """Turns that left."""

    @property
    def tokens(self) -> int:
        return len(self.better.ids) + len(self.worse.ids)


@dataclass
class Judge:
    """A reward model that scores both answers of test rows; see `core.engine.evaluating.answering.Answerer`."""

    scorer: TrainedScorer
    subject: Subject
    settings: Settings
    loading_seconds: float = 0.0
    noted: tuple[str, ...] = ()
    _cut: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        told = "{count} prompt was too long, and lost its oldest turns"
        many = "{count} prompts were too long, and lost their oldest turns"
        return (*self.noted, *((plural(told, many, self._cut),) if self._cut else ()))

    def memory(self) -> int:
        return held_memory(choose_device(self.settings[EvaluatedModelOptions].device))

    def judge(self, answers: Sequence[Prediction], rows: Sequence[TestRow], is_stopped: IsStopped) -> list[Prediction]:
        """Nothing is asked for beside the scores."""
        return []

    def answer(self, wanted: Sequence[Wanted], on_answer: OnAnswer, on_tokens: OnTokens, is_stopped: IsStopped) -> None:
        """Score pairs; see `Answerer.answer`."""
        self._cut = 0
        pairs = []
        for row, _repeat in wanted:
            if is_stopped():
                return
            try:
                pairs.append(self._pair(row))
            except FinetuiError as error:
                on_answer(replace(_blank(row), error=str(error)))
        self._cut = sum(pair.dropped > 0 for pair in pairs)
        pairs.sort(key=lambda pair: -pair.tokens)
        at_once = self.settings[PredictionOptions].per_device_eval_batch_size or len(pairs)
        for begin in range(0, len(pairs), max(at_once, 1)):
            self._score(pairs[begin : begin + at_once], on_answer, on_tokens, is_stopped)

    def _score(self, pairs: Sequence[_Pair], on_answer: OnAnswer, on_tokens: OnTokens, is_stopped: IsStopped) -> None:
        if is_stopped():
            return
        found = self.scorer.read([text.ids for pair in pairs for text in (pair.better, pair.worse)])
        for pair in pairs:
            chosen, rejected = next(found), next(found)
            on_tokens(pair.tokens)
            on_answer(self._answered(pair, chosen, rejected))
            if is_stopped():
                return

    def _answered(self, pair: _Pair, chosen: float | None, rejected: float | None) -> Prediction:
        decode = self.scorer.manner.template.tokenizer.backend.decode
        prompt = pair.better.ids[: pair.better.prompt]
        blank = replace(
            _blank(pair.row),
            prompt=str(decode(list(prompt), skip_special_tokens=False)),
            prompt_tokens=len(prompt),
            dropped_turns=pair.dropped,
        )
        if chosen is None or rejected is None:
            return replace(blank, error=_("out of memory while its answers were read"))
        first = pair.row.label if chosen > rejected else pair.row.worse
        tokens = len((pair.better if chosen > rejected else pair.worse).ids) - len(prompt)
        return replace(blank, predict=first, chosen=chosen, rejected=rejected, finish_reason="stop", tokens=tokens)

    # --- texts --------------------------------------------------------------------------------------------------

    def _pair(self, row: TestRow) -> _Pair:
        """Both conversations as the model reads them, with as many of the newest turns as have room.

        Raises:
            FinetuiError: the last question with one of its answers is too long by itself.
        """
        assert isinstance(row, ComparedRow)
        opening = row.messages[:1] if row.messages[0].role == "system" else ()
        starts = [number for number, message in enumerate(row.messages) if message.role == "user"] or [len(opening)]
        first = self._texts(row, row.messages)
        if self._fits(first):
            return first
        for start in starts[1:]:
            shorter = self._texts(row, (*opening, *row.messages[start:]))
            if self._fits(shorter):
                return replace(shorter, dropped=sum(message.role == "user" for message in row.messages[:start]))
        told = _("the question with its longer answer takes {tokens} tokens, and there is room for {room}")
        longest = max(len(first.better.ids), len(first.worse.ids))
        raise FinetuiError(told.format(tokens=longest, room=self.scorer.context_length))

    def _texts(self, row: ComparedRow, messages: Sequence[Message]) -> _Pair:
        better, worse = (
            judged_text(self.scorer.manner, (*messages, Message("assistant", text))) for text in (row.label, row.worse)
        )
        return _Pair(row, better, worse)

    def _fits(self, pair: _Pair) -> bool:
        cutoff = self.settings[EvaluatedDataOptions].cutoff_len or self.scorer.context_length
        longest = max(len(pair.better.ids), len(pair.worse.ids))
        return 0 < longest <= self.scorer.context_length and pair.better.prompt <= cutoff


def _blank(row: TestRow) -> Prediction:
    assert isinstance(row, ComparedRow)
    return replace(unanswered(row, 0), worse=row.worse)


@dataclass(frozen=True, slots=True)
class _Loaded:
    scorer: TrainedScorer
    dtype: str
    device: str
    seconds: float
    notes: tuple[str, ...]
    parameters: int = 0
    """0 where nobody has counted them."""


class LoadedJudges:
    """The reward models of an evaluation; those that are adapters of one base share its weights, one after another."""

    def __init__(self, settings: Settings, workspace: Workspace, diary: Diary) -> None:
        self._settings, self._diary = settings, diary
        self._models = LoadedModels(settings, workspace, diary)

    @contextmanager
    def judging(self, candidate: Candidate) -> Iterator[Judge]:
        """One of them, loaded.

        Raises:
            FinetuiError: it cannot be loaded, or is no reward model.
        """
        notes: list[str] = []
        source = source_of(candidate)
        if source.adapter is None and is_classifier(candidate.model.path):
            self._diary.stage("loading")
            request = request_for(candidate.model.path, self._settings[EvaluatedModelOptions])
            began = time.monotonic()
            scorer = load_classifier(source, request, notes.append)
            loaded = _Loaded(scorer, request.dtype, request.device, time.monotonic() - began, tuple(notes))
            yield self._judge(candidate, loaded)
            return
        chat = self._models.base(candidate)
        notes += (f"{candidate.name}: {warning}" for warning in chat.base.warnings)
        scorer = on_model(source, chat, notes.append)
        base = chat.base
        loaded = _Loaded(scorer, base.dtype, str(base.device), self._models.seconds, tuple(notes), base.parameters)
        try:
            yield self._judge(candidate, loaded)
        finally:
            if source.adapter is not None:
                chat.unload_adapter(REWARD)

    def _judge(self, candidate: Candidate, loaded: _Loaded) -> Judge:
        asked, dtype, device = self._as_asked(loaded.scorer), loaded.dtype, loaded.device
        subject = Subject(
            name=candidate.name,
            model=candidate.model.name,
            adapter=self._models.typed(candidate),
            path=str(candidate.path),
            method=candidate.adapter.method if candidate.adapter is not None else "",
            template=asked.manner.template.name,
            dtype=dtype,
            device=device,
            weights_sha256=candidate.sha256(),
        )
        choices = (_("template {name}").format(name=subject.template), _("scores pairs of answers"))
        ready = ModelReady(
            time.time(), subject.name, subject.method, loaded.parameters, 0, dtype, device, choices=choices
        )
        self._diary.tell(ready)
        for note in loaded.notes:
            self._diary.warn(note)
        return Judge(asked, subject, self._settings, loaded.seconds, loaded.notes)

    def _as_asked(self, scorer: TrainedScorer) -> TrainedScorer:
        """The user's words go before what it was trained under."""
        manner = scorer.manner
        prefix = self._settings[EvaluatedDataOptions].source_prefix
        options = self._settings[PredictionOptions]
        return replace(
            scorer,
            manner=replace(
                manner,
                default_system=options.default_system or manner.default_system,
                source_prefix=manner.source_prefix if prefix is None else prefix,
                enable_thinking=manner.thinks(options.enable_thinking),
            ),
        )
