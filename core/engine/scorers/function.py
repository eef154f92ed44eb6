"""A Python function of the user's own as a reward: `FILE.py:NAME`.

It is called with all prompts and all answers of a step, and gives a number for each:

    def short(prompts: list[str], answers: list[str]) -> list[float]:
        return [-len(answer) / 100 for answer in answers]

A prompt is the text of the last question. A function whose first parameter is called `messages` gets the whole
conversations instead, each a list of {"role": …, "content": …}. The file runs as code that the user wrote and named.
With `metric(predict, label)` beside it, which says the same of one answer, the file is a metric of evaluations too
(`core.metrics.own`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.chat.message import Message
from core.engine.control import never
from core.engine.scorers.scorer import LARGEST, Asked, workable
from core.errors import ScoringFailed
from core.i18n import _, plural
from core.metrics.user_file import place_of, run_file, told_of

_MESSAGES = ("messages", "conversations")
_SHOWN = 60


@dataclass(frozen=True)
class FunctionScorer:
    """Scores by a function."""

    name: str
    path: Path
    function: Callable[..., Any]
    wants_messages: bool
    kind: Literal["function"] = "function"

    def score(self, asked: Sequence[Asked], is_stopped: Callable[[], bool] = never) -> list[float]:
        """See `Scorer`; a function that has been called is waited for."""
        if not asked or is_stopped():
            return []
        prompts = [_conversation(one.messages) if self.wants_messages else _question(one.messages) for one in asked]
        answers = [one.answer for one in asked]
        try:
            given = self.function(prompts, answers)
            found = list(given) if isinstance(given, Iterable) else None
        except (Exception, SystemExit) as error:
            place = place_of(error, self.path).removeprefix(f"{self.path.parent}/")
            raise ScoringFailed(f"{place}: {told_of(error)}", self._hint()) from error
        if found is None:
            what = _("{name} gave {value}, which is no list")
            raise ScoringFailed(what.format(name=self.name, value=repr(given)[:_SHOWN]), self._hint())
        if len(found) != len(asked):
            numbers = plural("{count} number", "{count} numbers", len(found))
            of = plural("{count} answer", "{count} answers", len(asked))
            what = _("{name} gave {numbers} for {answers}").format(name=self.name, numbers=numbers, answers=of)
            raise ScoringFailed(what, self._hint())
        return [self._number(value, one) for value, one in zip(found, asked, strict=True)]

    def _number(self, value: Any, asked: Asked) -> float:
        number = workable(value)
        if number is None:
            what = _("{name} gave {value} for the answer {answer}")
            shown = what.format(name=self.name, value=repr(value)[:_SHOWN], answer=repr(asked.answer[:_SHOWN]))
            raise ScoringFailed(shown, self._hint())
        return number

    def _hint(self) -> str:
        what = _("it is called with two lists, {first} and answers, and has to give a list with one number for each")
        told = what.format(first="messages" if self.wants_messages else "prompts")
        return _("{told}, up to {largest:g}").format(told=told, largest=LARGEST)


def open_function(name: str) -> FunctionScorer:
    """The function of `FILE.py:NAME`.

    Raises:
        MetricError: the file cannot be run.
        ScoringFailed: it has no such function.
    """
    file, _colon, function_name = name.rpartition(":")
    path = Path(file).absolute()
    function = getattr(run_file(path), function_name, None)
    if not callable(function):
        what = _("{path} defines no function {name}").format(path=path, name=function_name)
        raise ScoringFailed(what, _("define one that takes prompts and answers, and gives a number for each"))
    return FunctionScorer(f"{path.name}:{function_name}", path, function, _first_parameter(function) in _MESSAGES)


def _first_parameter(function: Callable[..., Any]) -> str:
    try:
        return next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):  # of a class or of C code, which tells none
        return ""


def _question(messages: Sequence[Message]) -> str:
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _conversation(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]
