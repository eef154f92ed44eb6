"""Wrapping: what breaks where, and that nothing is lost or added by it."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui.widgets.lines import Line, PlainDocument, fill, hang, wrap

PLAIN, BOLD = Style.null(), Style(bold=True)


def texts(text: str, width: int) -> list[str]:
    return [line.text for line in wrap([(text, PLAIN)], width)]


def test_breaks_at_spaces_which_are_swallowed() -> None:
    assert texts("the quick brown fox", 10) == ["the quick", "brown fox"]


def test_an_empty_line_is_one_row() -> None:
    assert texts("", 10) == [""]


def test_an_overlong_word_starts_on_its_own_row_and_is_cut() -> None:
    assert texts("see abcdefghijkl now", 5) == ["see", "abcde", "fghij", "kl", "now"]


def test_indentation_stays_on_the_first_row() -> None:
    assert texts("    indented text here", 14) == ["    indented", "text here"]


def test_chinese_breaks_between_characters_and_wide_ones_are_never_cut() -> None:
    assert texts("微调是指继续训练", 7) == ["微调是", "指继续", "训练"]


def test_closing_punctuation_never_begins_a_row_and_opening_never_ends_one() -> None:
    assert texts("一二三。四", 6) == ["一二", "三。四"]
    assert texts("一二（三）", 6) == ["一二", "（三）"]
    assert texts("一二「三」", 6) == ["一二", "「三」"]


def test_chinese_beside_latin_may_break_between_them() -> None:
    assert texts("使用LoRA微调", 8) == ["使用LoRA", "微调"]


def test_joined_emoji_stay_together() -> None:
    family = "👩‍👩‍👧"
    assert all(row.replace(family, "") == "" for row in texts(family * 9, 5))


def test_styles_survive_a_break() -> None:
    rows = wrap([("one ", PLAIN), ("two three", BOLD), (" four", PLAIN)], 9)
    assert [row.segments for row in rows] == [
        (Segment("one ", PLAIN), Segment("two", BOLD)),
        (Segment("three", BOLD),),
        (Segment("four", PLAIN),),
    ]
    assert "".join(row.text + row.joint for row in rows) == "one two three four\n"


ALPHABET = ["a", "bc", "word", " ", "  ", "中", "文字", "，", "（", "」", "😀", "👩‍👧", "é", "-", "x" * 30]


@pytest.mark.parametrize("seed", range(40))
def test_rows_and_joints_give_the_source_back_within_the_width(seed: int) -> None:
    chance = random.Random(seed)
    source = "".join(chance.choices(ALPHABET, k=chance.randrange(60))).rstrip(" ")
    width = chance.randrange(4, 40)
    rows = wrap([(source, PLAIN)], width)
    assert "".join(row.text + row.joint for row in rows) == source + "\n"
    assert max(cell_len(row.text) for row in rows) <= width


@pytest.mark.parametrize("seed", range(40))
def test_text_that_arrives_in_pieces_is_wrapped_like_the_whole(seed: int) -> None:
    chance = random.Random(seed)
    source = "".join(chance.choices([*ALPHABET, "\n", "\t"], k=120))
    width = chance.randrange(4, 40)
    whole, growing = PlainDocument(width, PLAIN), PlainDocument(width, PLAIN)
    whole.feed(source)
    at = 0
    while at < len(source):
        step = chance.randrange(1, 9)
        growing.feed(source[at : at + step])
        at += step
    assert [line.text for line in growing.lines] == [line.text for line in whole.lines]


def test_a_hanging_prefix_is_decoration_unless_it_is_a_marker() -> None:
    bullet, indent = Segment("• ", PLAIN), Segment("  ", PLAIN)
    lines = hang(wrap([("one two", PLAIN)], 4), bullet, indent, copy_first=True)
    assert [(line.text, line.margin) for line in lines] == [("• one", 0), ("  two", 2)]
    assert [line.margin for line in hang(wrap([("one", PLAIN)], 4), bullet, indent)] == [2]


def test_fill_pads_in_cells() -> None:
    assert fill(Line((Segment("中"),)), 5, PLAIN).text == "中   "
