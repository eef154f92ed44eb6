"""Examples to an `EncodedSet`, in the order of the examples."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

from core.data.problems import RowProblem
from core.engine.batches.encode import LeftOut
from core.engine.batches.encoded_set import EncodedSet
from core.engine.batches.recipe import Encodings, Recipe
from core.engine.batches.tally import Tally

_TOLD_EVERY = 500


def tokenise(
    recipe: Recipe,
    numbers: Sequence[int] | None = None,
    *,
    ids: BinaryIO | None = None,
    on_row: Callable[[int], None] = lambda done: None,
) -> EncodedSet:
    """Encode the examples of a recipe. Rows of one example are neighbours.

    Args:
        numbers: which of them; all.
        ids: where the ids go instead of into memory; the set then has none.
        on_row: told how many are done, every now and then and at the end.
    """
    memory, lengths, targets, made_of = array("i"), array("i"), array("i"), array("i")
    tally = Tally(recipe.kind)
    chosen = range(len(recipe.examples)) if numbers is None else numbers
    for done, number in enumerate(chosen, start=1):
        result = _encoded(recipe, number)
        tally.add(result, functools.partial(_place, recipe, number))
        for row in () if isinstance(result, LeftOut) else result.rows:
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


def _encoded(recipe: Recipe, number: int) -> Encodings | LeftOut:
    try:
        return recipe.encoded(number)
    except RowProblem as error:  # told with all the others, see `verdict`
        return LeftOut("unreadable", f"{error.fault.what}: {error.fault.hint}".rstrip(": "))


def _place(recipe: Recipe, number: int) -> str:
    return str(recipe.examples.place(number))
