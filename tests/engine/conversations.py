"""Asking a loaded model, and reading its replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from core.chat.message import Message
from core.engine.chat_model import ChatModel
from core.serve.protocol import Finished, Generate, Load, Reply, Row, Sampling, Started, Text

T = TypeVar("T", Started, Finished)
HELLO = (Message("user", "Hello there, how are you today?"),)
FINISH_EARLY = Sampling(max_new_tokens=12)


def load(folder: Path, **options: object) -> ChatModel:
    return ChatModel.load(Load(1, str(folder), threads=1, **options), lambda _: None)  # type: ignore[arg-type]


def ask(
    model: ChatModel,
    *rows: Row,
    sampling: Sampling = FINISH_EARLY,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[Reply]:
    replies: list[Reply] = []
    model.generate(Generate(5, rows, sampling), replies.append, is_stopped)
    return replies


def text_of(replies: Sequence[Reply], row: int = 0) -> str:
    return "".join(reply.text for reply in replies if isinstance(reply, Text) and reply.row == row)


def started(replies: Sequence[Reply], row: int = 0) -> Started:
    return _only(replies, Started, row)


def finished(replies: Sequence[Reply], row: int = 0) -> Finished:
    return _only(replies, Finished, row)


def _only(replies: Sequence[Reply], kind: type[T], row: int) -> T:
    (one,) = [reply for reply in replies if isinstance(reply, kind) and reply.row == row]
    return one
