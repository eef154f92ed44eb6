"""Markdown as rows: the text that stands on the screen, and the styles that carry meaning."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest
from rich.cells import cell_len
from rich.style import Style

from core.untrusted import inert
from hostile import CORPUS, SHORT
from tui.widgets.lines import Line
from tui.widgets.markdown import MarkdownDocument, code_blocks, render_markdown
from tui.widgets.palette import Palette

# A colour of its own for each meaning, so that a test can tell them apart.
PALETTE = Palette(**{field.name: Style(color=f"color({n + 16})") for n, field in enumerate(fields(Palette))})


def rows(text: str, width: int = 60) -> list[str]:
    return [line.text.rstrip() for line in render_markdown(text, width, PALETTE)]


def style_of(lines: list[Line], word: str) -> Style:
    """The style of the first segment that has the word in it."""
    return next(segment.style or Style() for line in lines for segment in line.segments if word in segment.text)


def test_paragraphs_have_a_blank_row_between_them_and_keep_their_newlines() -> None:
    assert rows("one\ntwo\n\n\n\nthree") == ["one", "two", "", "three"]


def test_headings_stand_left_without_their_marks() -> None:
    lines = render_markdown("# Title\ntext\n\n### Deep\nmore", 60, PALETTE)
    assert [line.text for line in lines] == ["Title", "text", "", "Deep", "more"]
    assert style_of(lines, "Title") == PALETTE.heading
    assert style_of(lines, "Deep") == PALETTE.subheading


def test_emphasis_is_style_and_not_marks() -> None:
    lines = render_markdown("a **bold** *slanted* ~~gone~~ `code` word", 60, PALETTE)
    assert [line.text for line in lines] == ["a bold slanted gone code word"]
    assert style_of(lines, "bold").bold
    assert style_of(lines, "slanted").italic
    assert style_of(lines, "gone").strike
    assert style_of(lines, "code").color == PALETTE.inline_code.color


def test_lists_nest_and_hang() -> None:
    assert rows("- one two three four\n  - inner\n- five", 18) == ["• one two three", "  four", "  • inner", "• five"]
    assert rows("- one two three four\n  - inner", 12) == ["•", "one two", "three four", "•", "inner"]


def test_ordered_lists_show_the_numbers_that_were_written() -> None:
    assert rows("3. three\n4. four\n9) other") == ["3. three", "4. four", "9) other"]


def test_a_loose_list_keeps_its_blank_rows() -> None:
    assert rows("Here:\n- a\n- b\n\n- c\n\nend") == ["Here:", "• a", "• b", "", "• c", "", "end"]


def test_a_paragraph_in_an_item_is_indented() -> None:
    assert rows("- one\n\n  two\n- three") == ["• one", "", "  two", "• three"]


def test_quotes_have_a_bar() -> None:
    assert rows("> said\n> twice\n>\n> > deep") == ["│ said", "│ twice", "│", "│ │ deep"]


def test_code_has_its_language_above_and_its_own_background() -> None:
    lines = render_markdown("```python\ndef f():\n\treturn 1\n```", 30, PALETTE)
    assert [line.text.rstrip() for line in lines] == ["  python", "  def f():", "      return 1"]
    assert {line.width for line in lines} == {30}
    assert style_of(lines, "def") == PALETTE.keyword
    assert style_of(lines, "f") != PALETTE.body


def test_code_of_an_unknown_language_and_an_open_fence_are_shown_plainly() -> None:
    assert rows("```nosuchlang\na\n\n  b") == ["  nosuchlang", "  a", "", "    b"]


def test_long_code_lines_wrap() -> None:
    assert rows("```\n" + "x" * 25 + "\n```", 12) == ["  " + "x" * 10, "  " + "x" * 10, "  " + "x" * 5]


def test_links_show_where_they_lead() -> None:
    assert rows("see [docs](https://x.org/a) and <https://y.org>") == ["see docs (https://x.org/a) and https://y.org"]
    assert all(not segment.style or not segment.style.link for line in render_markdown("[a](http://b)", 60, PALETTE)
               for segment in line.segments)  # fmt: skip


def test_images_are_their_alternative_text() -> None:
    assert rows("![a plot](plot.png)") == ["a plot"]


def test_html_is_text() -> None:
    assert rows("<b>x</b> <!-- y -->\n\n<div>\nz\n</div>") == ["<b>x</b> <!-- y -->", "", "<div>", "z", "</div>"]


def test_a_rule_is_a_row_of_its_own() -> None:
    assert rows("a\n\n---\n\nb", 10) == ["a", "", "─" * 10, "", "b"]


def test_tables_fit_their_columns_in_cells() -> None:
    assert rows("| a | 中文 |\n|---|---:|\n| long | 1 |") == [" a    │ 中文", "──────┼──────", " long │    1"]


def test_wide_tables_wrap_their_cells_and_rule_off_their_rows() -> None:
    table = "| k | v |\n|---|---|\n| a | one two three four |\n| b | x |"
    drawn = rows(table, 18)
    assert drawn == [
        " k │ v",
        "───┼──────────────",
        " a │ one two",
        "   │ three four",
        "───┼──────────────",
        " b │ x",
    ]


def test_a_table_without_room_is_a_list() -> None:
    assert rows("| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |", 14) == ["a: 1", "b: 2", "c: 3"]


@pytest.mark.parametrize("width", [8, 20, 37, 100])
def test_no_row_is_wider_than_asked(width: int) -> None:
    lines = render_markdown(SAMPLE, width, PALETTE)
    assert max(line.width for line in lines) <= width


def test_link_definitions_are_text_because_they_would_change_what_stands_above() -> None:
    assert rows("[a][1]\n\n[1]: http://x") == ["[a][1]", "", "[1]: http://x"]


def test_the_code_of_a_message_is_given_as_written() -> None:
    assert code_blocks("a\n```sh\nls\t-l\n```\n~~~\nx\n~~~") == ["ls\t-l\n", "x\n"]


SAMPLE = """# Überschrift

A paragraph with **bold** and *more* `code`, [a link](http://x.org) and 中文，混排。 It goes on for a while
and has a second line.

1. one
2. two
   - deep
     and lazy
3. three

- loose

- items

  with a paragraph
> a quote
continued

Title
=====

| a | b |
|---|---|
| **x** | y |
| 1 | 2 |
after the table

```python
def f():

    return "x"
```
~~~
tilde
~~~
***
    indented code

    more
para
- a
-
--
| x | y |
|--z
| p | q |
| - | - |
end &amp; &#27; &#x202e; done 👩‍👩‍👧
"""


@pytest.mark.parametrize("seed", range(60))
def test_an_answer_that_streams_ends_like_one_that_is_there(seed: int) -> None:
    chance = random.Random(seed)
    parts = SAMPLE.split("\n")
    if seed % 2:  # other neighbours than the sample has
        chance.shuffle(parts)
    source = "\n".join(parts)
    document = MarkdownDocument(40, PALETTE)
    at = 0
    while at < len(source):
        step = chance.choice([1, 2, 3, 7, 40])
        document.feed(source[at : at + step])
        document.lines  # noqa: B018  drawn at every tick, as on the screen
        at += step
    assert document.lines == render_markdown(source, 40, PALETTE)


def test_what_is_finished_is_not_drawn_again() -> None:
    document = MarkdownDocument(40, PALETTE)
    document.feed("first\n\n- item\n- item two\n\nlast\n")
    before = document.lines
    document.feed("grows")
    after = document.lines
    same = [old is new for old, new in zip(before, after, strict=False)]
    assert [line.text for line in after] == ["first", "", "• item", "• item two", "", "last", "grows"]
    assert same == [True] * 5 + [False]


def test_a_long_panel_of_code_is_coloured_in_chunks_that_do_not_depend_on_what_follows() -> None:
    code = "```python\n" + "def f():\n    return 1\n\n" * 60
    document = MarkdownDocument(40, PALETTE)
    for line in code.splitlines(keepends=True):
        document.feed(line)
    assert document.lines == render_markdown(code, 40, PALETTE)
    assert sum(segment.style == PALETTE.keyword for line in document.lines for segment in line.segments) == 120


@pytest.mark.parametrize("name", SHORT)
def test_hostile_text_is_inert_wherever_markdown_puts_it(name: str) -> None:
    bad = SHORT[name]
    places = [
        "{}",
        "# {}",
        "- {}",
        "> {}",
        "`{}`",
        "```{}\n{}\n```",
        "[{}]({})",
        "![{}]({})",
        "| {} | {} |\n|---|---|\n| {} | x |",
    ]
    for place in places:
        for line in render_markdown(place.replace("{}", bad), 50, PALETTE):
            assert line.text == inert(line.text)
            assert "\n" not in line.text
            assert cell_len(line.text) <= 50


@pytest.mark.parametrize("markup", ["[red]x[/]", "[@click=app.quit]x[/]", "[link=http://x]y[/link]", "\\[b]"])
def test_markup_of_textual_is_plain_text(markup: str) -> None:
    assert "".join(rows(f"a {markup} b")) == f"a {markup} b".replace("\\[", "[")


def test_character_references_cannot_smuggle_controls() -> None:
    text = "\n".join(rows("&#27;[31m &#x9b;0m &#x202e;abc &#8203; &#xd800; `&#27;`"))
    assert text == inert(text)


PATHOLOGICAL = {
    "brackets": "[" * 5000,
    "stars": "*a **b " * 2000,
    "quotes": ">" * 5000,
    "lists": "- " * 3000,
    "ticks": "`" * 5000,
    "megabyte": CORPUS["long_line"],
}


@pytest.mark.parametrize("source", PATHOLOGICAL.values(), ids=list(PATHOLOGICAL))
def test_pathological_sources_are_drawn(source: str) -> None:
    lines = render_markdown(source, 80, PALETTE)
    assert max(line.width for line in lines) <= 80
    assert len("".join(line.text for line in lines)) > 0
