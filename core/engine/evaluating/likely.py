"""What a model finds likely, without a word written: the letter of a choice, and the reference answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from core.engine.evaluating.answering import IsStopped
from core.engine.evaluating.speaking import Speaking
from core.engine.evaluating.test_set import TestRow
from core.engine.predicting.likelihood import likelihoods, next_token_probabilities
from core.engine.predicting.question import Likelihood, Target
from core.errors import FinetuiError


def letter_shares(
    speaking: Speaking, rows: Sequence[TestRow], prompts: Mapping[int, Sequence[int]], is_stopped: IsStopped
) -> Iterator[tuple[TestRow, dict[str, float] | None]]:
    """For each row how probable each of its letters is as the next token, among them; after a stop no more. None where
    memory was short.

    Args:
        prompts: the tokens of each row's prompt, by the row's number.
    """
    for letters in dict.fromkeys(row.letters for row in rows):
        asked = [row for row in rows if row.letters == letters]
        ids = [_letter_id(speaking, letter) for letter in letters]
        found = next_token_probabilities(
            speaking.chat, [prompts[row.number] for row in asked], ids, speaking.adapter, is_stopped=is_stopped
        )
        for row, shares in zip(asked, found, strict=False):
            yield row, None if shares is None else dict(zip(letters, shares, strict=True))


def _letter_id(speaking: Speaking, letter: str) -> int:
    """The token that an answer which is this letter begins with."""
    return speaking.chat.base.tokenizer.encode(letter)[-1]


def reference_losses(
    speaking: Speaking,
    rows: Sequence[TestRow],
    dropped: Callable[[TestRow], Sequence[int]],
    is_stopped: IsStopped,
) -> Iterator[Likelihood]:
    """The losses of reference answers, by the number of their row; none where there is no room for one, over no tokens
    where memory was short.

    Args:
        dropped: the messages that a row's prompt had to lose.
    """
    targets: list[Target] = []
    for row in rows:
        try:
            target = speaking.target(row.number, row, dropped(row))
        except FinetuiError:  # the row has no answer for the same reason, which is told there
            continue
        if target is not None:
            targets.append(target)
    yield from likelihoods(speaking.chat, targets, is_stopped=is_stopped)
