"""The file of a conversation: lines appended, lines read, mistakes named by their line.

A reader is strict when it opens a file: a hand-edited mistake is named as `file:line`. Later on it is lenient: an
answer that has just been generated is never lost to somebody else's bad line. A line that a killed writer left
unfinished is no mistake: at the end of the file it is passed over; further up the next writer has marked it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, cast

from core.chat.records import RECORDS, Record, TornLine
from core.errors import RecordError, SessionError
from core.i18n import _
from core.jsonl import append_lines, numbered_lines, torn_tail
from core.records import from_record, to_record

Take: TypeAlias = Callable[[Record], None]
"""Gets a line's record; raises RecordError for one that does not fit what stands above it."""


class SessionLog:
    """A file that grows by lines, read a piece at a time.

    Attributes:
        problems: what was passed over, as texts for the user.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self._inode = 0
        self._start_over()

    def _start_over(self) -> None:
        self.problems.clear()
        self._offset = 0
        self._lines_read = 0
        self._broken: SessionError | None = None

    def write(self, *records: Record) -> None:
        """Append records in one write.

        Raises:
            SessionError: the file is gone or cannot be written.
        """
        if self._offset and not self.path.exists():
            raise SessionError(
                _("{path} is gone: nothing more can be written to this conversation").format(path=self.path),
                _("it may have been deleted in another window: undo that, or start a new conversation"),
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_lines(self.path, *map(to_record, records), after_torn=to_record(TornLine()))
        except OSError as error:
            raise SessionError(
                _("{path}: the conversation cannot be written: {error}").format(path=self.path, error=error.strerror),
                _("free some space or change the permissions; what is on the screen can still be copied"),
            ) from error

    def replaced(self) -> bool:
        """Whether another file stands there now, as editors leave it; it has to be read from the start."""
        try:
            facts = self.path.stat()
        except OSError:
            return False
        if self._inode and (facts.st_ino != self._inode or facts.st_size < self._offset):
            self._start_over()
            return True
        return False

    def read(self, take: Take, *, strict: bool) -> bool:
        """Hand on the records beyond those read before; whether there were any bytes.

        Raises:
            SessionError: the file cannot be read, or, if `strict`, holds a line that is not understood.
        """
        data = self._new_bytes()
        for number, line in numbered_lines(data):
            self._take_line(self._lines_read + number, line, take, strict)
        if self._broken and strict:
            raise self._broken
        tail = torn_tail(data)
        self._lines_read += data.count(b"\n")
        self._offset += len(data) - len(tail)
        if tail and strict:
            self._take_tail(tail, take)
        return len(data) > len(tail)

    def _new_bytes(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                self._inode = os.fstat(file.fileno()).st_ino
                file.seek(self._offset)
                return file.read()
        except OSError as error:
            raise SessionError(
                _("{path}: the conversation cannot be read: {error}").format(path=self.path, error=error.strerror)
            ) from error

    def _take_line(self, number: int, line: bytes, take: Take, strict: bool) -> None:
        try:
            record = decode(line)
            if isinstance(record, TornLine):
                self._pass_over_torn(number - 1)
                return
            self._judge_broken(strict)
            if record is not None:
                take(record)
        except RecordError as error:
            self._judge_broken(strict)
            self._broken = SessionError(
                f"{self.path}:{number}: {error.message}",
                error.hint or _("mend or delete this line; every other line stays as it is"),
            )

    def _judge_broken(self, strict: bool) -> None:
        """The line above could not be read, and nothing says that it is a torn one."""
        if broken := self._broken:
            self._broken = None
            if strict:
                raise broken
            self.problems.append(str(broken))

    def _pass_over_torn(self, number: int) -> None:
        self._broken = None
        self.problems.append(
            _("{path}:{line}: this line was not written to its end; it is passed over").format(
                path=self.path, line=number
            )
        )

    def _take_tail(self, tail: bytes, take: Take) -> None:
        """The text after the last newline: whole when an editor left the newline out, else torn."""
        try:
            record = decode(tail)
            if record is not None:
                take(record)
            self._offset += len(tail)
        except RecordError:
            self._pass_over_torn(self._lines_read + 1)


def decode(line: bytes) -> Record | None:
    """The record of a line; None for a type that only a newer finetui knows.

    Raises:
        RecordError: it is no JSON object, or not a record of its type.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(_("not a line of JSON: {error}").format(error=error)) from None
    if isinstance(value, dict) and isinstance(name := value.get("type"), str) and name not in RECORDS:
        return None
    return cast(Record, from_record(RECORDS, value))
