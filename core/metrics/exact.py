"""Whether an answer is right: as it stands, without regard to how it is typed, as a number, as a letter.

Numbers in answers are parsed, never executed.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair

_SIGN = r"(?:(?<![\dA-Za-z])[-+])?"
"""Behind a digit or a letter it is a dash, or the operator of a sum."""
_NUMBER = re.compile(rf"{_SIGN}(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{{1,3}})?|{_SIGN}\.\d+")
_BLANKS_BESIDE_IDEOGRAPHS = re.compile("(?<=[\u3040-\u30ff\u3400-\u9fff])\\s+|\\s+(?=[\u3040-\u30ff\u3400-\u9fff])")
_LETTER = re.compile(r"(?<![A-Za-z])([B-HJ-Z]|[AI](?!['’]|\s+[a-z]))(?![A-Za-z])")
"""`A cat` and `I think` choose nothing."""
_BOXED = re.compile(
    r"(?i:answer|答案|选择?)\s*(?i:is|是|为|选)?\s*:?\s*[(\[【]?\s*"
    r"([A-Z](?![A-Za-z])|[a-z](?=\s*(?:[)\]】.,:;。]|\n|$)))"
)
"""A small letter only where nothing goes on behind it: `the answer is a bit longer` chooses nothing."""


def normalised(text: str) -> str:
    """The text as it is compared without regard to how it is typed.

    NFKC (full-width forms become plain ones), case folded; punctuation gone but for what stands between two digits, a
    sign before a digit and `%` behind one; blanks beside Chinese characters gone, other runs of blanks one space, none
    at the ends. `＂Hello, World！＂` is `hello world`; 3.5 stays apart from 35, and -5 from 5.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    if not (text.isascii() and text.isalnum()):
        text = "".join(map(_kept, " " + text[:-1], text, text[1:] + " ")) if text else text
        text = _BLANKS_BESIDE_IDEOGRAPHS.sub("", text)
    return " ".join(text.split())


def _kept(before: str, character: str, after: str) -> str:
    if character.isalnum() or not unicodedata.category(character).startswith("P"):
        return character
    if before.isdigit() and (after.isdigit() or character == "%"):
        return character
    if character == "-" and after.isdigit() and not before.isalnum():
        return character
    # what stands within words and codes leaves them whole; all other punctuation divides
    return "" if character in "_'’" else " "


def last_number(text: str) -> Decimal | None:
    """The last number of a text: `so it is 1,234.50.` has 1234.5. None where it has none."""
    found = _NUMBER.findall(unicodedata.normalize("NFKC", text).replace("−", "-"))
    try:
        return Decimal(found[-1].replace(",", "")) if found else None
    except InvalidOperation:  # pragma: no cover - the pattern lets nothing else through
        return None


def chosen_letter(text: str) -> str:
    """The letter of a multiple choice: the one behind "answer is" or 答案是, else the first that stands alone."""
    text = unicodedata.normalize("NFKC", text)
    named = _BOXED.findall(text)
    if named:
        return str(named[-1]).upper()
    alone = _LETTER.search(text)
    return alone[1] if alone else text.strip().upper() if len(text.strip()) == 1 else ""


def is_letter(label: str) -> bool:
    """Whether a label is a letter of a multiple choice."""
    return len(label) == 1 and "A" <= label <= "J"


def is_number(label: str) -> bool:
    """Whether a label is a number and nothing else."""
    return _NUMBER.fullmatch(unicodedata.normalize("NFKC", label).strip()) is not None


def _percent(right: bool) -> float:
    return 100.0 if right else 0.0


def _exact(pair: Pair, _measuring: Measuring) -> float:
    return _percent(pair.predict == pair.label)


def _long_exact(pair: Pair, measuring: Measuring) -> float | None:
    return _percent(pair.predict == pair.label) if len(pair.label) > measuring.long_label else None


def _normalised(pair: Pair, _measuring: Measuring) -> float:
    label = normalised(pair.label)
    if not label:  # punctuation alone is compared as it stands
        return _percent(pair.predict.strip() == pair.label.strip())
    return _percent(pair.predict == pair.label or normalised(pair.predict) == label)


def _number(pair: Pair, _measuring: Measuring) -> float | None:
    return _percent(last_number(pair.predict) == last_number(pair.label)) if is_number(pair.label) else None


def _choice(pair: Pair, _measuring: Measuring) -> float | None:
    label = pair.label.strip()
    return _percent(chosen_letter(pair.predict) == label) if is_letter(label) else None


EXACT_MATCH = Metric(
    "exact_match", _("exact match"), _("Answers that are the reference, character for character."), of_row=_exact
)
LONG_EXACT_MATCH = Metric(
    "long_exact_match",
    _("long exact"),
    _("The same, of the rows whose label is longer than long_label characters."),
    of_row=_long_exact,
)
NORMALISED_MATCH = Metric(
    "normalised_match",
    _("normalised"),
    _("Answers that are the reference without regard to case, width, punctuation and blanks."),
    of_row=_normalised,
)
NUMBER_MATCH = Metric(
    "number_match",
    _("number"),
    _("Answers whose last number is the label's, of the rows whose label is a number."),
    of_row=_number,
)
CHOICE_ACCURACY = Metric(
    "choice_accuracy",
    _("choices"),
    _("Answers that chose the label's letter, of the rows whose label is a letter."),
    of_row=_choice,
)
