"""A comparison as two rows: one prompt with the better answer behind it, and the same prompt with the worse one.

Both come from `encode`, so a prompt is what it is for supervised training and for chat. Loss lies on the last answer
alone, and a row ends with what ends the answer: there a reward is read, and there a model that answers stops. A pair
that is too long is cut for its longer answer; the other one gets the prompt that is left, so what is compared are the
answers. Two that are the same afterwards are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.chat.message import Message
from core.config.data import DataOptions
from core.data.example import Comparison, Example
from core.engine.batches.batch import EncodedRow
from core.engine.batches.cut import Cut, answered_ids, length_of
from core.engine.batches.encode import Encoded, LeftOut, encode
from core.engine.template import Template


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A comparison in all its views."""

    chosen: Encoded
    rejected: Encoded

    @property
    def rows(self) -> tuple[EncodedRow, ...]:
        """As they are stored."""
        return (self.chosen.row, self.rejected.row)

    @property
    def cut(self) -> Cut | None:
        """What the pair lost; the prompt, which both have, counts once."""
        cuts = [one.cut for one in (self.chosen, self.rejected) if one.cut is not None]
        if not cuts:
            return None
        turns, question = max(cut.turns for cut in cuts), max(cut.question for cut in cuts)
        return Cut(turns, question, sum(cut.answer for cut in cuts))


def encode_pair(template: Template, comparison: Comparison, options: DataOptions) -> EncodedPair | LeftOut:
    """A comparison as `options` want it; `train_on_prompt` means nothing here."""
    on_answer = options.model_copy(update={"train_on_prompt": False, "mask_history": True})
    chosen = _answered(template, comparison.messages, comparison.chosen, on_answer)
    if isinstance(chosen, LeftOut):
        return chosen
    rejected = _answered(template, comparison.messages, comparison.rejected, on_answer)
    if isinstance(rejected, LeftOut):
        return rejected
    if chosen.cut is not None or rejected.cut is not None:
        is_longer = _whole(chosen) >= _whole(rejected)
        longer, other = (chosen, comparison.rejected) if is_longer else (rejected, comparison.chosen)
        shorter = _behind(template, longer, other, on_answer)
        if isinstance(shorter, LeftOut):
            return shorter
        chosen, rejected = (longer, shorter) if is_longer else (shorter, longer)
    if chosen.row.ids.tolist() == rejected.row.ids.tolist():
        return LeftOut("same_answers")
    return EncodedPair(_ended(template, chosen), _ended(template, rejected))


def _answered(
    template: Template, messages: tuple[Message, ...], answer: str, options: DataOptions
) -> Encoded | LeftOut:
    return encode(template, Example((*messages, Message("assistant", answer))), options)


def _whole(encoded: Encoded) -> int:
    """The tokens before any cut."""
    cut = encoded.cut or Cut()
    return len(encoded.row.ids) + cut.turns + cut.question + cut.answer


def _behind(template: Template, cut: Encoded, answer: str, options: DataOptions) -> Encoded | LeftOut:
    """The other answer behind the prompt that is left of a row, and no longer than that row's."""
    source, target = length_of(template, cut.rendering)
    tight = options.model_copy(
        update={
            "default_system": "",  # prompt and prefix are in the messages already
            "source_prefix": "",
            "max_source_length": source,
            "max_target_length": target,
        }
    )
    return _answered(template, cut.messages[:-1], answer, tight)


def _ended(template: Template, encoded: Encoded) -> Encoded:
    """Without what the template writes behind the end of the answer."""
    length = len(answered_ids(template, encoded.rendering))
    row = encoded.row
    return replace(encoded, row=EncodedRow(row.ids[:length], row.trained[:length]))
