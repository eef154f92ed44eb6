"""The transcript in a pilot: what its rows say, what is selected, and what is inert."""

from __future__ import annotations

import subprocess
import sys

import pytest
from textual.geometry import Offset
from textual.pilot import Pilot
from textual.selection import Selection

from core.untrusted import inert
from hostile import CORPUS, SHORT
from transcript_app import Host, rows, said, shown
from tui.widgets.selected_text import row_of
from tui.widgets.transcript import Entry, Transcript


async def test_a_message_has_a_title_a_body_and_a_footer() -> None:
    entries = [
        Entry("a", "user", "Hi *there*"),
        Entry("b", "assistant", "**Hello**", title="smollm2", badge="‹2/3›  good", footer="2 tokens · 0.1 s"),
        Entry("c", "note", "left out"),
        Entry("d", "error", "no memory\nuse less"),
    ]
    async with Host(entries).run_test(size=(60, 16)) as pilot:
        assert rows(pilot.app.query_one(Transcript)) == [
            "▎ You",
            "▎ Hi *there*",
            "",
            "▎ smollm2  ‹2/3›  good",
            "▎ Hello",
            "▎ 2 tokens · 0.1 s",
            "",
            "▎ left out",
            "",
            "▎ Error",
            "▎ no memory",
            "▎ use less",
            "",
            "",
            "",
            "",
        ]


async def test_raw_shows_the_source() -> None:
    async with Host([Entry("b", "assistant", "<think>x</think>**Hello**")]).run_test(size=(60, 5)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        assert "▎ Hello" in rows(transcript)
        transcript.raw = True
        assert "▎ <think>x</think>**Hello**" in rows(transcript)
        transcript.raw = False
        assert "▎ Hello" in rows(transcript)


async def test_text_is_never_wider_than_is_good_to_read() -> None:
    async with Host([Entry("a", "user", "word " * 100)]).run_test(size=(200, 10)) as pilot:
        assert max(map(len, rows(pilot.app.query_one(Transcript)))) <= 102


async def test_the_cursor_walks_over_messages_and_leaves_at_the_end() -> None:
    entries = [Entry("a", "user", "1"), Entry("n", "note", "aside"), Entry("b", "assistant", "2")]
    app = Host(entries)
    async with app.run_test(size=(60, 20)) as pilot:
        transcript = app.transcript
        transcript.focus()
        await pilot.press("k")
        assert transcript.cursor_entry == entries[2]
        assert rows(transcript)[5].startswith("▌ ")
        await pilot.press("ctrl+up")
        assert transcript.cursor_entry == entries[0]  # a note is nothing to act on
        await pilot.press("k")
        assert transcript.cursor == 0
        await pilot.press("j", "j")
        await pilot.pause()
        assert (transcript.cursor, transcript.cursor_entry, app.left) == (None, None, 1)
        assert app.selected == ["b", "a", "b", None]


async def test_a_click_selects_a_message() -> None:
    app = Host(said(4))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.click(Transcript, offset=(8, 4))
        assert app.transcript.cursor == 1
        await pilot.click(Transcript, offset=(8, 18))  # below the last message
        assert app.transcript.cursor == 1


async def test_the_selected_message_comes_into_view() -> None:
    async with Host(said(100, lines=5)).run_test(size=(60, 20)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        for key in ("m50", "m3", "m99", "m0", "m60"):
            transcript.select(key)
            assert f"message {key[1:]} line 0" in shown(transcript)
            assert f"message {key[1:]} line 4" in shown(transcript)
            assert transcript.cursor_entry is not None
            assert transcript.cursor_entry.key == key


async def test_a_message_larger_than_the_view_shows_its_beginning() -> None:
    async with Host(said(10, lines=50)).run_test(size=(60, 20)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.select("m5")
        assert rows(transcript)[1].endswith("message 5 line 0")


async def test_entries_are_replaced_taken_away_and_put_between() -> None:
    async with (app := Host(said(6))).run_test(size=(60, 30)) as pilot:
        transcript = app.transcript
        transcript.cursor = 4
        transcript.replace("m1", text="other")
        transcript.append(Entry("x", "note", "between"), before="m1")
        transcript.discard("m0")
        assert [entry.key for entry in transcript.entries] == ["x", "m1", "m2", "m3", "m4", "m5"]
        assert transcript.cursor_entry is not None
        assert transcript.cursor_entry.key == "m4"
        assert rows(transcript)[:5] == ["▎ between", "", "▎ Assistant", "▎ other", ""]
        transcript.replace("m2", key="renamed")
        transcript.truncate("renamed")
        assert [entry.key for entry in transcript.entries] == ["x", "m1", "renamed"]
        assert (transcript.has("renamed"), transcript.has("m2"), transcript.cursor) == (True, False, None)
        await pilot.pause()
        assert app.selected == ["m4", "m4", "m4", None]  # its index moved twice, then it went
        transcript.clear()
        assert (transcript.entries, set(rows(transcript))) == ([], {""})


async def test_two_entries_cannot_have_one_key() -> None:
    async with Host(said(2)).run_test():
        with pytest.raises(ValueError, match="'m1'"):
            Transcript([*said(2), Entry("m1", "user")])


async def test_thinking_is_shown_while_it_runs_and_folded_after() -> None:
    async with Host([Entry("a", "assistant", "", streaming=True)]).run_test(size=(60, 12)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        for part in ["<th", "ink>\nwell, ", "let me\nsee</th"]:
            transcript.stream("a", part)
        assert rows(transcript)[:4] == ["▎ Assistant", "▎ ▾ thinking…", "▎ well, let me", "▎ see"]
        for part in ["ink>\n", "\n4", "2"]:
            transcript.stream("a", part)
        transcript.finish("a")
        assert rows(transcript)[:5] == ["▎ Assistant", "▎ ▸ thought for 4 words", "▎", "▎ 42", ""]
        transcript.toggle_thinking("a")
        assert rows(transcript)[1:6] == ["▎ ▾ thought for 4 words", "▎ well, let me", "▎ see", "▎", "▎ 42"]
        await pilot.click(Transcript, offset=(5, 1))
        assert rows(transcript)[1:4] == ["▌ ▸ thought for 4 words", "▌", "▌ 42"]  # the click selects it too


async def test_an_empty_thought_is_not_mentioned() -> None:
    async with Host([Entry("a", "assistant", "<think>\n\n</think>\n\nHi")]).run_test(size=(60, 5)) as pilot:
        assert rows(pilot.app.query_one(Transcript))[:3] == ["▎ Assistant", "▎ Hi", ""]


async def test_an_answer_that_is_no_thought_after_all_is_shown() -> None:
    async with Host([Entry("a", "assistant", "", streaming=True)]).run_test(size=(60, 5)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.stream("a", "<thi")
        assert rows(transcript)[1] == ""
        transcript.stream("a", "s> is it")
        assert rows(transcript)[1] == "▎ <this> is it"


async def test_a_carriage_return_between_two_parts_is_no_control_character() -> None:
    async with Host([Entry("a", "assistant", "", streaming=True)]).run_test(size=(60, 6)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.stream("a", "one\r")
        transcript.stream("a", "\ntwo\r")
        transcript.finish("a")
        assert rows(transcript)[1:3] == ["▎ one", "▎ two␍"]


async def drag(pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]) -> str | None:
    """Selects with the mouse; what would be copied."""
    await pilot.mouse_down(Transcript, offset=start)
    await pilot.hover(Transcript, offset=end)
    await pilot.mouse_up(Transcript, offset=end)
    await pilot.pause()
    return pilot.app.screen.get_selected_text()


async def test_selected_text_is_what_was_written_without_bars_and_breaks() -> None:
    text = "A sentence that is too long for one row of it.\n\n```python\nx = 1\n\ny = 2\n```\n"
    async with Host([Entry("a", "user", "Q"), Entry("b", "assistant", text)]).run_test(size=(30, 20)) as pilot:
        copied = await drag(pilot, (4, 4), (20, 12))
        assert copied == "sentence that is too long for one row of it.\n\npython\nx = 1\n\ny = 2"
        transcript = pilot.app.query_one(Transcript)
        assert transcript.cursor is None  # a drag is no click


async def test_wide_characters_are_selected_whole() -> None:
    async with Host([Entry("a", "user", "微调是训练")]).run_test(size=(30, 6)) as pilot:
        assert await drag(pilot, (4, 1), (6, 1)) == "调是"


async def test_a_selection_stays_on_its_words_when_rows_above_it_change() -> None:
    async with Host(said(5)).run_test(size=(40, 30)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        copied = await drag(pilot, (2, 7), (10, 7))
        assert copied == "message 2"
        transcript.replace("m0", text="now\nthree\nrows")
        assert pilot.app.screen.get_selected_text() == copied


async def test_everything_selected_is_every_text() -> None:
    async with Host(said(3)).run_test(size=(40, 30)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        assert transcript.get_selection(Selection(None, None)) == (
            "message 0 line 0\n\nmessage 1 line 0\n\nmessage 2 line 0",
            "\n",
        )
        part = transcript.get_selection(Selection(Offset(2, row_of(1, 1)), None))
        assert part == ("message 1 line 0\n\nYou\nmessage 2 line 0\n\n", "\n")


async def test_texts_code_and_search() -> None:
    entries = [Entry("a", "user", "Wie GROSS ist es?"), Entry("b", "assistant", "So:\n```sh\nls\n```\n\x1b")]
    transcript = Transcript(entries)
    assert transcript.text_of("b") == entries[1].text
    assert transcript.code_blocks("b") == ["ls\n"]
    assert transcript.find("gross") == ["a"]
    assert transcript.find("o") == ["a", "b"]


def test_what_only_an_answer_needs_is_not_imported_before() -> None:
    program = "import sys, tui.widgets.transcript; print(sorted({'markdown_it', 'pygments'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("role", ["user", "assistant", "system", "note", "error"])
async def test_hostile_text_is_inert_in_every_place(role: str) -> None:
    entries = [
        Entry(name, role, text, title=text, badge=text, footer=text)  # type: ignore[arg-type]
        for name, text in SHORT.items()
    ]
    async with Host(entries).run_test(size=(80, 24)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.action_top()
        seen = -1
        while seen < transcript.scroll_y:
            seen = int(transcript.scroll_y)
            for y in range(transcript.size.height):
                strip = transcript.render_line(y)
                assert strip.text == inert(strip.text)
                assert sum(segment.cell_length for segment in strip) == 80
                assert all(not segment.control for segment in strip)
            transcript.action_scroll_page(1)


@pytest.mark.parametrize("role", ["user", "assistant"])
async def test_a_megabyte_on_one_line_is_shown(role: str) -> None:
    entry = Entry("a", role, CORPUS["long_line"])  # type: ignore[arg-type]
    async with Host([entry]).run_test(size=(80, 24)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        assert transcript.virtual_size.height == 1 + -(-1_000_000 // 77) + 1
        assert rows(transcript)[0] == "▎ " + "x" * 77


async def test_themes_and_modes_draw_again() -> None:
    async with Host([Entry("a", "assistant", "# T\n`code`")]).run_test(size=(40, 6)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        colours = set()
        for theme in ("textual-dark", "textual-light", "ansi-dark"):
            pilot.app.theme = theme
            await pilot.pause()
            assert rows(transcript)[1:3] == ["▎ T", "▎ code"]
            colours.add(str(list(transcript.render_line(1))[1].style))
        assert len(colours) == 3


async def test_a_theme_that_is_switched_to_gives_the_colours_it_gives_at_the_start() -> None:
    entries = [Entry("a", "assistant", "# T\n`code`\n```python\nx = 1\n```"), Entry("b", "error", "no")]
    drawn = []
    for themes in (["textual-light"], ["textual-dark", "nord", "textual-light"]):
        async with Host(entries).run_test(size=(40, 12)) as pilot:
            for theme in themes:
                pilot.app.theme = theme
                await pilot.pause()
            transcript = pilot.app.query_one(Transcript)
            assert transcript._frame is not None
            drawn.append((transcript._frame.palette, [list(transcript.render_line(y)) for y in range(12)]))
    assert drawn[0] == drawn[1]
