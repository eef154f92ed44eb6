"""What a step has lived through: answers with their scores, and what the models thought of each token.

Tokens of all answers stand end to end, answer after answer. It is small (a few numbers a token), so every process that
trains holds all of it, and works out the same advantages, statistics and alarms.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.engine.batches.batch import EncodedRow


@dataclass(frozen=True)
class Answer:
    """An answer that was drawn, with what it was drawn for."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    """Up to and with the token that ended it, where one did; at least one."""
    text: str
    """Of the answer, without special tokens and what stops it."""
    ended: bool
    """By itself, not by its longest length."""
    score: float = math.nan
    """Not a number until it is scored."""

    def with_score(self, score: float) -> Answer:
        """The same, scored."""
        return replace(self, score=score)

    @property
    def row(self) -> EncodedRow:
        """Both as a row of tokens; the answer's are those that count."""
        ids = np.array([*self.prompt_ids, *self.answer_ids], dtype=np.int32)
        return EncodedRow(ids, np.arange(len(ids)) >= len(self.prompt_ids))


@dataclass(frozen=True)
class Opinions:
    """What was thought of each token when it was drawn, float32 [tokens] each, on the CPU."""

    log_probabilities: Tensor
    reference: Tensor
    """Log-probabilities of the reference."""
    values: Tensor
    """Of the state before each token."""
    entropy: Tensor


@dataclass(frozen=True)
class Experience:
    """All answers of a step."""

    answers: Sequence[Answer]
    opinions: Opinions

    @property
    def lengths(self) -> list[int]:
        """Tokens of each answer."""
        return [len(answer.answer_ids) for answer in self.answers]

    @property
    def scores(self) -> list[float]:
        return [answer.score for answer in self.answers]

    @property
    def distances(self) -> Tensor:
        """float64 [answers]: how far each lies from the reference, in nats."""
        apart = (self.opinions.log_probabilities - self.opinions.reference).double()
        return torch.stack([part.sum() for part in torch.split(apart, self.lengths)])

    @property
    def tokens(self) -> int:
        """Of all answers, with those of their questions."""
        return sum(len(answer.prompt_ids) + len(answer.answer_ids) for answer in self.answers)

    def tokens_of(self, answers: Sequence[int]) -> Tensor:
        """Where the tokens of some answers stand, int64 [tokens], answer after answer."""
        lengths = torch.tensor(self.lengths)
        starts = lengths.cumsum(0) - lengths
        return torch.cat([torch.arange(int(starts[one]), int(starts[one] + lengths[one])) for one in answers])

    def told(self) -> dict[str, float]:
        """What is told of the answers before anything is learnt from them, by the names of `core.runs.quantities`."""
        count = len(self.answers)
        return {
            "reward": math.fsum(self.scores) / count,
            "reward_spread": spread(self.scores),
            "kl": float(self.distances.mean()),
            "entropy": float(self.opinions.entropy.mean()),
            "answer_tokens": sum(self.lengths) / count,
            "eos_rate": sum(answer.ended for answer in self.answers) / count,
            "repeated_rate": repeated_rate([answer.text for answer in self.answers]),
        }

    @property
    def shared_rate(self) -> float:
        """The share of answers whose text was given to another question too."""
        askers: Mapping[str, set[tuple[int, ...]]] = defaultdict(set)
        for answer in self.answers:
            askers[answer.text].add(answer.prompt_ids)
        return sum(len(askers[answer.text]) > 1 for answer in self.answers) / len(self.answers)


def spread(values: Sequence[float]) -> float:
    """The standard deviation of a sample; 0 of a single value."""
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def repeated_rate(texts: Sequence[str]) -> float:
    """The share of texts that are not the only one of their kind."""
    counts = Counter(texts)
    return sum(count for count in counts.values() if count > 1) / len(texts)
