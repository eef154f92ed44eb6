"""One answer: when it ends, what is said and when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from core.engine.answer import Answer, Limits
from core.engine.template import choose_template
from core.engine.tokenizer import Tokenizer, load_tokenizer
from tiny_models import save_tokenizer

END = 0


class Scripted:
    """A sampler that chooses what a test says."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)

    def choose(self, _logits: torch.Tensor) -> int:
        return self._tokens.pop(0)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    save_tokenizer(tmp_path, chat_template=None)
    return load_tokenizer(tmp_path)


def answer(tokenizer: Tokenizer, tokens: Sequence[int], **limits: Any) -> Answer:
    given = {"end_ids": {END}, "stop": (), "max_new_tokens": 100, "context_length": 1000, **limits}
    sampler = cast(Any, Scripted(tokens))
    return Answer(1, 0, None, "", None, (5, 6, 7), 0, Limits(**given), sampler, tokenizer.decode, started_at=0.0)


def run(one: Answer, seconds_per_token: float = 1.0) -> str:
    said, now = "", 0.0
    while one.finish_reason is None:
        now += seconds_per_token
        one.take(torch.zeros(1), now)
        said += "".join(text.text for text in one.texts(now))
    return said


def test_a_base_model_that_goes_on_with_the_next_turn_is_cut_there(tokenizer: Tokenizer) -> None:
    stop = choose_template("auto", tokenizer).stop
    one = answer(tokenizer, tokenizer.encode("Fine, I said.\nHuman: and you?"), stop=stop)
    assert run(one) == "Fine, I said."
    assert one.finish_reason == "stop"
    assert one.usage().answer_tokens == len("Fine, I said.\nHuman:")


def test_an_end_token_ends_it_and_is_not_shown(tokenizer: Tokenizer) -> None:
    one = answer(tokenizer, [*tokenizer.encode("Yes\nHum"), END], stop=("\nHuman:",))
    assert run(one) == "Yes\nHum"  # what might have been a stop string was none
    assert one.finish_reason == "stop"
    assert one.usage().answer_tokens == len("Yes\nHum") + 1


def test_its_length_is_bounded_by_the_request_and_by_the_context(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("好" * 20)
    asked = answer(tokenizer, tokens, max_new_tokens=7)
    assert run(asked) == "好好"  # and a third of another, which is no text
    assert asked.finish_reason == "length"
    full = answer(tokenizer, tokens, context_length=3 + 9)
    assert run(full) == "好好好"
    assert full.usage().context_left == 0


def test_the_first_text_comes_at_once_and_the_others_not_faster_than_a_screen_needs(tokenizer: Tokenizer) -> None:
    one = answer(tokenizer, [*tokenizer.encode("abcdefghijkl"), END])
    said = []
    for step in range(13):
        now = 1 + step * 0.02
        one.take(torch.zeros(1), now)
        said += [(text.text, text.tokens) for text in one.texts(now)]
    assert said[0] == ("a", 1)
    assert [len(text) for text, _ in said[1:-1]] == [3, 3, 3]
    assert "".join(text for text, _ in said) == "abcdefghijkl"
    assert said[-1] == ("kl", 3)  # with the end token
    assert one.usage().first_token_seconds == 1
    assert one.usage().seconds == pytest.approx(1.24)


def test_prompts_are_read_in_parts_and_only_the_last_wants_an_opinion(tokenizer: Tokenizer) -> None:
    one = answer(tokenizer, [9])
    assert one.next_ids(2) == ([5, 6], False)
    assert one.next_ids(2) == ([7], True)
    one.take(torch.zeros(1), 1.0)
    assert one.next_ids(1) == ([9], True)
