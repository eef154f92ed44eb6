"""The next token out of the logits, by transformers' rules in transformers' order.

repetition penalty → temperature → top-k → top-p → min-p → draw. Nothing is taken from a model's own
`generation_config`: what the user sees is what is used. A draw is one uniform number from the row's own generator,
looked up in the cumulated probabilities: the same seed draws the same on every device and in every batch, so that
columns of a comparison differ by their models only. Where all tokens are candidates, they are cumulated in the
vocabulary's order (`core.engine.drawing`), else from the likeliest on.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from core.engine.drawing import draw
from core.errors import ModelError, UsageError
from core.i18n import _
from core.serve.protocol import Sampling


def check(sampling: Sampling) -> None:
    """Raises UsageError for a value that no sampling knows."""
    bounds = (
        ("temperature", sampling.temperature, 0.0, 100.0),
        ("top_p", sampling.top_p, 0.0, 1.0),
        ("min_p", sampling.min_p, 0.0, 1.0),
        ("top_k", sampling.top_k, 0, 10**9),
        ("repetition_penalty", sampling.repetition_penalty, 0.01, 100.0),
        ("max_new_tokens", sampling.max_new_tokens, 1, 10**9),
    )
    for name, value, low, high in bounds:
        if not low <= value <= high:
            message = _("{name} is {value}; it has to be between {low} and {high}")
            raise UsageError(message.format(name=name, value=value, low=low, high=high))


class Sampler:
    """Chooses the tokens of one answer."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int], device: torch.device) -> None:
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed % 2**63)
        self._device = device
        self._seen = dict.fromkeys(prompt) if sampling.repetition_penalty != 1.0 else {}

    def choose(self, logits: Tensor) -> int:
        """The next token.

        Args:
            logits: float [vocabulary].

        Raises:
            ModelError: the model gave no numbers.
        """
        sampling = self._sampling
        best = logits.argmax()  # of NaN, if there is one
        if logits[best].isnan():
            raise ModelError(
                _("the model's arithmetic broke down: it gave NaN instead of numbers"),
                _("float16 overflows in some models: load it with dtype bfloat16 or float32"),
            )
        if sampling.repetition_penalty != 1.0:
            logits = self._penalised(logits)
            best = logits.argmax()
        token = int(best) if sampling.temperature == 0 else self._drawn(logits.float())
        if sampling.repetition_penalty != 1.0:
            self._seen[token] = None
        return token

    def _penalised(self, logits: Tensor) -> Tensor:
        """Keskar et al. 2019, arXiv:1909.05858, over prompt and answer: positive logits shrink, negative ones grow."""
        penalty = self._sampling.repetition_penalty
        seen = torch.tensor(list(self._seen), device=self._device)
        values = logits[seen]
        return logits.index_copy(0, seen, torch.where(values < 0, values * penalty, values / penalty))

    def point(self) -> float:
        """The next uniform number, in [0, 1)."""
        return torch.rand((), generator=self._generator, dtype=torch.float64).item()

    def _drawn(self, logits: Tensor) -> int:
        if takes_all(self._sampling):
            return draw(logits[None].clone(), [self._sampling.temperature], [self.point()])[0]
        tokens, probabilities = (tensor.cpu() for tensor in candidates(logits, self._sampling))
        cumulated = probabilities.double().cumsum(0)  # not every device has float64
        at = int(torch.searchsorted(cumulated, self.point() * cumulated[-1], right=True))
        return int(tokens[min(at, len(tokens) - 1)])


def takes_all(sampling: Sampling) -> bool:
    """Whether every token is a candidate."""
    return sampling.top_k == 0 and sampling.top_p >= 1.0 and sampling.min_p == 0.0


def candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The tokens that may be drawn, most probable first, and their probabilities.

    Returns:
        token ids int64 [n] and probabilities float [n] that sum to 1.
    """
    scores = (logits - logits.max()) / sampling.temperature  # the best is 0, however small the temperature
    if 0 < sampling.top_k < len(scores):
        scores, tokens = scores.topk(sampling.top_k)
    else:
        scores, tokens = scores.sort(descending=True, stable=True)
    if sampling.top_p < 1.0:
        probabilities = scores.softmax(0)
        keep = probabilities.cumsum(0) - probabilities < sampling.top_p  # the mass before a token decides
        keep[0] = True
        scores, tokens = scores[keep], tokens[keep]
    probabilities = scores.softmax(0)
    if sampling.min_p > 0.0:
        keep = probabilities >= sampling.min_p * probabilities[0]
        probabilities, tokens = probabilities[keep], tokens[keep]
    return tokens, probabilities / probabilities.sum()
