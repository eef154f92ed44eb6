"""The page of a run's answers: what was answered to the same prompts as the training went on.

A supervised training shows all its prompts, the newest answer first. Where answers have rewards, or a policy moves away
from what it was, they are read the other way: one question at a time, and below it the answer before the training, then
what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.i18n import _
from core.runs.events import Sample
from core.runs.history import History
from core.runs.quantities import TrainingStage
from core.untrusted import inert
from tui.actions import bindings
from tui.charts.axes import number_text
from tui.widgets.lines import break_offsets

_ANSWERS_PER_PROMPT = 60
_STEP_CELLS, _REWARD_CELLS = 9, 8


class AnswersPage(VerticalScroll, can_focus=True):
    """Shows the answers of a run."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("answers")
    DEFAULT_CSS = """
    AnswersPage { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    AnswersPage Static { width: 100%; height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: object = None
        self._history: History | None = None
        self._stage: TrainingStage = "sft"
        self._question = 0
        self._pipeline = False

    def compose(self) -> ComposeResult:
        yield Static(Content(""))

    def show(self, history: History | None, stage: TrainingStage, pipeline: bool = False) -> None:
        self._history, self._stage, self._pipeline = history, stage, pipeline
        samples = history.samples if history is not None else []
        self._question = min(self._question, max(0, len(questions(samples)) - 1))
        now = (samples, self.size.width, stage, self._question, pipeline)
        if now == self._shown:
            return
        self._shown = now
        width = max(20, self.size.width - 4)
        one = samples and (stage in ("dpo", "ppo") or any(sample.reward is not None for sample in samples))
        if pipeline:
            content = Content(_("The answers of a pipeline are in its steps' runs."))
        else:
            content = (
                question_content(samples, self._question, width) if one else answers_content(samples, width, stage)
            )
        self.query_one(Static).update(content)

    def on_resize(self) -> None:
        self.show(self._history, self._stage, self._pipeline)

    def action_question(self, way: int) -> None:
        """Another question's answers."""
        count = len(questions(self._history.samples)) if self._history is not None else 0
        if count:
            self._question = (self._question + way) % count
            self.show(self._history, self._stage, self._pipeline)
            self.scroll_home(animate=False)


def questions(samples: Sequence[Sample]) -> list[str]:
    """Each question once, in the order that they were asked."""
    return list(dict.fromkeys(sample.prompt for sample in samples))


def question_content(samples: Sequence[Sample], number: int, width: int) -> Content:
    """The answers to one question from the first on, with their rewards where they have some."""
    asked = questions(samples)
    answers = [sample for sample in samples if sample.prompt == asked[number]]
    rewarded = any(sample.reward is not None for sample in answers)
    head = _("question {n} of {count}").format(n=number + 1, count=len(asked))
    lines = [Content.styled(head + ("  ←→" if len(asked) > 1 else ""), "$muted")]
    lines += [Content.styled(row, "bold $text-primary") for row in _broken(inert(asked[number].strip()), width)]
    words = f"{_('step'):>7}  " + (f"{_('reward'):>7}  " if rewarded else "")
    lines += [Content(""), Content.styled(words, "$muted")]
    for index, sample in enumerate(answers):
        if 0 < index <= len(answers) - _ANSWERS_PER_PROMPT:
            continue
        same = index > 0 and answers[index - 1].answer == sample.answer
        lines += _answer_lines(sample, width, same=same, rewarded=rewarded)
    return Content("\n").join(lines)


def answers_content(samples: Sequence[Sample], width: int, stage: TrainingStage = "sft") -> Content:
    """Prompt by prompt, what was answered at which step, the newest first."""
    if stage == "rm":
        return Content(_("A reward model writes no answers; it scores those of others."))
    if not samples:
        return Content(_("No answers yet: probe prompts are answered before the first step and at each evaluation."))
    parts = []
    for prompt in questions(samples):
        lines = [Content.styled(inert(prompt), "bold $text-primary")]
        answers = [sample for sample in samples if sample.prompt == prompt]
        for number, sample in reversed(list(enumerate(answers))[-_ANSWERS_PER_PROMPT:]):
            same = number > 0 and answers[number - 1].answer == sample.answer
            lines += _answer_lines(sample, width, same=same)
        parts.append(Content("\n").join(lines))
    return Content("\n\n").join(parts)


def _answer_lines(sample: Sample, width: int, *, same: bool, rewarded: bool = False) -> Iterator[Content]:
    """An answer behind its step and its reward; one that did not change is said once."""
    cells = _STEP_CELLS + (_REWARD_CELLS + 1 if rewarded else 0)
    text = inert(sample.answer.strip())
    said = [(_("as before"), "$muted")] if same else [(row, "") for row in _broken(text, width - cells)]
    for row, (piece, style) in enumerate(said or [(_("nothing"), "$muted")]):
        step = f"{sample.step:>7}  " if row == 0 else " " * _STEP_CELLS
        told = number_text(sample.reward) if row == 0 and sample.reward is not None else ""
        yield Content.assemble((step, "$muted"), (f"{told:>7}  " if rewarded else "", "bold"), (piece, style))


def _broken(text: str, width: int) -> list[str]:
    return [line[start:end] for line in text.splitlines() for start, end in break_offsets(line, max(8, width))]
