"""The journal of judgements: appended and never changed, the latest on a pair counts. A kill loses at most the one that
was being written."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

from core.errors import RecordError, WorkspaceError
from core.i18n import _
from core.jsonl import append_lines, numbered_lines
from core.judging.pair import PERSON, Judged, Pair, Verdict, swapped
from core.records import from_record, registry, to_record
from core.untrusted import inert_line

_CLASSES = registry(Judged)


class VerdictBook:
    """The judgements of a judging, as its file has them."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        self._latest: dict[int, Judged] = {}
        for judged in _read(path):
            self._take(judged)

    @property
    def latest(self) -> Mapping[int, Judged]:
        """What stands, by the number of the pair, in the order in which it was judged."""
        return self._latest

    def judge(self, pair: Pair, verdict: Verdict) -> Judged:
        """Keep what a person thinks of a pair.

        Raises:
            WorkspaceError: it cannot be written.
        """
        judged = Judged(
            pair.number, verdict, "second" if swapped(pair.number, self.seed) else "first", PERSON, time.time()
        )
        self.add(judged)
        return judged

    def add(self, *judged: Judged) -> None:
        """Keep judgements, in one write.

        Raises:
            WorkspaceError: they cannot be written.
        """
        try:
            if judged:
                append_lines(self.path, *map(to_record, judged))
        except OSError as error:
            told = _("{path}: the judgement cannot be kept: {reason}")
            raise WorkspaceError(
                told.format(path=inert_line(str(self.path)), reason=error.strerror),
                _("free some space or change the permissions"),
            ) from error
        for one in judged:
            self._take(one)

    def undo(self) -> int | None:
        """Take the last judgement back; returns its pair's number, None where there is nothing to take back."""
        if not self._latest:
            return None
        last = next(reversed(self._latest))
        self.add(Judged(last, "", time=time.time()))
        return last

    def _take(self, judged: Judged) -> None:
        self._latest.pop(judged.number, None)  # to the end of the order
        if judged.verdict:
            self._latest[judged.number] = judged


def _read(path: Path) -> list[Judged]:
    """The whole lines of the journal that can be understood."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for _number, line in numbered_lines(path.read_bytes()):
            with contextlib.suppress(ValueError, RecursionError, RecordError):
                found.append(from_record(_CLASSES, json.loads(line)))
    return found
