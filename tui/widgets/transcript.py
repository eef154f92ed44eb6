"""A conversation of any length: its messages, the one that is selected, and the keys to walk among them.

How little of it is drawn, and how it stays in place, is told in `scrolled_entries`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from core.i18n import _
from tui.widgets.entry import Entry, EntryView, changed
from tui.widgets.scrolled_entries import ScrolledEntries

__all__ = ["Entry", "Transcript"]


class Transcript(ScrolledEntries, can_focus=True):
    """The messages of a conversation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_by(-1)", _("Scroll up"), show=False),
        Binding("down", "scroll_by(1)", _("Scroll down"), show=False),
        Binding("pageup", "scroll_page(-1)", _("Page up"), show=False),
        Binding("pagedown,space", "scroll_page(1)", _("Page down"), show=False),
        Binding("home", "top", _("To the beginning"), show=False),
        Binding("end", "bottom", _("To the end"), show=False),
        Binding("ctrl+up,k", "cursor(-1)", _("Previous message"), show=False),
        Binding("ctrl+down,j", "cursor(1)", _("Next message"), show=False),
    ]

    class Selected(Message):
        """Another message is selected, or none (`key` is None)."""

        def __init__(self, transcript: Transcript, key: str | None) -> None:
            super().__init__()
            self.transcript = transcript
            self.key = key

        @property
        def control(self) -> Transcript:
            return self.transcript

    class FocusLeft(Message):
        """The cursor went down beyond the last message: the user wants to go on typing."""

        def __init__(self, transcript: Transcript) -> None:
            super().__init__()
            self.transcript = transcript

        @property
        def control(self) -> Transcript:
            return self.transcript

    def __init__(self, entries: Iterable[Entry] = (), *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._index: dict[str, int] = {}
        self._add(entries)

    # What is shown

    @property
    def entries(self) -> list[Entry]:
        """All entries, in order."""
        return [view.entry for view in self._views]

    @property
    def cursor_entry(self) -> Entry | None:
        """The selected entry."""
        return self._views[self.cursor].entry if self.cursor is not None else None

    def has(self, key: str) -> bool:
        """Whether there is an entry of that key."""
        return key in self._index

    def append(self, entry: Entry, before: str | None = None) -> None:
        """Adds one entry at the end, or before another."""
        if before is None:
            self.extend([entry])
            return
        view = EntryView(entry)
        view.estimate(self._text_width)
        index = self._index[before]
        self._set_views([*self._views[:index], view, *self._views[index:]])

    def extend(self, entries: Iterable[Entry]) -> None:
        """Adds entries at the end; nothing is drawn that is not in view."""
        self._add(entries)
        self._settle()
        self.refresh()

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.key in self._index:
                raise ValueError(f"two entries have the key {entry.key!r}")
            view = EntryView(entry)
            view.estimate(self._text_width)
            self._index[entry.key] = len(self._views)
            self._views.append(view)
            self._starts.append(self._starts[-1] + view.height)

    def replace(self, key: str, /, **changes: object) -> None:
        """Shows an entry with other values of its fields; `key` may be among them."""
        index = self._index.pop(key)
        view = self._views[index]
        self._drawn.pop(key, None)
        view.change(changed(view.entry, **changes))
        self._index[view.entry.key] = index
        self._redraw(index)

    def stream(self, key: str, text: str, /) -> None:
        """Adds text to an entry. Callers collect tokens and call this some eight times a second."""
        self.replace(key, text=self._views[self._index[key]].entry.text + text, streaming=True)

    def finish(self, key: str, /, **changes: object) -> None:
        """Ends the streaming of an entry, with the last changes to it."""
        self.replace(key, **{**changes, "streaming": False})

    def discard(self, key: str) -> None:
        """Takes one entry away."""
        index = self._index[key]
        self._set_views([*self._views[:index], *self._views[index + 1 :]])

    def truncate(self, after_key: str | None) -> None:
        """Takes away everything after an entry, or everything."""
        self._set_views(self._views[: self._index[after_key] + 1] if after_key is not None else [])

    def clear(self) -> None:
        """Takes everything away."""
        self._set_views([])

    def _set_views(self, views: list[EntryView]) -> None:
        selected = self.cursor_entry
        kept = {view.entry.key: index for index, view in enumerate(views)}
        for key in self._index.keys() - kept.keys():
            self._drawn.pop(key, None)
        self._views, self._index = views, kept
        self._starts = list(accumulate((view.height for view in views), initial=0))
        self.cursor = kept.get(selected.key) if selected else None
        self.following = self.following or not views
        if self.is_attached and self.text_selection is not None:
            self.screen.clear_selection()
        self._settle()
        self.refresh()

    # What is in it

    def text_of(self, key: str) -> str:
        """The text of an entry as it came."""
        return self._views[self._index[key]].entry.text

    def code_blocks(self, key: str) -> list[str]:
        """The code of each fenced block of an entry, as it came."""
        from tui.widgets.markdown import code_blocks  # 40 ms for the parser

        return code_blocks(self.text_of(key))

    def find(self, text: str) -> list[str]:
        """Keys of the entries that contain a text, whatever its case."""
        needle = text.casefold()
        return [view.entry.key for view in self._views if needle in view.entry.text.casefold()]

    # The cursor

    def select(self, key: str) -> None:
        """Puts the cursor on an entry and brings it into view."""
        self.cursor = self._index[key]
        self.scroll_to_entry(key)

    def move_cursor(self, step: int) -> None:
        """Selects the next (1) or previous (-1) message; beyond the last one the cursor leaves."""
        index = len(self._views) if self.cursor is None else self.cursor
        index += step
        while 0 <= index < len(self._views) and self._views[index].entry.role == "note":
            index += step
        if index >= len(self._views):
            self.action_leave()
        elif index >= 0:
            self.select(self._views[index].entry.key)

    def toggle_thinking(self, key: str) -> None:
        """Shows or folds what the model thought before an answer."""
        index = self._index[key]
        self._views[index].thinking_shown = not self._views[index].thinking_shown
        self._views[index].redraw()
        self._redraw(index)

    def validate_cursor(self, cursor: int | None) -> int | None:
        return None if cursor is None or not self._views else max(0, min(cursor, len(self._views) - 1))

    def watch_cursor(self, old: int | None, new: int | None) -> None:
        for index in (old, new):
            if index is not None and index < len(self._views):
                self.refresh_lines(self._starts[index], self._views[index].height)
        self.post_message(self.Selected(self, None if new is None else self._views[new].entry.key))

    # Scrolling

    def scroll_to_entry(self, key: str) -> None:
        """Brings an entry into view, its beginning if it is larger than the view."""
        index = self._index[key]
        page = self.size.height
        for _attempt in range(3):  # heights that were guessed can move the entry while it comes into view
            if self._frame is not None:
                self._measure(index)
                self._update_virtual_size()
            start, end = self._starts[index], self._starts[index + 1] - 1
            if start >= self.scroll_y and end <= self.scroll_y + page:
                return
            below = start >= self.scroll_y
            self._scroll(min(start, end - page) if below else start)

    def action_scroll_by(self, rows: int) -> None:
        self._scroll(self.scroll_y + rows)

    def action_scroll_page(self, pages: int) -> None:
        self._scroll(self.scroll_y + pages * max(1, self.size.height - 2))

    def action_top(self) -> None:
        self._scroll(0)

    def action_bottom(self) -> None:
        self._scroll(self.max_scroll_y)

    def action_cursor(self, step: int) -> None:
        self.move_cursor(step)

    def action_leave(self) -> None:
        """Gives up the cursor and the focus."""
        self.cursor = None
        self.action_bottom()
        self.post_message(self.FocusLeft(self))

    def on_click(self, event: events.Click) -> None:
        if self.text_selection is not None or not self._views:
            return
        y = int(self.scroll_y) + event.y
        if y >= self._starts[-1]:
            return
        index = self._entry_at(y)
        view = self._views[index]
        self.cursor = index
        if y - self._starts[index] == view.fold_row:
            self.toggle_thinking(view.entry.key)
