"""What differs between a reference and an answer: by characters where a script has no blanks, by words elsewhere.

Texts are cut into tokens (a word, a number, one Chinese character, one sign, a run of blanks) and matched by the
longest common subsequence in Myers' way, whose time grows with the number of differences. Long texts that have little
in common would take too long: after a bounded number of steps the rest counts as replaced as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["same", "removed", "added"]

_TOKEN = re.compile(
    r"[A-Za-zÀ-ɏЀ-ӿͰ-Ͽ]+(?:['’][A-Za-z]+)?"  # words of alphabets
    r"|\d+"
    r"|[^\S\n]+"  # blanks, a newline by itself
    r"|.",
    re.DOTALL,
)
_MOST_EDITS = 250
_ISLAND, _MUCH = 1, 8
"""An island is so short, and so many times longer is what is changed around it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text: in both, only in the reference (removed), or only in the answer (added)."""

    kind: Kind
    text: str


def difference(reference: str, answer: str) -> list[Piece]:
    """The pieces in reading order; without the added ones they are the reference, without the removed the answer."""
    before, after = tokens(reference), tokens(answer)
    return _joined(_pieces(before, after))


def tokens(text: str) -> list[str]:
    """The text in the units that it is compared by; joined they are the text."""
    return _TOKEN.findall(text)


def _pieces(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Kind, str]]:
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    yield "same", "".join(before[:head])
    yield from _middle(before[head : len(before) - tail], after[head : len(after) - tail])
    yield "same", "".join(before[len(before) - tail :])


def _common(before: Sequence[str], after: Sequence[str]) -> int:
    """How many tokens both begin with."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        count += 1
    return count


def _middle(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Kind, str]]:
    """What lies between the ends that both share."""
    done_before = done_after = 0
    for at_before, at_after in _matches(before, after):
        yield "removed", "".join(before[done_before:at_before])
        yield "added", "".join(after[done_after:at_after])
        yield "same", before[at_before]
        done_before, done_after = at_before + 1, at_after + 1
    yield "removed", "".join(before[done_before:])
    yield "added", "".join(after[done_after:])


def _matches(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of equal tokens on a shortest way of editing, as far as it was found within `_MOST_EDITS` steps.

    Myers (1986), "An O(ND) difference algorithm and its variations": `reach[k]` is the farthest place in `before` on
    diagonal k = at_before − at_after that so many edits lead to.
    """
    reach = {1: 0}
    trace: list[dict[int, int]] = []
    farthest = (0, 0, 0)
    for edits in range(min(len(before) + len(after), _MOST_EDITS) + 1):
        trace.append(dict(reach))
        for diagonal in range(-edits, edits + 1, 2):
            at = _start(reach, diagonal, edits)
            while at < len(before) and at - diagonal < len(after) and before[at] == after[at - diagonal]:
                at += 1
            reach[diagonal] = at
            if at >= len(before) and at - diagonal >= len(after):
                return _walk_back(trace, diagonal, at)
            if at <= len(before) and at - diagonal <= len(after):
                farthest = max(farthest, (2 * at - diagonal, diagonal, edits))
    sum_of_both, diagonal, edits = farthest
    return _walk_back(trace[: edits + 1], diagonal, (sum_of_both + diagonal) // 2)


def _walk_back(trace: Sequence[dict[int, int]], diagonal: int, at: int) -> list[tuple[int, int]]:
    """The matches on the way that led to a place, from the beginning."""
    matches = []
    for edits in range(len(trace) - 1, -1, -1):
        start = _start(trace[edits], diagonal, edits)
        while at > start:
            at -= 1
            matches.append((at, at - diagonal))
        above = _is_from_above(trace[edits], diagonal, edits)
        at, diagonal = (start, diagonal + 1) if above else (start - 1, diagonal - 1)
    return matches[::-1]


def _start(reach: dict[int, int], diagonal: int, edits: int) -> int:
    """Where a diagonal begins after so many edits: below the one above it, or right of the one below it."""
    if _is_from_above(reach, diagonal, edits):
        return reach[diagonal + 1]
    return reach[diagonal - 1] + 1


def _is_from_above(reach: dict[int, int], diagonal: int, edits: int) -> bool:
    return diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])


# --- pieces that one can read -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Change:
    """What stands between two stretches that are the same, and the stretch that follows."""

    removed: str = ""
    added: str = ""
    same: str = ""

    @property
    def size(self) -> int:
        return len(self.removed) + len(self.added)


def _joined(pieces: Iterator[tuple[Kind, str]]) -> list[Piece]:
    """Neighbours of one kind together, the removed before the added; islands of little in much change go under."""
    changes = [_Change()]
    for kind, text in pieces:
        if not text:
            continue
        if kind == "same":
            changes[-1].same += text
            continue
        if changes[-1].same:
            changes.append(_Change())
        if kind == "removed":
            changes[-1].removed += text
        else:
            changes[-1].added += text
    return [piece for change in _without_islands(changes) for piece in _told(change)]


def _without_islands(changes: Sequence[_Change]) -> Iterator[_Change]:
    current = changes[0]
    for following in changes[1:]:
        if current.size and _is_island(current.same, current.size + following.size):
            current = _Change(
                current.removed + current.same + following.removed,
                current.added + current.same + following.added,
                following.same,
            )
        else:
            yield current
            current = following
    yield current


def _is_island(same: str, changed: int) -> bool:
    """Whether what is the same between two changes only hides that all of it is another text."""
    return len(same.strip()) <= _ISLAND and changed >= _MUCH * max(len(same), 1) and "\n" not in same


def _told(change: _Change) -> Iterator[Piece]:
    if change.removed:
        yield Piece("removed", change.removed)
    if change.added:
        yield Piece("added", change.added)
    if change.same:
        yield Piece("same", change.same)
