"""Transcripts: what is drawn of a long conversation, and what stays in view while it grows."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from textual import events

from transcript_app import Host, rows, said, shown
from tui.widgets.entry import EntryView
from tui.widgets.transcript import Entry, Transcript


@dataclass
class Drawing:
    """Which entries were drawn, in order."""

    keys: list[str] = field(default_factory=list)


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    record, draw = Drawing(), EntryView._draw

    def recorded(self: EntryView, frame: object) -> object:
        record.keys.append(self.entry.key)
        return draw(self, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(EntryView, "_draw", recorded)
    return record


async def test_a_long_conversation_opens_at_its_end_and_draws_what_is_in_view(drawing: Drawing) -> None:
    async with Host(said(1000)).run_test(size=(80, 30)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        assert "message 999 line 0" in shown(transcript)
        assert transcript.scroll_y == transcript.max_scroll_y
        assert len(set(drawing.keys)) <= 12
        assert set(drawing.keys) <= {f"m{n}" for n in range(988, 1000)}
        transcript.action_top()
        assert "message 0 line 0" in shown(transcript)
        assert len(set(drawing.keys)) <= 24


async def test_adding_a_conversation_later_draws_as_little(drawing: Drawing) -> None:
    async with Host().run_test(size=(80, 30)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.extend(said(1000))
        assert "message 999 line 0" in shown(transcript)
        assert len(set(drawing.keys)) <= 12


async def test_resizing_draws_again_only_what_is_in_view(drawing: Drawing) -> None:
    async with Host(said(300)).run_test(size=(80, 30)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        drawing.keys.clear()
        await pilot.resize_terminal(60, 30)
        await pilot.pause()
        assert "message 299 line 0" in shown(transcript)
        assert len(set(drawing.keys)) <= 12


async def test_resizing_keeps_the_place() -> None:
    async with Host(said(60, lines=3)).run_test(size=(80, 20)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.select("m20")
        transcript.cursor = None
        top = rows(transcript)[1]
        for width in (50, 24, 80):
            await pilot.resize_terminal(width, 20)
            await pilot.pause()
            assert top in rows(transcript)[:4]
        assert not transcript.following


async def test_rows_of_entries_far_away_leave_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.widgets.scrolled_entries._KEPT_DRAWN", 20)
    async with Host(said(200)).run_test(size=(80, 20)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        for _page in range(60):
            transcript.action_scroll_page(-1)
            shown(transcript)
        assert len(transcript._drawn) <= 20
        assert sum(view._rows is not None for view in transcript._views) <= 20
        transcript.action_bottom()
        assert "message 199 line 0" in shown(transcript)


async def test_scrolling_up_over_guessed_heights_moves_by_what_was_asked() -> None:
    # Tables, code and blank rows make every guess wrong.
    text = "| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```\n\n# t\n\nend"
    entries = [Entry(f"m{n}", "assistant", f"start {n}\n\n{text}") for n in range(40)]
    async with Host(entries).run_test(size=(80, 20)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        for _step in range(120):
            before = rows(transcript)
            transcript.action_scroll_by(-1)
            assert rows(transcript)[1:] == before[:-1]


async def test_new_text_keeps_the_end_in_view() -> None:
    async with Host(said(40)).run_test(size=(80, 12)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.append(Entry("new", "assistant", "", streaming=True))
        for number in range(30):
            transcript.stream("new", f"row {number}\n")
            assert f"row {number}" in shown(transcript)
        transcript.finish("new", footer="30 tokens")
        assert rows(transcript)[-2:] == ["▎ 30 tokens", ""]


async def test_scrolled_up_it_stays_and_back_at_the_end_it_follows_again() -> None:
    async with Host(said(40)).run_test(size=(80, 12)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.append(Entry("new", "assistant", "", streaming=True))
        transcript.action_scroll_by(-8)
        assert not transcript.following
        before = rows(transcript)
        for number in range(20):
            transcript.stream("new", f"row {number}\n")
        assert [row for row in rows(transcript) if "row" not in row][:6] == before[:6]
        await pilot.press("tab", "end")
        await pilot.pause()
        assert transcript.following
        transcript.stream("new", "the end")
        assert "the end" in shown(transcript)


async def test_what_is_read_stands_still_while_an_answer_grows_below_the_view() -> None:
    async with Host(said(40)).run_test(size=(80, 12)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.action_top()
        before = rows(transcript)
        transcript.stream("m39", "\n\nmore" * 20)
        transcript.append(Entry("more", "user", "and more"))
        assert rows(transcript) == before
        transcript.action_bottom()
        assert "and more" in shown(transcript)


async def test_wheel_up_releases_the_end() -> None:
    async with Host(said(40)).run_test(size=(80, 12)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.post_message(events.MouseScrollUp(transcript, 5, 5, 0, -1, 0, False, False, False, 5, 5))
        await pilot.pause()
        await pilot.pause()
        assert not transcript.following
        assert transcript.scroll_y < transcript.max_scroll_y


async def test_only_changed_rows_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Host([Entry("a", "assistant", "one\n\ntwo\n\nthree", streaming=True)]).run_test(size=(40, 20)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        painted: list[tuple[int, int]] = []
        monkeypatch.setattr(transcript, "refresh_lines", lambda y, count=1: painted.append((y, count)))
        transcript.stream("a", " four")
        assert painted == [(5, 1)]
        transcript.replace("a", badge="good")
        assert painted[1:] == [(0, 1)]
        transcript.stream("a", "")
        assert len(painted) == 2
