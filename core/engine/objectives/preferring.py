"""Stage dpo: the better answer of a pair becomes likelier than the worse, measured against a reference or by itself.

With c and r the log-probabilities of the better and the worse answer, c' and r' those that the reference gives, means
over an answer's tokens where the paper or its authors say so, and h = (c − c') − (r − r'):

    sigmoid  −(1 − ε) log σ(βh) − ε log σ(−βh)      DPO, arXiv:2305.18290; with ε: conservative DPO
    hinge    max(0, 1 − βh)                          SLiC, arXiv:2305.10425
    ipo      (h − 1/(2β))², means                    arXiv:2310.12036
    orpo     −c − β log σ(log odds(c) − log odds(r)), means    arXiv:2403.07691
    simpo    −log σ(β(c − r) − γ), means             arXiv:2405.14734
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.config.preference import PreferenceOptions
from core.config.stages import WITHOUT_REFERENCE
from core.engine.forward.choose import Forward
from core.engine.objectives.objective import Measured
from core.engine.objectives.pairs import PAIR_NAMES, answers_likely, batch_of_pairs, counted_rewards
from core.engine.objectives.reference_table import ReferenceTable
from core.engine.training.evaluate import Rows

_BY_TOKEN = ("ipo", "orpo", "simpo")
"""Losses of means over an answer's tokens."""
_NAMES = (*PAIR_NAMES, "chosen_logp", "rejected_logp")
_NEAREST_TO_CERTAIN = -1e-6
"""Odds of a certain answer would be infinite."""


@dataclass(frozen=True)
class Likely:
    """How likely the answers of some pairs are, float32 [pairs] each."""

    chosen: Tensor
    """Log-probability of the better answer, in nats; so is the next."""
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor


@dataclass(frozen=True)
class PairLoss:
    """What pairs come to, float32 [pairs] each."""

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor


def preference_loss(likely: Likely, reference: Tensor | None, options: PreferenceOptions) -> PairLoss:
    """The loss that options name. Rewards are β times what the loss looks at; ipo's of whole answers, as TRL has it.

    Args:
        reference: how likely the reference finds both, float32 [pairs, 2]; None for losses that need none.
    """
    beta, kind = options.pref_beta, options.pref_loss
    chosen, rejected = likely.chosen, likely.rejected
    if reference is not None:
        chosen, rejected = chosen - reference[:, 0], rejected - reference[:, 1]
    rewards = beta * chosen, beta * rejected
    if kind in _BY_TOKEN:
        chosen, rejected = chosen / likely.chosen_tokens, rejected / likely.rejected_tokens
    if kind in WITHOUT_REFERENCE:
        rewards = beta * chosen, beta * rejected
    ahead = chosen - rejected
    match kind:
        case "sigmoid":
            wrong = options.dpo_label_smoothing
            loss = -(1 - wrong) * F.logsigmoid(beta * ahead) - wrong * F.logsigmoid(-beta * ahead)
        case "hinge":
            loss = torch.relu(1 - beta * ahead)
        case "ipo":
            loss = (ahead - 1 / (2 * beta)) ** 2
        case "orpo":
            loss = -chosen - beta * F.logsigmoid(_log_odds(chosen) - _log_odds(rejected))
        case "simpo":
            loss = -F.logsigmoid(beta * ahead - options.simpo_gamma)
    if options.pref_ftx:
        loss = loss - options.pref_ftx * likely.chosen / likely.chosen_tokens
    return PairLoss(loss, *rewards)


def _log_odds(log_probability: Tensor) -> Tensor:
    """log(p / (1 − p))"""
    short_of_certain = log_probability.clamp(max=_NEAREST_TO_CERTAIN)
    return short_of_certain - torch.log(-torch.expm1(short_of_certain))


class Preferring:
    """Learns to prefer the better answer."""

    point_names: tuple[str, ...] = _NAMES
    evaluation_names: tuple[str, ...] = _NAMES
    ends_at_zero = False
    """Hinge and sigmoid leave nothing of a pair that is far enough apart."""

    def __init__(self, options: PreferenceOptions, reference: ReferenceTable | None) -> None:
        self._options, self._reference = options, reference

    def begin(self, forward: Forward) -> None:
        """How likely the reference finds all answers, before the first update."""
        if self._reference is not None:
            self._reference.fill(forward)

    def end(self, forward: Forward) -> None:
        """Nothing is left besides."""

    def measure(self, forward: Forward, rows: Rows, numbers: Sequence[int]) -> Measured:
        batch = batch_of_pairs(rows, numbers)
        answers = answers_likely(forward, batch)
        tokens = torch.tensor([row.targets for row in batch.rows], dtype=answers.dtype, device=answers.device)
        likely = Likely(answers[0::2], answers[1::2], tokens[0::2], tokens[1::2])
        reference = None if self._reference is None else self._reference.of(rows)[numbers].to(answers.device)
        found = preference_loss(likely, reference, self._options)
        counted = {
            **counted_rewards(found.chosen_reward, found.rejected_reward),
            "chosen_logp": likely.chosen.detach().sum(),
            "rejected_logp": likely.rejected.detach().sum(),
        }
        return Measured(found.loss.sum(), len(numbers), counted)

    def metrics(self, loss: float, counted: Mapping[str, float]) -> dict[str, float]:
        return {"loss": loss, **counted}
