"""The conversations of the workspace, newest first: search, open, rename, delete and undo.

The list knows the store and nothing of the chat; it says what the user chose by messages. Reading and searching the
files happens in a thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from core.chat.store import Deleted, SessionStore, SessionSummary
from core.i18n import _, plural
from core.untrusted import inert_line
from tui.widgets.dialogs import AskText
from tui.widgets.inert_inputs import InertInput

_TEXT_WIDTH = 26


class SessionList(Vertical):
    """Lists conversations and lets one be chosen."""

    DEFAULT_CSS = """
    SessionList { width: 32; background: $surface; padding: 1 0 0 0; }
    SessionList Input { margin: 0 1 1 1; background: $panel; }
    SessionList OptionList { border: none; padding: 0 1; background: transparent; height: 1fr; }
    SessionList OptionList:focus { border: none; }
    SessionList OptionList > .option-list--option { padding: 0 1; }
    SessionList OptionList > .option-list--option-highlighted {
        background: transparent; color: $text; text-style: none;
    }
    SessionList OptionList:focus > .option-list--option-highlighted { background: $primary 30%; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("r", "rename"),
        ("d,delete", "delete"),
        ("u", "undo"),
        ("slash", "search"),
        ("escape", "leave"),
    ]

    class Chosen(Message):
        """A conversation is to be opened."""

        def __init__(self, summary: SessionSummary) -> None:
            super().__init__()
            self.summary = summary

    class Renamed(Message):
        """A conversation got another title."""

        def __init__(self, summary: SessionSummary, title: str) -> None:
            super().__init__()
            self.summary = summary
            self.title = title

    class Gone(Message):
        """A conversation was deleted; it can be brought back while the list lives."""

        def __init__(self, summary: SessionSummary) -> None:
            super().__init__()
            self.summary = summary

    class Left(Message):
        """The user wants back to the input."""

    def __init__(self, store: SessionStore) -> None:
        super().__init__()
        self.store = store
        self._reading = asyncio.Lock()
        self._reloads = 0
        self._shown: list[SessionSummary] = []
        self._deleted: list[Deleted] = []

    def compose(self) -> ComposeResult:
        yield InertInput(placeholder=_("search all conversations"))
        yield OptionList()

    def on_mount(self) -> None:
        self.reload()

    @property
    def _options(self) -> OptionList:
        return self.query_one(OptionList)

    def focus_list(self) -> None:
        """Put the keyboard into the list."""
        self._options.focus()

    @work(group="sessions")
    async def reload(self) -> None:
        """Read the list again, as the search field wants it. Of several that wait, only the last does."""
        self._reloads += 1
        mine = self._reloads
        async with self._reading:
            if mine == self._reloads:
                wanted = self.query_one(Input).value
                self._show(await asyncio.to_thread(self.store.search, wanted))

    def _show(self, found: list[SessionSummary]) -> None:
        """The same conversation stays highlighted, wherever it is in the list now."""
        if found == self._shown:
            return
        options, current = self._options, self._current()
        index = options.highlighted or 0
        self._shown = found
        options.clear_options()
        options.add_options(Option(describe(summary), id=summary.path.name) for summary in found)
        names = [summary.path.name for summary in found]
        if current is not None and current.path.name in names:
            index = names.index(current.path.name)
        options.highlighted = min(index, len(found) - 1) if found else None

    def _current(self) -> SessionSummary | None:
        index = self._options.highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    @on(Input.Changed)
    def _search_changed(self) -> None:
        self.reload()

    @on(Input.Submitted)
    def _search_submitted(self) -> None:
        self._options.focus()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        chosen = [summary for summary in self._shown if summary.path.name == event.option_id]
        if chosen:  # else the list was read anew meanwhile, without it
            self.post_message(self.Chosen(chosen[0]))

    def action_search(self) -> None:
        self.query_one(Input).focus()

    def action_leave(self) -> None:
        search = self.query_one(Input)
        if search.value:
            search.value = ""
        else:
            self.post_message(self.Left())

    @work
    async def action_rename(self) -> None:
        summary = self._current()
        if summary is None:
            return
        title = await self.app.push_screen_wait(AskText(_("Title of the conversation"), summary.title))
        if title:
            self.post_message(self.Renamed(summary, title))

    def action_delete(self) -> None:
        summary = self._current()
        if summary is None:
            return
        self._deleted.append(self.store.delete(summary.path))
        self.notify(_("“{title}” deleted; u brings it back").format(title=inert_line(summary.title)), markup=False)
        self.post_message(self.Gone(summary))
        self.reload()

    def action_undo(self) -> None:
        if self._deleted:
            self.store.restore(self._deleted.pop())
            self.reload()


def describe(summary: SessionSummary) -> Content:
    """Two lines: the title, and when, how much and with whom."""
    count = plural("{count} message", "{count} messages", summary.message_count)
    facts = f"{age(summary.updated)} · {count}"
    title = Content(inert_line(summary.title) or _("untitled")).truncate(_TEXT_WIDTH, ellipsis=True)
    return Content.assemble(title, "\n", (facts, "$muted"))


def age(moment: float) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, _("{n} d")), (3600, _("{n} h")), (60, _("{n} min"))):
        if seconds >= size:
            return unit.format(n=seconds // size)
    return _("now")
