"""The conversations of the workspace, newest first: search, open, rename, delete and undo.

The list knows the store and nothing of the chat; it says what the user chose by messages. Reading and searching the
files happens in a thread.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
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
    SessionList OptionList > .option-list--option { padding: 0 1 0 0; }
    SessionList .nothing { display: none; padding: 0 2; height: auto; color: $text-muted; }
    SessionList.-empty .nothing { display: block; }
    SessionList.-empty OptionList { height: 0; }
    SessionList OptionList > .option-list--option-highlighted {
        background: transparent; color: $text; text-style: none;
    }
    SessionList OptionList:focus > .option-list--option-highlighted { background: $primary 30%; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
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

    class Restored(Message):
        """A deleted conversation is there again, which was open when it was deleted."""

        def __init__(self, summary: SessionSummary) -> None:
            super().__init__()
            self.summary = summary

    class Left(Message):
        """The user wants back to the input."""

    def __init__(self, store: SessionStore, opened: Path | None = None) -> None:
        super().__init__()
        self.store = store
        self._opened = opened
        self._reading = asyncio.Lock()
        self._reloads = 0
        self._shown: list[SessionSummary] = []
        self._deleted: list[tuple[Deleted, SessionSummary | None]] = []
        """What can be brought back, with what is to be opened then."""
        self._dialog: AskText | None = None

    def compose(self) -> ComposeResult:
        yield InertInput(placeholder=_("search all conversations"))
        yield OptionList()
        yield Static("", classes="nothing")

    def on_mount(self) -> None:
        self.reload()

    @property
    def _options(self) -> OptionList:
        return self.query_one(OptionList)

    def focus_list(self) -> None:
        """Put the keyboard into the list, at the conversation that is open."""
        self._highlight_opened()
        self._options.focus()

    def _highlight_opened(self) -> None:
        paths = [summary.path for summary in self._shown]
        if self._opened in paths:
            self._options.highlighted = paths.index(self._opened)

    def tell(self, opened: Path | None) -> None:
        """Mark the conversation that is open, and read the list again."""
        if opened != self._opened:
            self._opened = opened
            self._fill()
        self.reload()

    @work(group="sessions")
    async def reload(self) -> None:
        """Read the list again, as the search field wants it. Of several that wait, only the last does."""
        self._reloads += 1
        mine = self._reloads
        async with self._reading:
            if mine == self._reloads and self.query(Input):
                wanted = self.query_one(Input).value
                self._show(await asyncio.to_thread(self.store.search, wanted))

    def _show(self, found: list[SessionSummary]) -> None:
        if not self.query(".nothing"):  # the panel is being put away
            return
        nothing = _("No conversation has this text.") if self.query_one(Input).value else _("No conversation yet.")
        self.query_one(".nothing", Static).update(Content(nothing))
        self.set_class(not found, "-empty")
        if found != self._shown:
            first = not self._shown
            current = self._current()
            self._shown = found
            self._fill(current)
            if first:
                self._highlight_opened()

    def _fill(self, current: SessionSummary | None = None) -> None:
        """The same conversation stays highlighted, wherever it is in the list now."""
        options, found = self._options, self._shown
        current = current or self._current()
        index = options.highlighted or 0
        options.clear_options()
        options.add_options(
            Option(describe(summary, opened=summary.path == self._opened), id=summary.path.name) for summary in found
        )
        paths = [summary.path for summary in found]
        if current is not None and current.path in paths:
            index = paths.index(current.path)
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

    def on_key(self, event: events.Key) -> None:
        """`r`, and what is typed right behind it: such keys may be on their way here when the dialog is there."""
        if self._dialog is not None and self._dialog.is_active:
            event.stop()
            self._dialog.on_key(event)
        elif event.key == "r":
            event.stop()
            self.action_rename()

    def action_rename(self) -> None:
        """Ask for another title."""
        summary = self._current()
        if summary is None:
            return

        def rename(title: str | None) -> None:
            self._dialog = None
            if title:
                self.post_message(self.Renamed(summary, title))

        self._dialog = AskText(_("Title of the conversation"), summary.title)
        self.app.push_screen(self._dialog, rename)

    def action_delete(self) -> None:
        """Put the highlighted conversation into the trash."""
        summary = self._current()
        if summary is None:
            return
        self.reload()  # also when it turns out to be gone already
        opened = summary if summary.path == self._opened else None
        self._deleted.append((self.store.delete(summary.path), opened))
        self.notify(_("“{title}” deleted; u brings it back").format(title=inert_line(summary.title)), markup=False)
        self.post_message(self.Gone(summary))

    def action_undo(self) -> None:
        """Take the last deleted conversation out of the trash."""
        if self._deleted:
            deleted, opened = self._deleted.pop()
            self.store.restore(deleted)
            if opened is not None:
                self.post_message(self.Restored(opened))
            self.reload()


def describe(summary: SessionSummary, *, opened: bool = False) -> Content:
    """Two lines: the title, and when and how much. A bar beside them marks the conversation that is open."""
    count = plural("{count} message", "{count} messages", summary.message_count)
    facts = f"{age(summary.updated)} · {count}"
    title = Content.styled(inert_line(summary.title) or _("untitled"), "bold" if opened else "")
    bar = ("▎", "$text-primary") if opened else " "
    return Content.assemble(bar, title.truncate(_TEXT_WIDTH, ellipsis=True), "\n", bar, (facts, "$muted"))


def age(moment: float) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, _("{n} d")), (3600, _("{n} h")), (60, _("{n} min"))):
        if seconds >= size:
            return unit.format(n=seconds // size)
    return _("now")
