"""sacreBLEU and chrF of a whole set, through sacrebleu, with the tokenizer that fits the references' script.

Their counts are added up over rows, so a resample costs a sum and not a second tokenisation; sacrebleu's own
significance tests (`sacrebleu.significance`) do the same with the same two methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair, Sums
from core.metrics.words import has_ideographs


def tokenizer_for(labels: Sequence[str]) -> str:
    """sacrebleu's tokenizer: `zh` where a third of the references have ideographs, else `13a`, its default."""
    return "zh" if 3 * sum(map(has_ideographs, labels)) >= len(labels) else "13a"


def _sacrebleu(pairs: Sequence[Pair], _measuring: Measuring) -> Sums | None:
    from sacrebleu.metrics.bleu import BLEU  # 80 ms

    return _sums(BLEU(tokenize=tokenizer_for([pair.label for pair in pairs])), pairs)


def _chrf(pairs: Sequence[Pair], _measuring: Measuring) -> Sums | None:
    from sacrebleu.metrics.chrf import CHRF  # 80 ms

    return _sums(CHRF(), pairs)


def _sums(metric: Any, pairs: Sequence[Pair]) -> Sums | None:
    if not any(pair.label.strip() for pair in pairs):
        return None
    counted = metric._extract_corpus_statistics([pair.predict for pair in pairs], [[pair.label for pair in pairs]])

    def value(sums: Sequence[float]) -> float:
        return float(metric._compute_score_from_stats([int(number) for number in sums]).score)

    return Sums(counted, value)


SACREBLEU = Metric(
    "sacrebleu",
    "sacreBLEU",
    _("BLEU of the whole set as sacrebleu computes it (13a words; characters for Chinese)."),
    of_sums=_sacrebleu,
)
CHRF = Metric("chrf", "chrF", _("F-score of up to six characters in a row over the whole set."), of_sums=_chrf)
