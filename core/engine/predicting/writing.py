"""One answer of a batch in the making: token ids until it is complete, its text only then.

Chats need the text of every token at once; here it is made at the end, in one go, unless a stop string has to be looked
for. Text and ends are those of chats (`core.engine.answer`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.chat.message import FinishReason
from core.engine.detokenize import Detokenizer, StopStrings
from core.engine.predicting.question import Question, Reply

_REPLACEMENT = "\ufffd"


class Writing:
    """What has been written to one question.

    Args:
        context_length: of the model; prompt and answer have to fit.
        decode: token ids to text.
    """

    def __init__(self, question: Question, context_length: int, decode: Callable[[Sequence[int]], str]) -> None:
        self.question = question
        self.ids: list[int] = []
        self.near_ties = 0
        self.finish_reason: FinishReason | None = None
        self._decode = decode
        self._most = min(question.sampling.max_new_tokens, context_length - len(question.ids))
        self._stops = StopStrings(question.sampling.stop) if any(question.sampling.stop) else None
        self._detokenizer = Detokenizer(decode)
        self._said = ""

    @property
    def most_tokens(self) -> int:
        """Prompt and the longest possible answer."""
        return len(self.question.ids) + self._most

    @property
    def unread(self) -> list[int]:
        """All tokens that a model which has read none of it reads before it goes on."""
        return [*self.question.ids, *self.ids]

    def take(self, token: int) -> None:
        """The next token is chosen."""
        self.ids.append(token)
        if token in self.question.end_ids or (self._stops is not None and self._meets_stop(self._stops, token)):
            self.finish_reason = "stop"
        elif len(self.ids) >= self._most:
            self.finish_reason = "length"

    def _meets_stop(self, stops: StopStrings, token: int) -> bool:
        self._said += stops.push(self._detokenizer.push(token))
        return stops.hit

    def reply(self) -> Reply:
        """The finished answer."""
        question = self.question
        return Reply(question.key, self._text(), tuple(self.ids), self.finish_reason, self.near_ties)

    def failed(self, error: str) -> Reply:
        """There is no answer, and why."""
        return Reply(self.question.key, "", tuple(self.ids), None, self.near_ties, error)

    def _text(self) -> str:
        if self._stops is not None:
            return self._said + self._stops.flush()
        ended = bool(self.ids) and self.ids[-1] in self.question.end_ids
        ids = self.ids[:-1] if ended else self.ids
        text = self._decode(ids)
        if not text.endswith(_REPLACEMENT):
            return text
        detokenizer = Detokenizer(self._decode)  # which of the last bytes are broken and which merely unfinished
        return "".join(map(detokenizer.push, ids))
