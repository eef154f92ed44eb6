"""Smaller sets out of a larger one: by chance, or keeping the share of every class.

Shares are kept by largest remainders: each class gets the whole part of its quota, the rows that are left go to the
classes that lost most. Every class gets a row where there are rows enough, so that a small set still shows all of
them. The same seed always takes the same rows, and what is taken stays in the order of the file.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.errors import DataError
from core.i18n import _

Class = TypeVar("Class", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Split:
    """The numbers of the rows that were taken, each list ascending, none in both."""

    train: tuple[int, ...]
    test: tuple[int, ...]


def split_rows(classes: Sequence[Hashable], train: int | None, test: int, *, stratify: bool, seed: int) -> Split:
    """Draw the rows of two sets that share none.

    Args:
        classes: the class of each row; only its length counts without `stratify`.
        train: how many rows to train on. None: all that the test leaves.
        test: how many rows to test with; may be 0.
        stratify: give each class the share that it has in `classes`.
        seed: of the draw.

    Raises:
        DataError: there are not as many rows, or one of the numbers makes no sense.
    """
    _check_sizes(len(classes), train, test)
    wanted = len(classes) - test if train is None else train
    if not stratify:
        drawn = random.Random(seed).sample(range(len(classes)), wanted + test)
        return Split(tuple(sorted(drawn[:wanted])), tuple(sorted(drawn[wanted:])))
    rows_of = _shuffled_by_class(classes, seed)
    sizes = {name: len(rows) for name, rows in rows_of.items()}
    to_train = allocate(sizes, wanted)
    to_test = allocate(sizes, test, room={name: size - to_train[name] for name, size in sizes.items()})
    taken = [(rows, to_train[name], to_test[name]) for name, rows in rows_of.items()]
    return Split(
        tuple(sorted(row for rows, ours, _theirs in taken for row in rows[:ours])),
        tuple(sorted(row for rows, ours, theirs in taken for row in rows[ours : ours + theirs])),
    )


def allocate(sizes: Mapping[Class, int], total: int, room: Mapping[Class, int] | None = None) -> dict[Class, int]:
    """How many of `total` rows each class gets, in proportion to the sizes.

    Args:
        sizes: rows of each class, which make the proportion.
        total: rows to give out.
        room: the most that a class can give, where others took some before; its sum is at least `total`.

    Returns:
        A number for every class; their sum is `total`.
    """
    room = sizes if room is None else room
    whole = sum(sizes.values())
    if not whole:
        return dict.fromkeys(sizes, 0)
    least = 1 if total >= len(sizes) else 0
    given = {name: min(room[name], max(least, total * size // whole)) for name, size in sizes.items()}
    by_loss = sorted(sizes, key=lambda name: given[name] - total * sizes[name] / whole)
    while (left := total - sum(given.values())) != 0:
        if left > 0:
            for name in [name for name in by_loss if given[name] < room[name]][:left]:
                given[name] += 1
        else:  # those that keep a row and are furthest above their quota give one back
            for name in [name for name in reversed(by_loss) if given[name] > least][:-left]:
                given[name] -= 1
    return given


def _shuffled_by_class(classes: Sequence[Class], seed: int) -> dict[Class, list[int]]:
    rows_of: dict[Class, list[int]] = {}
    for row, name in enumerate(classes):
        rows_of.setdefault(name, []).append(row)
    chance = random.Random(seed)
    for rows in rows_of.values():
        chance.shuffle(rows)
    return rows_of


def _check_sizes(count: int, train: int | None, test: int) -> None:
    if test < 0 or (train is not None and train < 1):
        raise DataError(_("a split needs at least one row to train on, and no negative number to test with"))
    asked = (train or 1) + test
    if asked > count:
        raise DataError(
            _("{asked} rows were asked for, and the set has {count}").format(asked=asked, count=count),
            _("ask for fewer, or leave --train out to take all that the test leaves"),
        )
