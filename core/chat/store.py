"""The folder of conversations: listed, searched, made, opened, thrown away and taken back.

A list of a thousand files has to be there while the screen is being drawn, so a summary parses only the lines that
decide something (header, first question, last turn, changes of title) and is kept until the file changes. A search
looks at the raw text first and parses only the files that could match.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from core.chat.log import decode
from core.chat.records import Column, Header, Renamed, SystemChanged, Turn
from core.chat.session import Conversation, new_conversation, open_conversation, title_of
from core.errors import RecordError, SessionError
from core.i18n import _

TRASH_DAYS = 30
"""How long deleted conversations can be taken back."""

_TURN = b'{"type":"turn",'
"""How `core.records` begins a turn's line; lines of another spelling, and torn ones, are parsed."""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What a list shows of a conversation."""

    path: Path
    title: str
    updated: float
    message_count: int
    model: str
    problem: str = ""
    """Why it cannot be opened, when that is seen already."""


Summaries: TypeAlias = list[SessionSummary]


@dataclass(frozen=True, slots=True)
class Deleted:
    """A conversation in the trash."""

    path: Path
    trash: Path


class SessionStore:
    """The conversations of a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._summaries: dict[Path, tuple[tuple[int, int], SessionSummary]] = {}

    def list(self) -> Summaries:
        """All conversations, newest first."""
        known, read = self._summaries, dict[Path, tuple[tuple[int, int], SessionSummary]]()
        for path in self._paths():
            with suppress(OSError):  # deleted by another app meanwhile
                facts = path.stat()
                key = (facts.st_mtime_ns, facts.st_size)
                entry = known.get(path)
                read[path] = entry if entry and entry[0] == key else (key, _summary(path))
        self._summaries = read  # whole: another thread may be listing too
        summaries = (summary for _key, summary in read.values())
        return sorted(summaries, key=lambda summary: (summary.updated, summary.path.name), reverse=True)

    def search(self, text: str) -> Summaries:
        """The conversations with this text, in any case, in a title, a system prompt or a message; newest first."""
        wanted = text.strip().casefold()
        return [summary for summary in self.list() if _contains(summary, wanted)]

    def create(self, title: str = "", system: str = "", columns: Sequence[Column] = ()) -> Conversation:
        """A new conversation; its file is made when something is said."""
        return new_conversation(self.folder, title, system, columns)

    def open(self, path: Path) -> Conversation:
        """Read a conversation.

        Raises:
            SessionError: it cannot be read; the message names the line.
        """
        return open_conversation(path)

    def last(self) -> Path | None:
        """The conversation that was said something in last."""
        return next((summary.path for summary in self.list() if not summary.problem), None)

    def delete(self, path: Path) -> Deleted:
        """Move a conversation to the trash, where it stays for 30 days.

        Raises:
            SessionError: it cannot be moved.
        """
        trash = self.folder / ".trash"
        target = trash / path.name
        try:
            trash.mkdir(mode=0o700, exist_ok=True)
            _empty(trash)
            path.rename(target)
        except OSError as error:
            raise SessionError(
                _("{path}: the conversation cannot be deleted: {error}").format(path=path, error=error.strerror)
            ) from error
        return Deleted(path, target)

    def restore(self, deleted: Deleted) -> None:
        """Take a conversation back from the trash.

        Raises:
            SessionError: it is no longer there, or its place is taken.
        """
        try:
            deleted.path.hardlink_to(deleted.trash)  # unlike a rename, never over another file
            deleted.trash.unlink()
        except OSError as error:
            raise SessionError(
                _("{path}: the conversation cannot be restored: {error}").format(
                    path=deleted.path, error=error.strerror
                ),
                _("look for it in {trash}").format(trash=deleted.trash),
            ) from error

    def _paths(self) -> Iterator[Path]:
        return self.folder.glob("*.jsonl")


def _empty(trash: Path) -> None:
    """Forget what was moved here too long ago; moving a file sets its change time."""
    oldest = time.time() - TRASH_DAYS * 86_400
    for path in trash.glob("*.jsonl"):
        with suppress(OSError):
            if path.stat().st_ctime < oldest:
                path.unlink()


def _summary(path: Path) -> SessionSummary:
    """Read a file without parsing the turns in its middle.

    Raises:
        OSError: it cannot be read.
    """
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    try:
        header = decode(lines[0]) if lines else None
        if not isinstance(header, Header):
            raise RecordError(_("no conversation"))
        return _summary_of(path, header, lines[1:])
    except RecordError as error:
        return SessionSummary(path, path.stem, path.stat().st_mtime, 0, "", error.message)


def _summary_of(path: Path, header: Header, lines: Sequence[bytes]) -> SessionSummary:
    others = [_lenient(line) for line in lines if not (line.startswith(_TURN) and line.endswith(b"}"))]
    count = sum(isinstance(record, Turn) for record in others) + len(lines) - len(others)
    title = next((record.title for record in reversed(others) if isinstance(record, Renamed)), header.title)
    question = next((title_of(turn.content) for turn in _turns(lines) if turn.role == "user"), "")
    updated = next((turn.created for turn in _turns(reversed(lines)) if turn.created), header.created)
    configured = header.columns[0].model if header.columns else ""
    model = next((turn.model for turn in _turns(reversed(lines)) if turn.model), configured)
    return SessionSummary(path, title or question, updated, count, model)


def _turns(lines: Iterable[bytes]) -> Iterator[Turn]:
    """Parse on demand: whoever takes the first one pays for one line."""
    for line in lines:
        if isinstance(record := _lenient(line), Turn):
            yield record


def _lenient(line: bytes) -> object:
    try:
        return decode(line)
    except RecordError:
        return None


def _contains(summary: SessionSummary, wanted: str) -> bool:
    if not wanted or wanted in summary.title.casefold():
        return True
    with suppress(OSError):
        data = summary.path.read_bytes()
        escaped = json.dumps(wanted, ensure_ascii=False)[1:-1]
        # \u stands where text could not be written as itself: only parsing tells then.
        if b"\\u" in data or escaped in data.decode(errors="replace").casefold():
            return any(wanted in text.casefold() for text in _texts(data))
    return False


def _texts(data: bytes) -> Iterator[str]:
    for line in data.split(b"\n"):
        match _lenient(line):
            case Turn(content=text) | Header(system=text) | SystemChanged(system=text):
                yield text
