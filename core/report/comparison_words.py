"""How a comparison is told, the same in the app, in a terminal and on a page."""

from __future__ import annotations

from core.i18n import _
from core.metrics.shown import signed_text
from core.report.compare import Change, Comparison
from core.report.paired import Against, Delta

CHANGES: tuple[Change, ...] = ("improved", "regressed", "changed", "same")


def change_word(change: Change) -> str:
    """What became of a row, as people read it."""
    words: dict[Change, str] = {
        "improved": _("improved"),
        "regressed": _("regressed"),
        "changed": _("changed"),
        "same": _("same"),
    }
    return words[change]


def signed_interval(delta: Delta) -> str:
    """`+2.00 – +9.00`; empty where there is none."""
    if delta.low is None or delta.high is None:
        return ""
    return f"{signed_text(delta.low, delta.metric)} – {signed_text(delta.high, delta.metric)}"


def mcnemar_text(compared: Comparison, against: Against) -> str:
    """McNemar's test in words; empty where there is none."""
    test = against.mcnemar
    if test is None:
        return ""
    text = _("right in {baseline} alone: {fewer}; in {other} alone: {more}; p = {p} (McNemar, exact)")
    other = compared.names[against.number]
    told = {"baseline": compared.names[0], "fewer": test.only_baseline, "other": other, "more": test.only_other}
    return text.format(**told, p=f"{test.p:.3g}")
