"""Examples to an `EncodedSet`, in the order of the examples."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

import numpy as np

from core.config.data import DataOptions
from core.data.example import Example
from core.data.problems import RowProblem
from core.engine.batches.encode import Encoded, LeftOut, encode
from core.engine.batches.encoded_set import EncodedSet
from core.engine.batches.tally import Tally
from core.engine.template import Template

_TOLD_EVERY = 500


class Examples(Protocol):
    """Examples by their numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Example: ...

    def place(self, number: int, /) -> object:
        """As `file:line`."""


def tokenise(
    examples: Examples,
    template: Template,
    options: DataOptions,
    numbers: Sequence[int] | None = None,
    *,
    ids: BinaryIO | None = None,
    on_row: Callable[[int], None] = lambda done: None,
) -> EncodedSet:
    """Encode examples.

    Args:
        numbers: which of them; all.
        ids: where the ids go instead of into memory; the set then has none.
        on_row: told how many are done, every now and then and at the end.
    """
    memory, lengths, targets, made_of = array("i"), array("i"), array("i"), array("i")
    tally = Tally()
    chosen = range(len(examples)) if numbers is None else numbers
    for done, number in enumerate(chosen, start=1):
        result = _encoded(examples, number, template, options)
        tally.add(result, functools.partial(_place, examples, number))
        if not isinstance(result, LeftOut):
            row = result.row
            stored = np.where(row.trained, ~row.ids, row.ids).tobytes()
            if ids is None:
                memory.frombytes(stored)
            else:
                ids.write(stored)
            lengths.append(len(row.ids))
            targets.append(row.targets)
            made_of.append(number)
        if done % _TOLD_EVERY == 0:
            on_row(done)
    on_row(len(chosen))
    return EncodedSet(
        np.frombuffer(memory, dtype=np.int32) if memory else np.empty(0, dtype=np.int32),
        np.cumsum(np.concatenate([[0], np.frombuffer(lengths, dtype=np.int32)]), dtype=np.int64),
        np.frombuffer(targets, dtype=np.int32),
        np.frombuffer(made_of, dtype=np.int32),
        tally.report(),
    )


def _encoded(examples: Examples, number: int, template: Template, options: DataOptions) -> Encoded | LeftOut:
    try:
        example = examples[number]
    except RowProblem as error:  # told with all the others, see `verdict`
        return LeftOut("unreadable", f"{error.fault.what}: {error.fault.hint}".rstrip(": "))
    return encode(template, example, options)


def _place(examples: Examples, number: int) -> str:
    return str(examples.place(number))
