"""Reading a run while it is written: at each poll what came since the last one, up to the last whole line.

Polling works on every disk, shared ones too. A poll takes at most 256 KB, so that a screen that opens a run of hours
stays alive; `behind` says whether there is more to take at once.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from typing import cast

from core.errors import RecordError
from core.records import from_record
from core.runs.events import EVENTS, Event
from core.runs.rundir import RunDirectory

MOST_BYTES = 256 << 10


class Follower:
    """Hands out a run's events once each, from its beginning. A file that was replaced is read again from its start."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.behind = False
        """Whether the last poll left something for the next one."""
        self.unknown: Counter[str] = Counter()
        """How many lines of which type nobody here understands: a newer finetui's, or torn ones (an empty type)."""
        self._offset = 0
        self._inode = 0
        self._rest = b""

    def poll(self) -> list[Event]:
        """The events that came since the last poll; none while there is no file."""
        try:
            with self.run.events.open("rb") as file:
                self._notice_replacement(os.fstat(file.fileno()))
                file.seek(self._offset)
                data = file.read(MOST_BYTES)
        except OSError:
            self.behind = False
            return []
        self._offset += len(data)
        self.behind = len(data) == MOST_BYTES
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines if line.strip() and (event := self._event(line)) is not None]

    def unread(self) -> bool:
        """Whether there is more than what was polled."""
        try:
            return self.run.events.stat().st_size > self._offset
        except OSError:
            return False

    def poll_all(self) -> list[Event]:
        """Like `poll`, however much there is."""
        events = self.poll()
        while self.behind:
            events += self.poll()
        return events

    def _notice_replacement(self, stat: os.stat_result) -> None:
        if stat.st_ino != self._inode or stat.st_size < self._offset:
            self._inode, self._offset, self._rest = stat.st_ino, 0, b""

    def _event(self, line: bytes) -> Event | None:
        event, name = parse(line)
        if event is None:
            self.unknown[name] += 1
        return event


def parse(line: bytes) -> tuple[Event | None, str]:
    """The event in a line and the name of its type; None for what this finetui does not understand."""
    name = ""
    with contextlib.suppress(ValueError, RecursionError, RecordError):
        record = json.loads(line)
        name = str(record.get("type", "")) if isinstance(record, dict) else ""
        return cast(Event, from_record(EVENTS, record)), name
    return None, name
