"""The engine with the real default model."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversations import ask, finished, load, started, text_of
from transformers import AutoTokenizer

from core.chat.message import Message
from core.serve.protocol import Row, Sampling
from tiny_models import assert_equal_greedy, greedy_reference, reference_model

pytestmark = pytest.mark.slow
CAPITAL = (Message("user", "What is the capital of France?"),)
WRITE = (Message("user", "写一句话。Then a sentence with an emoji 😀 in it."),)


def test_it_answers_as_transformers_does_and_goes_on_from_its_cache(default_model: Path) -> None:
    model, reference = load(default_model), reference_model(default_model)
    tokenizer = AutoTokenizer.from_pretrained(default_model)
    assert model.base.fused is not None
    assert model.base.template.injected_system.startswith("You are a helpful AI assistant named SmolLM")
    for messages in (CAPITAL, WRITE):
        ids = list(model.base.template.rendering(messages).ids)
        plain = [{"role": m.role, "content": m.content} for m in messages]
        assert ids == tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)
        theirs = greedy_reference(reference, ids, 24, set(model.base.end_ids))
        replies = ask(model, Row(messages, cache_key="k"), sampling=Sampling(max_new_tokens=24))
        row = model._rows.take("k", None)
        assert row is not None
        ours = row.tokens[len(ids) :]
        assert_equal_greedy(reference, ids, ours, theirs[: len(ours)])
        if ours == theirs[:-1]:
            assert text_of(replies) == tokenizer.decode(theirs, skip_special_tokens=True).rstrip("\ufffd")

    first = ask(model, Row(CAPITAL, cache_key="talk"))
    assert "Paris" in text_of(first)
    assert finished(first).finish_reason == "stop"
    turn = (*CAPITAL, Message("assistant", text_of(first)), Message("user", "And of Germany?"))
    second = ask(model, Row(turn, cache_key="talk"))
    read = finished(first).usage.prompt_tokens + finished(first).usage.answer_tokens - 1
    assert started(second).reused_tokens == read  # the whole first turn
