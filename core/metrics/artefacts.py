"""Why a number does not mean what one would think, from the rows at hand; told beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from core.i18n import _, plural
from core.metrics.bleu import sentence_bleu
from core.metrics.classes import classified
from core.metrics.corpus import tokenizer_for
from core.metrics.metric import Artefact, Measuring, Pair, Value, questions_of
from core.metrics.words import words

_FEW = 30
_SHORT = 4
_OVERLAPS = {"bleu-4", "rouge-1", "rouge-2", "rouge-l"}
_ONE_WORD = 16
"""Longer labels are hardly one word, and are not cut to find out."""


def artefacts(pairs: Sequence[Pair], values: Mapping[str, Value], measuring: Measuring) -> tuple[Artefact, ...]:
    """What has to be said about these values, the general before the particular."""
    times = len(pairs) / max(len(questions_of(pairs)), 1)
    told: list[Callable[[], Iterator[Artefact]]] = [
        lambda: _few_rows(values, times),
        lambda: _odd_labels(pairs, values),
        lambda: _typed_otherwise(values),
        lambda: _all_alike(values, times),
        lambda: _classes(pairs, values),
        lambda: _short_labels(pairs, values),
        lambda: _one_word_labels(pairs, values),
        lambda: _set_metrics(pairs, values, measuring),
    ]
    return tuple(artefact for tell in told for artefact in tell())


def uncounted(wanted: Sequence[str], values: Mapping[str, Value]) -> tuple[Artefact, ...]:
    """What is said of metrics that were asked for and have no value."""
    missing = ", ".join(name for name in wanted if name not in values)
    text = _("not measured, because there is nothing here that counts for it: {names}")
    return (Artefact("", text.format(names=missing)),) if missing else ()


def _few_rows(values: Mapping[str, Value], times: float) -> Iterator[Artefact]:
    """Questions count: more answers to the same ones are no more rows."""
    asked = {name: round(value.n / times) for name, value in values.items()}
    counts = {name: rows for name, rows in asked.items() if rows < _FEW}
    rows = max(asked.values(), default=0)
    if 0 < rows < _FEW:
        text = plural(
            "only {count} row: another one moves a rate", "only {count} rows: one more right answer moves a rate", rows
        )
        yield Artefact("", _("{text} by {step} points").format(text=text, step=f"{100 / rows:.1f}"))
    elif "long_exact_match" in counts:
        text = plural(
            "only {count} row has a long label", "only {count} rows have a long label", counts["long_exact_match"]
        )
        yield Artefact("long_exact_match", text)


def _odd_labels(pairs: Sequence[Pair], values: Mapping[str, Value]) -> Iterator[Artefact]:
    blank = sum(not pair.label.strip() for pair in pairs)
    if blank and not _OVERLAPS.isdisjoint(values):
        text = _("{those} of {rows} labels are blank: BLEU-4 and ROUGE are 0 there, whatever is answered")
        yield Artefact("", text.format(those=blank, rows=len(pairs)))
    padded = sum(pair.label != pair.label.strip() != "" for pair in pairs)
    if padded and "exact_match" in values:
        text = _(
            "{those} of {rows} labels begin or end in blanks or line breaks: an answer without them is no exact match"
        )
        yield Artefact("exact_match", text.format(those=padded, rows=len(pairs)))


def _typed_otherwise(values: Mapping[str, Value]) -> Iterator[Artefact]:
    exact, normal = values.get("exact_match"), values.get("normalised_match")
    if exact is None or normal is None:
        return
    rows = round((normal.value - exact.value) * exact.n / 100)
    if rows:
        text = plural(
            "{count} answer differs from its label only in case, width, punctuation or blanks",
            "{count} answers differ from their labels only in case, width, punctuation or blanks",
            rows,
        )
        yield Artefact("exact_match", text)


def _all_alike(values: Mapping[str, Value], times: float) -> Iterator[Artefact]:
    """An interval without width claims too much; the rule of three says what n rows can exclude."""
    name = "accuracy" if "accuracy" in values else "exact_match"
    value = values.get(name)
    rows = round(value.n / times) if value is not None else 0
    if value is None or rows < 2 or value.value not in (0.0, 100.0):
        return
    bound = 300 / rows
    if bound < 100:
        edge = _("below {bound} %") if value.value == 0 else _("above {bound} %")
        bound = bound if value.value == 0 else 100 - bound
        text = _("all {rows} rows are alike, so the interval has no width; the rate is {edge} with 95 % certainty")
        yield Artefact(name, text.format(rows=rows, edge=edge.format(bound=f"{bound:.1f}")))


def _classes(pairs: Sequence[Pair], values: Mapping[str, Value]) -> Iterator[Artefact]:
    if not {"label_accuracy", "macro_f1"} & set(values) or (found := classified(pairs)) is None:
        return
    if found.by == "beginning":
        yield Artefact("label_accuracy", _("classes are the beginnings of the labels, before their first number"))
    name = found.names[0]
    count = found.labels.count(name)
    text = _("answering {name!r} always would give {rate} %")
    yield Artefact("label_accuracy", text.format(name=name, rate=f"{100 * count / len(pairs):.1f}"))


def _short_labels(pairs: Sequence[Pair], values: Mapping[str, Value]) -> Iterator[Artefact]:
    short = [len(pair.label) for pair in pairs if 0 < len(pair.label) < _SHORT and pair.label.strip()]
    if not short or "bleu-4" not in values:
        return
    low, high = (round(100 * sentence_bleu("abc"[:length], "abc"[:length])) for length in (min(short), max(short)))
    text = _("{those} of {rows} labels are shorter than {length} characters: BLEU-4 of a right answer is then {range}")
    told = str(low) if low == high else f"{low}–{high}"
    yield Artefact("bleu-4", text.format(those=len(short), rows=len(pairs), length=_SHORT, range=told))


def _one_word_labels(pairs: Sequence[Pair], values: Mapping[str, Value]) -> Iterator[Artefact]:
    if "rouge-2" not in values:
        return
    # others have signs between their words, and cutting is what costs
    labels = Counter(pair.label for pair in pairs if len(pair.label) <= _ONE_WORD and pair.label.strip().isalnum())
    single = sum(count for label, count in labels.items() if _is_word(label))
    if single:
        text = _("{those} of {rows} labels are one word: ROUGE-2 of a right answer is then 0")
        yield Artefact("rouge-2", text.format(those=single, rows=len(pairs)))


def _is_word(label: str) -> bool:
    return sum(not word.isspace() for word in words(label)) == 1


def _set_metrics(pairs: Sequence[Pair], values: Mapping[str, Value], measuring: Measuring) -> Iterator[Artefact]:
    if "sacrebleu" in values:
        name = tokenizer_for([pair.label for pair in pairs])
        yield Artefact("sacrebleu", _("sacrebleu's tokenizer: {name}").format(name=name))
    for name in ("distinct-1", "distinct-2"):
        if name in values and measuring.bootstrap:
            yield Artefact(name, _("no interval: a resample repeats rows, which makes it smaller by itself"))
