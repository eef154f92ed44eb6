"""A conversation: an append-only file and the state that its lines add up to.

The file is the truth. Whatever is said or changed is first written as one line and then read back together with what
another app may have written meanwhile: there is one way from lines to state, and two apps on one conversation see the
same.
"""

from __future__ import annotations

import contextlib
import enum
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, cast

from core.chat.log import SessionLog
from core.chat.message import FinishReason, Message, Role, Usage
from core.chat.records import (
    SCHEMA,
    Activated,
    ColumnsChanged,
    Header,
    Rated,
    Rating,
    Record,
    Renamed,
    SystemChanged,
    Withdrawn,
)
from core.chat.records import Column as Column
from core.chat.records import Turn as Turn
from core.chat.state import State
from core.errors import SessionError
from core.i18n import _

TITLE_LENGTH = 60


class _Active(enum.Enum):
    ACTIVE = "active"


ACTIVE: Final = _Active.ACTIVE
"""As a parent: the active leaf of the column."""


class Conversation:
    """One conversation. Made by `new_conversation` or `open_conversation`, mostly through a `SessionStore`."""

    def __init__(self, folder: Path, header: Header | None, log: SessionLog | None = None) -> None:
        self._folder = folder
        self._state = State(header)
        self._log = log

    # --- what it says -------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """Its file; None until something is said."""
        return self._log.path if self._log else None

    @property
    def problems(self) -> tuple[str, ...]:
        """What was passed over while reading, as texts for the user."""
        return tuple(self._log.problems) if self._log else ()

    @property
    def title(self) -> str:
        """The given title, else the first line of the first question."""
        return self._header.title or next(
            (title_of(turn.content) for turn in self._state.tree.turns.values() if turn.role == "user"), ""
        )

    @property
    def created(self) -> float:
        return self._header.created

    @property
    def updated(self) -> float:
        """When the last turn was said."""
        return max((turn.created for turn in self._state.tree.turns.values()), default=0.0) or self.created

    @property
    def system(self) -> str:
        return self._header.system

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._header.columns

    def turn(self, turn_id: str) -> Turn:
        """The turn of an id.

        Raises:
            SessionError: there is none.
        """
        if turn_id not in self._state.tree:
            raise SessionError(_("the conversation has no message {id!r}").format(id=turn_id))
        return self._state.tree.turns[turn_id]

    def line(self, column: int = 0) -> tuple[Turn, ...]:
        """The turns from the first one down to the active leaf."""
        return self._state.tree.line(column)

    def messages(self, column: int = 0) -> tuple[Message, ...]:
        """What a request puts before the model: the system prompt, where there is one, and the line."""
        system = (Message("system", self.system),) if self.system else ()
        return system + tuple(Message(turn.role, turn.content) for turn in self.line(column))

    def branches(self, turn_id: str) -> tuple[Turn, ...]:
        """The turn and those that were said in its place, oldest first."""
        return self._state.tree.branches(self.turn(turn_id))

    def rating(self, turn_id: str) -> Rating | None:
        return self._state.ratings.get(turn_id)

    # --- what changes it ----------------------------------------------------------------------------------------

    def append(
        self,
        role: Role,
        content: str,
        *,
        column: int = 0,
        parent: str | Literal[_Active.ACTIVE] | None = ACTIVE,
        model: str = "",
        adapter: str = "",
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
    ) -> Turn:
        """Say something after `parent`; it is in the file when this returns, and the column's active leaf.

        Raises:
            SessionError: the file cannot be written, or there is no such parent.
        """
        above = self._state.tree.leaf(column) if isinstance(parent, _Active) else parent
        if above is not None:
            self.turn(above)
        now = round(time.time(), 3)
        turn = Turn(self._new_id(), above, column, role, content, model, adapter, finish_reason, usage, now)
        self._write(turn)
        turn = self.turn(turn.id)
        self._state.tree.stand_at(turn.id, column)
        return turn

    def activate(self, turn_id: str) -> None:
        """Walk to the branch of this turn: down to what was said last below it."""
        leaf = self._state.tree.newest_below(self.turn(turn_id))
        if self._state.tree.leaf(leaf.column) != leaf.id:
            self._write(Activated(leaf.id, leaf.column))
            self._state.tree.stand_at(leaf.id, leaf.column)

    def rewind(self, turn_id: str | None, column: int = 0) -> None:
        """Step back to this turn (None: before the first), so that the next `append` branches off there.

        It is not written: a reader of the file sees the old line until something is said on the new one.
        """
        if turn_id is not None:
            self.turn(turn_id)
        self._state.tree.stand_at(turn_id, column)

    def withdraw(self, turn_id: str) -> None:
        """Take a question back that nobody answered; the column steps back to before it."""
        self.turn(turn_id)
        self._write(Withdrawn(turn_id))

    def rate(self, turn_id: str, rating: Rating | None) -> None:
        self.turn(turn_id)
        self._write(Rated(turn_id, rating))

    def rename(self, title: str) -> None:
        """Give it a title; an empty one makes the first question the title again."""
        if title != self._header.title:
            self._change(Renamed(title))

    def set_system(self, text: str) -> None:
        if text != self.system:
            self._change(SystemChanged(text))

    def set_columns(self, columns: Sequence[Column]) -> None:
        if tuple(columns) != self.columns:
            self._change(ColumnsChanged(tuple(columns)))

    def refresh(self) -> bool:
        """Take in what another app appended; whether there was anything.

        The active line moves only where it was continued.

        Raises:
            SessionError: the file is gone.
        """
        if self._log is None:
            return False
        if not self._log.replaced():
            return self._log.read(lambda record: self._state.take(record, follow=False), strict=False)
        before, self._state = self._state, State(self._state.header)
        self._log.read(lambda record: self._state.take(record, follow=True), strict=False)
        for column, leaf in before.tree.leaves.items():
            if leaf in self._state.tree:
                self._state.tree.stand_at(leaf, column)
        return True

    # ------------------------------------------------------------------------------------------------------------

    @property
    def _header(self) -> Header:
        return cast(Header, self._state.header)

    def _new_id(self) -> str:
        while (turn_id := secrets.token_hex(5)) in self._state.tree:
            pass
        return turn_id

    def _change(self, record: Renamed | SystemChanged | ColumnsChanged) -> None:
        """A change before anything was said only alters the header that will be written then."""
        if self._log is None:
            self._state.take(record, follow=False)
        else:
            self._write(record)

    def _write(self, record: Record) -> None:
        if self._log is None:
            self._log = self._new_log(record)
        else:
            self._log.write(record)
        self.refresh()

    def _new_log(self, record: Record) -> SessionLog:
        log = SessionLog(_new_path(self._folder, self.created))
        try:
            log.write(self._header, record)
        except SessionError:
            with contextlib.suppress(OSError):
                log.path.unlink()  # half a header is nothing that could be mended
            raise
        return log


def new_conversation(folder: Path, title: str = "", system: str = "", columns: Sequence[Column] = ()) -> Conversation:
    """A conversation without a file: that is made in `folder` when something is said."""
    return Conversation(folder, Header(SCHEMA, round(time.time(), 3), title, system, tuple(columns)))


def open_conversation(path: Path) -> Conversation:
    """Read a conversation.

    Raises:
        SessionError: it cannot be read; a line that is no record is named as `file:line`.
    """
    log = SessionLog(path)
    conversation = Conversation(path.parent, None, log)
    state = conversation._state
    log.read(lambda record: state.take(record, follow=True), strict=True)
    if state.header is None:
        raise SessionError(_("{path}:1: the file has no header").format(path=path), _("it holds no conversation"))
    return conversation


def title_of(text: str) -> str:
    """The first line that is not blank, cut."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"


def _new_path(folder: Path, created: float) -> Path:
    moment = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(created))
    while (path := folder / f"{moment}-{secrets.token_hex(2)}.jsonl").exists():
        pass
    return path
