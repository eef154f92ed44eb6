"""What has to be equal for a comparison to be fair, and is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.i18n import _
from core.report.rows import OpenReport
from core.untrusted import inert_line

_ASKED = ("task", "n_shot", "shot_dataset", "cutoff_len", "source_prefix", "default_system", "enable_thinking")
_DECODED = ("max_new_tokens", "temperature", "repetition_penalty", "stop", "repeats", "quantization_bit")
_DRAWN = ("top_p", "top_k", "min_p", "seed")


def differences(reports: Sequence[OpenReport], names: Sequence[str]) -> Iterator[str]:
    """A line for each thing that is not the same, or that one report knows nothing of."""
    hashes = [each.report.data.sha256 for each in reports]
    if len({known for known in hashes if known}) > 1:
        yield _("the test sets differ: their files have changed in between, or are others")
    yield from _different(_("dtype"), [each.report.subject.dtype or None for each in reports], names)
    yield from _different(_("template"), [each.report.subject.template or None for each in reports], names)
    greedy = all(each.report.config.get("temperature") == 0 for each in reports)
    for option in (*_ASKED, *_DECODED, *(() if greedy else _DRAWN)):
        given = [_said(each.report.config[option]) if option in each.report.config else None for each in reports]
        yield from _different(option, given, names)
    for each, name in zip(reports, names, strict=True):
        seen = each.report.data.seen_in_training
        if seen:
            text = _("{name}: {seen} of {rows} questions stand in its training data")
            yield inert_line(text.format(name=name, seen=seen, rows=each.report.data.rows))
        if each.live or not each.report.complete:
            yield inert_line(_("{name}: its evaluation has not ended").format(name=name))


def _different(what: str, values: Sequence[str | None], names: Sequence[str]) -> Iterator[str]:
    """Nothing where a report does not know: files of others say neither dtype nor options."""
    known = [(name, value) for name, value in zip(names, values, strict=True) if value is not None]
    if len({value for _name, value in known}) > 1:
        yield inert_line(f"{what}: " + ", ".join(f"{name} {value}" for name, value in known))


def _said(value: object) -> str:
    return _("none") if value is None or value in ("", (), []) else str(value)
