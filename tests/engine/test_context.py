"""Long conversations: what leaves, what stays, what is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.chat.message import Message
from core.engine.context import fit
from core.engine.template import Template, choose_template
from core.engine.tokenizer import load_tokenizer
from core.errors import PromptTooLong, UsageError
from tiny_models import CHATML, save_tokenizer

SYSTEM = Message("system", "Be brief.")
TURN_TOKENS = 2 * 80


def template(folder: Path, source: str = CHATML) -> Template:
    save_tokenizer(folder, source)
    return choose_template("auto", load_tokenizer(folder))


def talk(turns: int) -> tuple[Message, ...]:
    """A system prompt, turns of TURN_TOKENS tokens each, and a question."""
    messages = [SYSTEM]
    for _ in range(turns):
        messages += [Message("user", "q" * 72), Message("assistant", "a" * 67)]
    return (*messages, Message("user", "last"))


def test_the_oldest_turns_leave_first_and_the_system_prompt_stays(tmp_path: Path) -> None:
    own = template(tmp_path)
    messages = talk(8)
    whole = len(own.rendering(messages).ids)
    assert whole - len(own.rendering(talk(7)).ids) == TURN_TOKENS
    assert fit(own, messages, whole + 1, 1).dropped == ()
    fitted = fit(own, messages, whole, 1)  # one token too many: a quarter of the room leaves, in whole turns
    assert fitted.dropped == (1, 2, 3, 4, 5, 6)
    assert fitted.ids == own.rendering((SYSTEM, *messages[7:])).ids
    assert fit(own, messages, whole + 30, 100).dropped == (1, 2, 3, 4)  # an answer needs room too


def test_the_turns_that_follow_drop_the_same_and_can_use_the_cache(tmp_path: Path) -> None:
    own = template(tmp_path)
    dropped = [fit(own, talk(turns), 2048, 256).dropped for turns in range(9, 17)]
    assert dropped[0] == ()
    assert len(set(dropped)) <= 4
    assert sorted(dropped, key=len) == dropped


def test_a_thousand_messages_are_not_rendered_a_thousand_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = template(tmp_path)
    rendering, calls = Template.rendering, []

    def counted(self: Template, *arguments: object, **options: object) -> object:
        calls.append(1)
        return rendering(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Template, "rendering", counted)
    fitted = fit(own, talk(500), 1024, 256)
    assert 0 < len(fitted.ids) <= 768
    assert len(calls) <= 12


def test_when_nothing_else_is_left_the_last_question_may_use_the_answers_room(tmp_path: Path) -> None:
    own = template(tmp_path)
    messages = (*talk(2)[:-1], Message("user", "x" * 80))
    fitted = fit(own, messages, 165, 100)
    assert fitted.dropped == (1, 2, 3, 4)
    assert len(fitted.ids) == len(own.rendering((SYSTEM, messages[-1])).ids)


def test_a_last_message_that_cannot_fit_is_told_with_numbers(tmp_path: Path) -> None:
    own = template(tmp_path)
    with pytest.raises(PromptTooLong, match=r"takes 5\d\d of 128 tokens"):
        fit(own, (*talk(1), Message("user", "x" * 500)), 128, 10)
    with pytest.raises(UsageError, match="no messages"):
        fit(own, (), 128, 10)


def test_a_template_that_opens_the_reasoning_itself_is_noticed(tmp_path: Path) -> None:
    own = template(tmp_path, CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}")
    assert fit(own, talk(0), 512, 10).opens_reasoning
    assert not fit(template(tmp_path / "b"), talk(0), 512, 10).opens_reasoning
