"""The rows of a batch: how they end, what they draw, and that the trouble of one is not that of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conversations import HELLO, ask, load, text_of
from predictions import END, answers, prompt, questions

from core.chat.message import Message
from core.engine.cache import Geometry
from core.engine.chat_model import ChatModel
from core.engine.fused import FusedModel
from core.engine.predicting import room
from core.engine.predicting.likelihood import likelihoods, next_token_probabilities
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply, Target
from core.engine.predicting.room import affordable_rows
from core.engine.stock import StockModel
from core.hardware import Memory
from core.serve.protocol import Row, Sampling

NEVER = frozenset[int]()


@pytest.fixture(scope="module")
def chat(model_folder: Callable[[str], Path]) -> ChatModel:
    return load(model_folder("llama"))


def asked_like_a_chat(chat: ChatModel, text: str, key: int, sampling: Sampling) -> Question:
    ids = chat.manner(None).prompt([Message("user", text)], chat.base.context_length, 16, None).ids
    template = chat.base.template
    stops = replace(sampling, stop=sampling.stop + template.stop)
    return Question(key, ids, chat.base.end_ids | template.end_ids, stops)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=16),
        Sampling(temperature=1.2, max_new_tokens=16),
        Sampling(temperature=0.9, top_p=0.9, top_k=40, max_new_tokens=16),
        Sampling(temperature=1.5, min_p=0.02, repetition_penalty=1.3, max_new_tokens=16),
        Sampling(repetition_penalty=1.5, max_new_tokens=16),
    ],
)
def test_a_seed_draws_in_a_batch_what_it_draws_in_a_chat(chat: ChatModel, sampling: Sampling) -> None:
    texts = [f"Question number {n}" + " and more" * n for n in range(6)]
    asked = [asked_like_a_chat(chat, text, n, replace(sampling, seed=n)) for n, text in enumerate(texts)]
    replies = answers(chat, asked, 4)
    said = [
        text_of(ask(chat, Row((Message("user", t),)), sampling=replace(sampling, seed=n))) for n, t in enumerate(texts)
    ]
    assert [replies[n].text for n in range(6)] == said
    assert len(set(said)) > 1


def test_an_answer_ends_before_a_stop_string_as_in_a_chat(chat: ChatModel) -> None:
    free = answers(chat, [asked_like_a_chat(chat, HELLO[0].content, 0, Sampling(max_new_tokens=16))])[0]
    stop = chat.base.tokenizer.decode(free.ids[4:6])
    assert stop
    sampling = Sampling(max_new_tokens=16, stop=(stop,))
    found = answers(chat, [asked_like_a_chat(chat, HELLO[0].content, 0, sampling), *questions()[1:]])[0]
    assert (found.finish_reason, found.ids) == ("stop", free.ids[: len(found.ids)])
    assert found.text == text_of(ask(chat, Row(HELLO), sampling=sampling))
    assert stop not in found.text
    assert len(found.ids) <= 6


def test_ends_and_lengths_are_told_truly(chat: ChatModel) -> None:
    replies = answers(chat, questions())
    reasons = {reply.finish_reason for reply in replies.values()}
    assert reasons == {"stop", "length"}
    for reply in replies.values():
        assert (reply.ids[-1] in END) == (reply.finish_reason == "stop")
        assert not END & set(reply.ids[:-1])
        assert reply.finish_reason == "stop" or len(reply.ids) == 16


def test_text_ends_with_a_whole_character(chat: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    written = chat.base.tokenizer.encode("好的好")
    scripted = iter(written)
    vocabulary = chat.base.network.config.vocab_size

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([next(scripted)]), vocabulary).float()

    monkeypatch.setattr(chat.base.fused, "logits", logits)
    asked = replace(questions(ends=NEVER)[0], sampling=Sampling(max_new_tokens=len(written) - 1))
    reply = answers(chat, [asked])[0]
    assert (reply.text, len(reply.ids)) == ("好的", 8)


def test_a_row_that_leaves_room_for_no_answer_is_an_error_and_the_context_bounds_the_others(chat: ChatModel) -> None:
    long = Sampling(max_new_tokens=100)
    asked = [
        Question("too long", prompt(1, 512), NEVER, long),
        Question("nearly", prompt(2, 505), NEVER, long),
        Question("empty", (), NEVER, long),
        Question("short", prompt(3, 5), NEVER, replace(long, max_new_tokens=3)),
    ]
    replies: dict[str, Reply] = {}
    predict(chat, asked, on_reply=lambda reply: replies.update({reply.key: reply}))
    assert replies["too long"].error == "the prompt is too long: 512 of 512 tokens"
    assert replies["too long"].finish_reason is None
    assert replies["empty"].error == "the prompt is empty"
    assert (len(replies["nearly"].ids), replies["nearly"].finish_reason) == (7, "length")
    assert (len(replies["short"].ids), replies["short"].finish_reason) == (3, "length")


@pytest.mark.parametrize("kind", ["llama", "olmo2"])
def test_after_a_stop_nothing_more_is_said(kind: str, model_folder: Callable[[str], Path]) -> None:
    chat = load(model_folder(kind))
    asked = [replace(one, sampling=replace(one.sampling, max_new_tokens=5 + 10 * one.key)) for one in questions()]
    replies: list[Reply] = []
    predict(chat, asked, batch_size=16, on_reply=replies.append, is_stopped=lambda: len(replies) >= 2)
    assert 2 <= len(replies) < len(asked)
    assert all(reply.finish_reason in ("stop", "length") for reply in replies)
    rest = [one for one in asked if one.key not in {reply.key for reply in replies}]
    whole, later = answers(chat, asked, 16), answers(chat, rest, 16)
    for reply in replies:
        assert reply == whole[reply.key] or reply.near_ties
    for key, reply in later.items():
        assert reply == whole[key] or reply.near_ties


def test_a_row_whose_arithmetic_breaks_down_harms_no_other(
    chat: ChatModel, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys and values are NaN and lie in the batch until it leaves; another row takes its place."""
    broken = load(model_folder("llama"))
    poison = 4  # a token that nothing else is made of
    asked = [replace(one, ids=tuple(9 if i == poison else i for i in one.ids)) for one in questions(ends=NEVER)]
    expected = answers(chat, asked, 3)
    assert all(poison not in reply.ids for reply in expected.values())
    fused = broken.base.fused
    assert fused is not None
    embedding = fused._decoder.embedding.clone()
    embedding[poison] = torch.nan
    monkeypatch.setattr(fused, "_decoder", replace(fused._decoder, embedding=embedding))
    bad = Question("bad", (*prompt(77, 50), poison), NEVER, asked[0].sampling)
    replies: dict[Any, Reply] = {}
    predict(broken, [bad, *asked], batch_size=3, on_reply=lambda reply: replies.update({reply.key: reply}))
    assert "NaN" in replies.pop("bad").error
    assert {key: reply.ids for key, reply in replies.items()} == {key: reply.ids for key, reply in expected.items()}


def out_of_memory_above(
    most: int, monkeypatch: pytest.MonkeyPatch, model: Any, name: str, size: Callable[[Any], int]
) -> None:
    """Let a method of a model fail for what is larger."""
    read = getattr(model, name)

    def limited(given: Any, *more: Any) -> torch.Tensor:
        if size(given) > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")
        result: torch.Tensor = read(given, *more)
        return result

    monkeypatch.setattr(model, name, limited)


@pytest.mark.parametrize("kind", ["llama", "olmo2"])
def test_a_batch_that_does_not_fit_is_halved_and_loses_nothing(
    kind: str, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = load(model_folder(kind))
    asked = questions(ends=NEVER)
    expected = answers(chat, asked, 16)
    runner: FusedModel | StockModel = chat.base.fused or chat.base.stock
    if isinstance(runner, FusedModel):
        out_of_memory_above(2, monkeypatch, runner, "hidden", lambda step: len(step.wanted))
    else:
        out_of_memory_above(2, monkeypatch, runner, "read_padded", len)
    warnings: list[str] = []
    replies: dict[int, Reply] = {}
    predict(
        chat,
        asked,
        batch_size=16,
        on_reply=lambda reply: replies.update({reply.key: reply}),
        on_warning=warnings.append,
    )
    told = "the batch did not fit into memory; from now on {} at once"
    assert warnings[-1] in (told.format("1 row answers"), told.format("2 rows answer"))
    for key, reply in expected.items():
        assert replies[key].ids == reply.ids or reply.near_ties or replies[key].near_ties


def test_a_row_that_does_not_fit_by_itself_is_an_error(chat: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat.base.fused is not None
    expected = answers(chat, questions())
    out_of_memory_above(50, monkeypatch, chat.base.fused, "hidden", lambda step: step.longest)
    replies = answers(chat, questions())
    failed = {key for key, reply in replies.items() if reply.error}
    assert failed
    assert all("can't allocate memory" in replies[key].error for key in failed)
    for key in replies.keys() - failed:
        assert replies[key].ids == expected[key].ids or expected[key].near_ties


@pytest.mark.parametrize("kind", ["llama", "olmo2"])
def test_texts_that_do_not_fit_are_read_in_smaller_steps(
    kind: str, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One alone is too large, and has no loss; the others have the losses that they have with room enough."""
    chat = load(model_folder(kind))
    targets = [Target(n, prompt(n, 8 + n), 5) for n in range(6)] + [Target(6, prompt(6, 40), 5)]
    expected = {one.key: one.loss for one in likelihoods(chat, targets)}
    if chat.base.fused is not None:
        out_of_memory_above(30, monkeypatch, chat.base.fused, "hidden", lambda step: len(step.ids))
    else:
        out_of_memory_above(30, monkeypatch, chat.base.stock, "read_whole", len)
    found = {one.key: one for one in likelihoods(chat, targets)}
    assert found[6].tokens == 0
    assert {n: found[n].loss for n in range(6)} == pytest.approx({n: expected[n] for n in range(6)}, abs=1e-5)
    shares = list(next_token_probabilities(chat, [prompt(6, 40), prompt(1, 9)], [3, 4]))
    assert shares[0] is None
    assert sum(shares[1] or ()) == pytest.approx(1)


def test_as_many_rows_at_once_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry(2, 4, 16, torch.float32, torch.device("cpu"))  # 1 KiB a token
    monkeypatch.setattr(room, "memory", lambda: Memory(1 << 30, 20 << 20))
    assert affordable_rows(geometry, 1024) == 10
    assert affordable_rows(geometry, 1 << 20) == 1
    assert affordable_rows(geometry, 2) == 96
    assert affordable_rows(Geometry(2, 4, 16, torch.bfloat16, torch.device("cpu")), 1024) == 20
