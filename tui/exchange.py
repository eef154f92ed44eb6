"""One question on its way: from the key press until every column's answer is kept in the conversation's file.

The question is written to the file before anything else happens, an answer when it ends, however it ends. While it
grows, an answer is only held here: `keep_parts` writes what there is when the app has to leave.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.chat.message import FinishReason, Message, Usage
from core.chat.session import Column, Conversation, Turn
from core.errors import FinetuiError
from core.serve.protocol import Finished, Sampling, Started, Text
from tui.chat_driver import Ask, ChatDriver


@dataclass(frozen=True, slots=True)
class Answered:
    """A column's answer is complete and in the file."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """A column got no complete answer; `turn` is the kept part, if there was any."""

    error: FinetuiError
    turn: Turn | None


Update: TypeAlias = Started | Text | Answered | NotAnswered


class Exchange:
    """Asks the columns of a conversation and keeps what they say.

    Args:
        conversation: where question and answers are kept; its active leaf of each column is the question.
        columns: who answers.
        single_turn: send only the newest question (and the system prompt), not the whole conversation.
    """

    def __init__(self, conversation: Conversation, columns: Sequence[Column], *, single_turn: bool = False) -> None:
        self.conversation = conversation
        self.columns = {column.index: column for column in columns}
        self._questions = {column.index: conversation.line(column.index)[-1] for column in columns}
        self._parts: dict[int, list[str]] = {column.index: [] for column in columns}
        self._asks = [self._ask(column, single_turn) for column in columns]
        self._started = False

    def _ask(self, column: Column, single_turn: bool) -> Ask:
        messages = self.conversation.messages(column.index)
        if single_turn:
            messages = newest_question(messages)
        return Ask(column.index, column.model, column.adapter, messages, f"{self.conversation.path}:{column.index}")

    @property
    def started(self) -> bool:
        """Whether a worker has taken up the question, so that it can be told to stop."""
        return self._started

    def question(self, column: int) -> Turn:
        """What the column is to answer."""
        return self._questions[column]

    async def run(
        self, driver: ChatDriver, sampling: Sampling, enable_thinking: bool | None = None
    ) -> AsyncIterator[tuple[int, Update]]:
        """Yield (column, update); the last of each column is `Answered` or `NotAnswered`."""
        async for column, reply in driver.answer(self._asks, sampling, enable_thinking):
            if column not in self._parts:  # kept already, because the app is leaving
                continue
            match reply:
                case Text():
                    self._parts[column].append(reply.text)
                    yield column, reply
                case Finished():
                    yield column, Answered(self._keep(column, reply.finish_reason, reply.usage))
                case FinetuiError():
                    turn = self._keep(column, "error") if self._parts[column] else None
                    yield column, NotAnswered(reply, turn)
                case Started():
                    self._started = True
                    yield column, reply

    def keep_parts(self) -> None:
        """Write the parts of unfinished answers, marked as stopped."""
        for column in [column for column, parts in self._parts.items() if parts]:
            self._keep(column, "stopped")
        self._parts.clear()

    def _keep(self, column: int, finish_reason: FinishReason, usage: Usage | None = None) -> Turn:
        speaker = self.columns[column]
        return self.conversation.append(
            "assistant",
            "".join(self._parts.pop(column)),
            column=column,
            parent=self._questions[column].id,
            model=speaker.model,
            adapter=speaker.adapter or "",
            finish_reason=finish_reason,
            usage=usage,
        )


def newest_question(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The system prompt, if any, and the last message: what single-turn mode sends."""
    return (*(message for message in messages[:1] if message.role == "system"), messages[-1])
