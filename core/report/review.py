"""What people think of answers: a verdict and a note for each, beside the report.

Appended and never changed, the latest counts: two apps may review at once, and scoring anew or resuming an evaluation
touches nothing. A row is meant by its own id and its repeat, not by its place in a file.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from core.data.problems import shown_path
from core.errors import RecordError, ReportError
from core.i18n import _
from core.jsonl import append_lines, numbered_lines
from core.records import from_record, registry, to_record
from core.report.prediction import Prediction
from core.untrusted import inert_line

Verdict: TypeAlias = Literal["", "good", "bad", "unsure"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)[1:]


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody thinks of one answer."""

    id: str
    repeat: int = 0
    verdict: Verdict = ""
    note: str = ""
    time: float = 0.0
    """Seconds since the epoch."""


_CLASSES = registry(Review)
_Key: TypeAlias = tuple[str, int]


class ReviewBook:
    """The reviews of a report, as its file has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._latest: dict[_Key, Review] = {}
        self._size = -1
        self.reload()

    def __len__(self) -> int:
        return len(self._latest)

    def __iter__(self) -> Iterator[Review]:
        return iter(self._latest.values())

    def reload(self) -> bool:
        """Take in what another app wrote; returns whether there was anything."""
        size = 0
        with contextlib.suppress(OSError):
            size = self.path.stat().st_size
        if size == self._size:
            return False
        self._size, self._latest = size, {}
        with contextlib.suppress(OSError):
            for _number, line in numbered_lines(self.path.read_bytes()):
                self._take(line)
        return True

    def of(self, row: Prediction) -> Review:
        """The review of an answer; an empty one where there is none."""
        key = review_key(row)
        return self._latest.get(key) or Review(*key)

    def put(self, row: Prediction, verdict: Verdict | None = None, note: str | None = None) -> Review:
        """Set what is given and keep the rest; a verdict and a note that are both empty take the review back.

        Raises:
            ReportError: it cannot be written.
        """
        self.reload()
        before = self.of(row)
        after = Review(
            before.id,
            before.repeat,
            before.verdict if verdict is None else verdict,
            before.note if note is None else note,
            time.time(),
        )
        record = to_record(after)
        del record["type"]
        try:
            append_lines(self.path, record, mode=0o644)
        except OSError as error:
            what = _("{path} cannot be written: {reason}")
            raise ReportError(
                what.format(path=inert_line(shown_path(self.path)), reason=error.strerror),
                _("free some space or change the permissions"),
            ) from error
        self.reload()
        return after

    def counts(self) -> dict[Verdict, int]:
        """How many answers have which verdict."""
        counted = Counter(review.verdict for review in self)
        return {verdict: counted[verdict] for verdict in VERDICTS}

    def _take(self, line: bytes) -> None:
        try:
            review = from_record(_CLASSES, {**json.loads(line), "type": "review"})
        except (ValueError, TypeError, RecursionError, RecordError):
            return  # half a line of a killed app
        if review.verdict or review.note:
            self._latest[review.id, review.repeat] = review
        else:
            self._latest.pop((review.id, review.repeat), None)


def review_key(row: Prediction) -> _Key:
    """What a row is meant by: its own id, else its number in the file."""
    return row.id or f"#{row.row + 1}", row.repeat
