"""The turns of a conversation as a tree, and where in it the user stands.

Each column has an *active leaf*; its line runs from the root down to there. Parents always stand above their
children, so the newest turn below a branch is a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.chat.records import Turn


class Tree:
    """Turns by id, in the order in which they were said."""

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}
        self._siblings: dict[tuple[str | None, int], list[Turn]] = {}
        self.leaves: dict[int, str | None] = {}

    def __contains__(self, turn_id: object) -> bool:
        return turn_id in self.turns

    def leaf(self, column: int) -> str | None:
        """The id of the column's active leaf; None: its line is empty."""
        return self.leaves.get(column)

    def add(self, turn: Turn, *, follow: bool) -> None:
        """Take in a turn. It becomes the active leaf if it is to be followed or continues the active line anyway."""
        self.turns[turn.id] = turn
        self._siblings.setdefault((turn.parent, turn.column), []).append(turn)
        if follow or turn.parent == self.leaf(turn.column):
            self.leaves[turn.column] = turn.id

    def remove(self, turn_id: str) -> None:
        """Take a turn away whose column stands at it, or above; what was said below it meanwhile keeps it there."""
        turn = self.turns[turn_id]
        if any(other.parent == turn_id for other in self.turns.values()):
            return
        del self.turns[turn_id]
        self._siblings[turn.parent, turn.column].remove(turn)
        if self.leaf(turn.column) == turn_id:
            self.leaves[turn.column] = turn.parent

    def stand_at(self, turn_id: str | None, column: int) -> None:
        """Make this turn the end of the column's line."""
        self.leaves[column] = turn_id

    def line(self, column: int) -> tuple[Turn, ...]:
        """The turns from the root down to the active leaf."""
        return tuple(self._upward(self.leaf(column)))[::-1]

    def _upward(self, turn_id: str | None) -> Iterator[Turn]:
        while turn_id is not None:
            turn = self.turns[turn_id]
            yield turn
            turn_id = turn.parent

    def branches(self, turn: Turn) -> tuple[Turn, ...]:
        """The turn and its siblings in the same column, oldest first."""
        return tuple(self._siblings[turn.parent, turn.column])

    def newest_below(self, turn: Turn) -> Turn:
        """The leaf below a turn, in its column, that was said last; the turn itself when nothing follows it."""
        newest, below = turn, {turn.id}
        for other in self.turns.values():
            if other.parent in below and other.column == turn.column:
                below.add(other.id)
                newest = other
        return newest
