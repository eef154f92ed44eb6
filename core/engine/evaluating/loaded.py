"""A model that is loaded here, or one with its adapter, answering test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.chat.message import FinishReason
from core.config.evaluation import EvaluatedModelOptions, MetricOptions, PredictionOptions
from core.config.load import Settings
from core.engine.context import Prompt
from core.engine.diary import Diary
from core.engine.evaluating.answering import (
    IsStopped,
    OnAnswer,
    OnTokens,
    Wanted,
    sampling_of,
    unanswered,
    with_text,
)
from core.engine.evaluating.likely import letter_shares, reference_losses
from core.engine.evaluating.speaking import Speaking
from core.engine.evaluating.test_set import TestRow
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply
from core.engine.training.memory import held_memory
from core.errors import FinetuiError
from core.i18n import _, plural
from core.models.candidates import Candidate
from core.models.notes import read_notes
from core.report.prediction import Prediction
from core.report.report import Subject

_OPENING = "<think>\n"


@dataclass
class LoadedAnswerer:
    """A loaded model, or one with its adapter."""

    candidate: Candidate
    speaking: Speaking
    settings: Settings
    diary: Diary
    typed: str = ""
    """What the adapter is called, for whoever wants it again."""
    loading_seconds: float = 0.0
    noted: list[str] = field(default_factory=list)
    _prompts: dict[int, Prompt] = field(default_factory=dict)
    _near_ties: int = 0
    _cut: set[int] = field(default_factory=set)

    @property
    def subject(self) -> Subject:
        base, candidate = self.speaking.chat.base, self.candidate
        adapter = candidate.adapter
        bits = self.settings[EvaluatedModelOptions].quantization_bit
        return Subject(
            name=candidate.name,
            model=candidate.model.name,
            adapter=self.typed if adapter is not None else "",
            path=str(candidate.path),
            method=adapter.method if adapter is not None else _method(candidate.path),
            template=self.speaking.manner.template.name,
            dtype=base.dtype
            if bits is None
            else _("{bits} bits, computed in {dtype}").format(bits=bits, dtype=base.dtype),
            device=str(base.device),
            weights_sha256=candidate.sha256(),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        notes = list(self.noted)
        if self._cut:
            told = "{count} prompt was too long, and lost its oldest turns"
            notes.append(plural(told, "{count} prompts were too long, and lost their oldest turns", len(self._cut)))
        if self._near_ties:
            told = (
                "in {count} answer two tokens were equally likely somewhere; another batch may answer otherwise there"
            )
            many = (
                "in {count} answers two tokens were equally likely somewhere; another batch may answer otherwise there"
            )
            notes.append(plural(told, many, self._near_ties))
        return tuple(notes)

    def memory(self) -> int:
        return held_memory(self.speaking.chat.base.device)

    # --- answers ------------------------------------------------------------------------------------------------

    def answer(self, wanted: Sequence[Wanted], on_answer: OnAnswer, on_tokens: OnTokens, is_stopped: IsStopped) -> None:
        """See `Answerer`."""
        self._prompts.clear()
        self._near_ties = 0
        self._cut.clear()
        if wanted and wanted[0][0].letters:
            self._choose(wanted, on_answer, is_stopped)
        else:
            self._write(wanted, on_answer, on_tokens, is_stopped)

    def _choose(self, wanted: Sequence[Wanted], on_answer: OnAnswer, is_stopped: IsStopped) -> None:
        """Tell the letter that most likely comes next."""
        rows = [row for row, repeat in wanted if self._prompt_or_error(row, repeat, 1, on_answer) is not None]
        prompts = {row.number: self._prompts[row.number].ids for row in rows}
        for row, choice in letter_shares(self.speaking, rows, prompts, is_stopped):
            if choice is None:
                on_answer(replace(self._blank(row, 0), error=_("out of memory while its prompt was read")))
                continue
            best = max(choice, key=lambda letter: choice[letter])
            on_answer(replace(self._blank(row, 0), predict=best, finish_reason="stop", choice=choice))

    def _write(self, wanted: Sequence[Wanted], on_answer: OnAnswer, on_tokens: OnTokens, is_stopped: IsStopped) -> None:
        options = self.settings[PredictionOptions]
        asked: dict[tuple[int, int], Wanted] = {}
        questions: list[Question] = []
        for row, repeat in wanted:
            prompt = self._prompt_or_error(row, repeat, options.max_new_tokens, on_answer)
            if prompt is not None:
                key = (row.number, repeat)
                asked[key] = (row, repeat)
                questions.append(self.speaking.question(key, prompt, sampling_of(options, *key)))

        def take(reply: Reply) -> None:
            on_answer(self._answered(*asked[reply.key], reply))

        predict(
            self.speaking.chat,
            questions,
            batch_size=options.per_device_eval_batch_size,
            is_stopped=is_stopped,
            on_reply=take,
            on_tokens=on_tokens,
            on_warning=self._warn,
        )

    def _warn(self, message: str) -> None:
        self.noted.append(message)
        self.diary.warn(message)

    def _prompt_or_error(self, row: TestRow, repeat: int, most: int, on_answer: OnAnswer) -> Prompt | None:
        """A row's prompt; None where there is none, which is then its answer's error."""
        try:
            if row.number not in self._prompts:
                self._prompts[row.number] = self.speaking.prompt(row, most)
        except FinetuiError as error:
            on_answer(replace(unanswered(row, repeat), error=str(error)))
            return None
        prompt = self._prompts[row.number]
        if prompt.dropped:
            self._cut.add(row.number)
        return prompt

    def _blank(self, row: TestRow, repeat: int) -> Prediction:
        prompt = self._prompts[row.number]
        blank = unanswered(row, repeat, self.speaking.text(prompt))
        return replace(blank, prompt_tokens=len(prompt.ids), dropped_turns=_turns(row, prompt))

    def _answered(self, row: TestRow, repeat: int, reply: Reply) -> Prediction:
        blank = self._blank(row, repeat)
        if reply.error:
            return replace(blank, error=reply.error)
        self._near_ties += bool(reply.near_ties)
        opening = _OPENING if self._prompts[row.number].opens_reasoning else ""
        reason: FinishReason | None = reply.finish_reason
        return with_text(replace(blank, finish_reason=reason, tokens=len(reply.ids)), opening + reply.text)

    def judge(
        self, answers: Sequence[Prediction], rows: Sequence[TestRow], is_stopped: IsStopped
    ) -> Iterator[Prediction]:
        """See `Answerer`."""
        if not self.settings[MetricOptions].reference_loss:
            return
        lacking: dict[int, list[Prediction]] = {}
        for answer in answers:
            if answer.loss is None and not answer.error:
                lacking.setdefault(answer.row, []).append(answer)
        most = self.settings[PredictionOptions].max_new_tokens
        without = len(lacking)
        for one in reference_losses(
            self.speaking,
            [rows[number] for number in lacking],
            lambda row: self.speaking.prompt(row, most).dropped,
            is_stopped,
        ):
            if one.tokens:
                without -= 1
                yield from (replace(each, loss=one.loss, label_tokens=one.tokens) for each in lacking[one.key])
        if without and not is_stopped():
            told = "{count} reference answer has no place in the context or in memory, and no loss"
            many = "{count} reference answers have no place in the context or in memory, and no loss"
            self._warn(plural(told, many, without))


def _method(folder: Path) -> str:
    """How a whole model was trained, where finetui did it."""
    try:
        notes = read_notes(folder)
    except FinetuiError:
        return ""
    return notes.method if notes is not None else ""


def _turns(row: TestRow, prompt: Prompt) -> int:
    return sum(row.messages[index].role == "user" for index in prompt.dropped)
