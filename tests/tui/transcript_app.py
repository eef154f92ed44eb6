"""A screen with a transcript, and what it shows."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import App, ComposeResult

from tui.widgets.transcript import Entry, Transcript


class Host(App[None]):
    """A screen with a transcript, and what it told."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        super().__init__()
        self.transcript = Transcript(entries)
        self.selected: list[str | None] = []
        self.left = 0

    def compose(self) -> ComposeResult:
        yield self.transcript

    def on_transcript_selected(self, event: Transcript.Selected) -> None:
        self.selected.append(event.key)

    def on_transcript_focus_left(self) -> None:
        self.left += 1


def rows(transcript: Transcript) -> list[str]:
    """The rows in view, without what only fills them."""
    return [transcript.render_line(y).text.rstrip() for y in range(transcript.size.height)]


def shown(transcript: Transcript) -> str:
    return "\n".join(rows(transcript))


def said(count: int, lines: int = 1) -> list[Entry]:
    """A conversation of `count` messages."""
    return [
        Entry(f"m{n}", "assistant" if n % 2 else "user", "\n".join(f"message {n} line {k}" for k in range(lines)))
        for n in range(count)
    ]
