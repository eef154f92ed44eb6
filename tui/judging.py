"""Compare mode's verdict: which column's answer is the better one, kept as preference pairs.

One question has one verdict. Another verdict on it takes the place of the one before, and the same one again takes it
back, so the data never says both that A is better than B and that B is better than A.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.chat.preferences import append_preference, drop_preferences
from core.chat.session import Conversation, Turn
from core.errors import UsageError
from core.i18n import _
from tui.entries import speaker

PREFERENCES = "preferences.jsonl"
"""The data set, in the workspace's `data/`, that verdicts go to."""


def judge(conversation: Conversation, data: Path, number: int, over: Sequence[int] = ()) -> str:
    """Keep the answer of column `number` (from 1) as better than those of others; returns what to tell the user.

    Args:
        conversation: of compare mode.
        data: the workspace's folder of data sets.
        over: the columns that it is better than; none: all others.

    Raises:
        UsageError: there are no two whole answers to one question that differ.
        WorkspaceError: the data set cannot be written.
    """
    answers = _answers(conversation)
    others = [n for n in answers if n != number and (not over or n in over)]
    if number not in answers or not others:
        raise UsageError(
            _("column {n} has no answer to compare").format(n=number),
            _("/compare starts a comparison; a pair needs two answers to one question"),
        )
    chosen = answers[number]
    rejected = [answers[n] for n in others if answers[n].content != chosen.content]
    _check_whole(chosen, rejected)
    if _take_back(conversation, data / PREFERENCES, answers, chosen):
        return _("Taken back: this question has no preference pair any more.")
    _keep(conversation, data / PREFERENCES, answers, chosen, rejected)
    told = _("A preference pair in data/{name}.").format(name=PREFERENCES)
    if any(_history(conversation, answer) != _history(conversation, chosen) for answer in rejected):
        told += " " + _("The columns' histories differ: the prompt is column {n}'s.").format(n=number)
    return told


def _answers(conversation: Conversation) -> dict[int, Turn]:
    """The last answer of each column that ends in one, by the column's number from 1."""
    lines = {column.index + 1: conversation.line(column.index) for column in conversation.columns}
    return {number: line[-1] for number, line in lines.items() if line and line[-1].role == "assistant"}


def _check_whole(chosen: Turn, rejected: Sequence[Turn]) -> None:
    if not rejected:
        raise UsageError(_("the answers are the same"), _("a pair needs two that differ"))
    for answer in (chosen, *rejected):
        if answer.finish_reason in ("stopped", "error"):
            raise UsageError(
                _("column {n}'s answer ended early").format(n=answer.column + 1),
                _("a pair needs whole answers: ctrl+r answers again"),
            )


def _origin(conversation: Conversation, answers: dict[int, Turn]) -> dict[str, str]:
    """What names the question in the data: the conversation, and the question's id in the first column."""
    name = conversation.path.name if conversation.path else ""
    return {"conversation": name, "question": answers[min(answers)].parent or ""}


def _take_back(conversation: Conversation, path: Path, answers: dict[int, Turn], chosen: Turn) -> bool:
    """Drop an earlier verdict on this question; whether it was this one."""
    dropped = drop_preferences(path, **_origin(conversation, answers))
    again = dropped > 0 and conversation.rating(chosen.id) == "good"
    for answer in answers.values():
        if conversation.rating(answer.id) == "good":
            conversation.rate(answer.id, None)
    return again


def _keep(
    conversation: Conversation, path: Path, answers: dict[int, Turn], chosen: Turn, rejected: Sequence[Turn]
) -> None:
    prompt = conversation.messages(chosen.column)[:-1]
    for answer in rejected:
        origin = {
            "chosen": speaker(chosen.model, chosen.adapter),
            "rejected": speaker(answer.model, answer.adapter),
            **_origin(conversation, answers),
        }
        append_preference(path, prompt, chosen.content, answer.content, origin)
    conversation.rate(chosen.id, "good")


def _history(conversation: Conversation, answer: Turn) -> list[str]:
    return [turn.content for turn in conversation.line(answer.column)[:-1]]
