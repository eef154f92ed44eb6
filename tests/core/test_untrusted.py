"""Hostile text becomes harmless, and all other text stays what it was."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from core.untrusted import inert, inert_line
from hostile import CORPUS, dangers

# Visible, though Unicode files them under "format": signs before Arabic, Syriac and Kaithi numbers.
_VISIBLE_FORMAT = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
_JOINERS = {0x200C, 0x200D}


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_in_the_corpus_stays_dangerous(name: str) -> None:
    shown = inert(CORPUS[name])
    assert dangers(shown) == []
    assert shown.encode()
    assert inert(shown) == shown


@pytest.mark.parametrize("name", CORPUS)
def test_a_name_is_one_line(name: str) -> None:
    assert not set("\n\t\r\v\f\x85\u2028\u2029") & set(inert_line(CORPUS[name]))
    assert len(inert_line(CORPUS[name]).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("\x1b]52;c;YQ==\x07", "␛]52;c;YQ==␇"),
        ("\x9b31m", "<U+009B>31m"),
        ("paid 100\rpaid 1", "paid 100␍paid 1"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\x7f", "a␡"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("pay\u200bpal", "pay<U+200B>pal"),
        ("\U000e0041", "<U+E0041>"),
        ("\ud83d", "\ufffd"),
        ("e" + "\u0301" * 20, "e" + "\u0301" * 8 + "<+12>"),
        ("[red]x[/red]", "[red]x[/red]"),
    ],
)
def test_a_danger_is_shown_by_a_stand_in(text: str, shown: str) -> None:
    assert inert(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII, 100 % of it.\n\tindented\n",
        "你好，世界！「こんにちは」안녕하세요",
        "שלום עולם · مرحبا بالعالم · नमस्ते · ภาษาไทย · བོད་སྐད",
        "e\u0301 Å ﷽ ∀x∈ℝ",
        "👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 👍🏽 🇨🇳",  # joined and selected emoji
        "می\u200cخواهم",  # Persian needs its non-joiner
        "葛\U000e0100城",  # ideographic variation
        "בְּרֵאשִׁ֖ית",  # vowels and cantillation on one letter
    ],
)
def test_all_other_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_every_control_and_format_character_of_unicode_is_treated() -> None:
    kept = {
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and inert(chr(code)) == chr(code)
    }
    assert kept - _VISIBLE_FORMAT == {ord("\t"), ord("\n"), *_JOINERS}
