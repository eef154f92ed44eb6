"""A row of `generated_predictions.jsonl`: what was asked, what was answered, and what should have been.

The first three keys are LLaMA-Factory's. Files of others have fewer keys (`labels` for `label`, no prompt): what is
missing is empty. A reward model that is asked which of two answers is better leaves a row of the same kind, with the
two scores in front, as LLaMA-Factory's `chosen` and `rejected`.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.chat.message import FinishReason


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer to one row of a test set."""

    prompt: str
    """As the model read it, special tokens shown."""
    predict: str
    """Without thinking and without special tokens, otherwise exactly as it was written."""
    label: str
    """The answer of the data file, untouched: no template's suffix."""
    id: str = ""
    """The row's own: its `id` in the data, else `file:line`."""
    row: int = 0
    """Its number among the rows of the set, from 0, in the data's order."""
    repeat: int = 0
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    """Of the answer."""
    dropped_turns: int = 0
    """Oldest turns that left because the prompt was too long."""
    thinking: str = ""
    error: str = ""
    """Why there is no answer; the run went on."""
    loss: float | None = None
    """Of the reference answer: mean negative log-likelihood per token, in nats."""
    label_tokens: int = 0
    """What the mean is over."""
    reward: float | None = None
    chosen: float | None = None
    """Where a reward model was asked about two answers: its score of `label`, the better one; `predict` is the one that
    it puts first."""
    rejected: float | None = None
    """Its score of `worse`."""
    worse: str = ""
    """The other answer."""
    choice: dict[str, float] | None = None
    """In multiple choice: the probability of each letter among them."""

    @property
    def compares(self) -> bool:
        """Whether two answers stand beside one another here, with scores or an error."""
        return self.chosen is not None or bool(self.worse)

    @property
    def is_right(self) -> bool:
        """Whether the answer is the reference; of two, whether the better one is ahead."""
        if self.chosen is not None and self.rejected is not None:
            return self.chosen > self.rejected
        return self.predict == self.label
