"""Judgements by rewards: what a reward model thinks of answers that an evaluation let it score."""

from __future__ import annotations

import time

from core.errors import DataError
from core.i18n import _
from core.judging.folder import Judging
from core.judging.pair import Judged, Pair, Verdict
from core.judging.verdicts import VerdictBook


def judge_by_reward(judging: Judging, book: VerdictBook) -> int:
    """Judge every pair by its rewards; returns how many verdicts are new, or others than before.

    Raises:
        DataError: the answers were drawn without a reward model.
    """
    by = judging.options.reward_model
    if by is None:
        hint = _("draw them with --reward_model and another --output: the same seed draws the same answers")
        raise DataError(_("no reward model has looked at these answers"), hint)
    verdicts = ((pair.number, by_reward(pair, judging.options.min_margin)) for pair in judging.pairs())
    now = time.time()
    changed = [
        Judged(number, verdict, by=by, time=now)
        for number, verdict in verdicts
        if (before := book.latest.get(number)) is None or (before.verdict, before.by) != (verdict, by)
    ]
    book.add(*changed)
    return len(changed)


def by_reward(pair: Pair, min_margin: float = 0.0) -> Verdict:
    """The answer with the larger reward; a tie where they lie closer together than `min_margin`, or are the same.

    A pair of which an answer was too long for the reward model is skipped.
    """
    if pair.first.reward is None or pair.second.reward is None:
        return "skip"
    margin = pair.first.reward - pair.second.reward
    if margin == 0 or abs(margin) < min_margin:
        return "tie"
    return "first" if margin > 0 else "second"
