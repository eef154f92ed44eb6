"""What the lines of a conversation add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

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
    TornLine,
    Turn,
    Withdrawn,
)
from core.chat.tree import Tree
from core.errors import RecordError
from core.i18n import _


class State:
    """Header, turns and ratings, as far as the records were taken in."""

    def __init__(self, header: Header | None) -> None:
        self.header = header
        self.tree = Tree()
        self.ratings: dict[str, Rating] = {}

    def take(self, record: Record, *, follow: bool) -> None:
        """Take in a record. `follow`: turns and walks to other branches move the active leaf.

        Raises:
            RecordError: it does not fit what came before.
        """
        match record:
            case Header():
                self.header = _checked(record)
            case Turn():
                self._check_new(record)
                self.tree.add(record, follow=follow)
            case Activated():
                self._check_known(record.turn)
                if follow:
                    self.tree.stand_at(record.turn, record.column)
            case Withdrawn():
                self._check_known(record.turn)
                self.tree.remove(record.turn)
            case Rated():
                self._check_known(record.turn)
                self._rate(record)
            case Renamed():
                self.header = replace(self._header(), title=record.title)
            case SystemChanged():
                self.header = replace(self._header(), system=record.system)
            case ColumnsChanged():
                self.header = replace(self._header(), columns=record.columns)
            case TornLine():
                pass
            case _:
                assert_never(record)

    def _rate(self, record: Rated) -> None:
        if record.rating is None:
            self.ratings.pop(record.turn, None)
        else:
            self.ratings[record.turn] = record.rating

    def _header(self) -> Header:
        if self.header is None:
            raise _no_header()
        return self.header

    def _check_new(self, turn: Turn) -> None:
        self._header()
        if turn.id in self.tree:
            raise RecordError(_("the message id {id!r} is used twice").format(id=turn.id))
        if turn.parent is not None and turn.parent not in self.tree:
            raise RecordError(_("the message's parent {id!r} is not above it").format(id=turn.parent))

    def _check_known(self, turn_id: str) -> None:
        if turn_id not in self.tree:
            raise RecordError(_("there is no message {id!r} above this line").format(id=turn_id))


def _checked(header: Header) -> Header:
    if header.schema > SCHEMA:
        raise RecordError(
            _("written by a newer finetui (schema {theirs}; this one reads up to {ours})").format(
                theirs=header.schema, ours=SCHEMA
            ),
            _("update finetui to open it"),
        )
    return header


def _no_header() -> RecordError:
    return RecordError(
        _("a conversation has to begin with its header"),
        _("the first line should be like {example}").format(example='{"type":"header","schema":1,"created":0}'),
    )
