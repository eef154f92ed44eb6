"""Conversations with a base and its adapters: batches, kept caches, limits, true finish reasons."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from conversations import HELLO, ask, finished, load, started, text_of

from core.chat.message import Message
from core.engine.generate import tokens_per_step
from core.errors import PromptTooLong
from core.serve.protocol import Finished, Row, Sampling
from tiny_models import CHATML, assert_equal_greedy, greedy_reference, make_model, reference_model, train_adapter


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3", "olmo2"])
@pytest.mark.parametrize("with_adapter", [False, True])
def test_answers_are_those_of_generate(
    kind: str, with_adapter: bool, model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    model = load(model_folder(kind))
    assert (model.base.fused is None) == (kind == "olmo2")
    adapter = adapter_folder(kind) if with_adapter else None
    if adapter is not None:
        model.load_adapter("a", adapter)
    reference = reference_model(model_folder(kind), adapter)
    ids = list(model.base.template.rendering(HELLO).ids)
    theirs = greedy_reference(reference, ids, 24, set(model.base.end_ids))
    replies = ask(model, Row(HELLO, "a" if adapter else None, "k"), sampling=Sampling(max_new_tokens=24))
    row = model._rows.take("k", "a" if adapter else None)
    assert row is not None
    ours = row.tokens[len(ids) :]  # the last token was never read
    assert_equal_greedy(reference, ids, ours, theirs[: len(ours)])
    usage = finished(replies).usage
    assert len(ours) == usage.answer_tokens - 1
    if ours == theirs[:-1]:
        assert text_of(replies) == model.base.tokenizer.decode(theirs).rstrip("\ufffd")


def test_columns_of_a_comparison_answer_in_one_batch_as_they_would_alone(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(model_folder("qwen3"))
    model.load_adapter("a", adapter_folder("qwen3"))
    model.load_adapter("b", adapter_folder("qwen3", use_dora=True))
    long = Row((*HELLO, Message("assistant", "Fine."), Message("user", "And " + "very " * 60)))
    rows = (Row(HELLO), Row(HELLO, "a"), long, Row(HELLO, "b"))
    sampling = Sampling(temperature=0.8, seed=4, max_new_tokens=10)
    assert model.base.fused is not None
    forward, sizes = model.base.fused.forward, []

    def counted(segments: Sequence[object]) -> torch.Tensor:
        sizes.append(len(segments))
        return forward(segments)  # type: ignore[arg-type]

    monkeypatch.setattr(model.base.fused, "forward", counted)
    together = ask(model, *rows, sampling=sampling)
    assert max(sizes) == 4
    for number, row in enumerate(rows):
        assert text_of(together, number) == text_of(ask(model, row, sampling=sampling)), number
    assert [reply.last for reply in together if isinstance(reply, Finished)].count(True) == 1
    assert isinstance(together[-1], Finished)
    assert together[-1].last


def test_the_next_turn_reads_only_what_is_new(model_folder: Callable[[str], Path]) -> None:
    model = load(model_folder("gemma3"))  # a window shorter than the text: still cropped, still right
    first = ask(model, Row(HELLO, cache_key="k"))
    assert started(first).reused_tokens == 0
    answer = text_of(first)
    assert answer
    ascii_answer = Message("assistant", "Fine, thanks.")
    turn = (*HELLO, ascii_answer, Message("user", "And you?"))
    prompt = model.base.template.rendering(HELLO).ids
    second = ask(model, Row(turn, cache_key="k"))
    assert started(second).reused_tokens >= len(prompt)
    again = ask(model, Row(turn, cache_key="k"))
    assert started(again).reused_tokens == started(again).prompt_tokens - 1  # a retry reads one token
    assert text_of(again) == text_of(second)
    edited = ask(model, Row((*HELLO, ascii_answer, Message("user", "And they?")), cache_key="k"))
    assert len(prompt) < started(edited).reused_tokens < started(second).prompt_tokens
    assert text_of(edited) == text_of(ask(model, Row((*HELLO, ascii_answer, Message("user", "And they?")))))


def test_an_answer_is_in_the_cache_too(model_folder: Callable[[str], Path]) -> None:
    model = load(model_folder("llama"))
    seen = None
    for seed in range(20):  # an answer of whole characters is the same tokens when it is read again
        question = (Message("user", f"Question {seed}"),)
        replies = ask(model, Row(question, cache_key=str(seed)), sampling=Sampling(max_new_tokens=4))
        answer = text_of(replies)
        if "\ufffd" not in answer and len(answer.encode()) == finished(replies).usage.answer_tokens == 4:
            seen = (question, answer, seed, started(replies).prompt_tokens)
            break
    if seen is None:
        pytest.fail("no random answer was valid text")
    question, answer, seed, prompt_tokens = seen
    turn = (*question, Message("assistant", answer), Message("user", "More"))
    assert started(ask(model, Row(turn, cache_key=str(seed)))).reused_tokens == prompt_tokens + 3


def test_a_cache_that_cannot_be_cropped_is_read_again(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    stock = load(model_folder("olmo2"))
    ask(stock, Row(HELLO, cache_key="k"))
    assert started(ask(stock, Row(HELLO, cache_key="k"))).reused_tokens > 0
    folder = tmp_path / "gemma-softcap"  # sliding layers on transformers' own forward
    shutil.copytree(model_folder("gemma3"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_logit_softcapping": 50.0}))
    sliding = load(folder)
    assert sliding.base.fused is None
    first = ask(sliding, Row(HELLO, cache_key="k"))
    again = ask(sliding, Row(HELLO, cache_key="k"))
    assert started(again).reused_tokens == 0
    assert text_of(again) == text_of(first)


def test_reloading_an_adapter_forgets_what_was_read_through_it(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    model = load(model_folder("llama"))
    model.load_adapter("a", adapter_folder("llama"))
    old = ask(model, Row(HELLO, "a", "k"))
    ask(model, Row(HELLO, None, "k"))
    model.load_adapter("a", adapter_folder("llama", seed=1, use_rslora=True))
    new = ask(model, Row(HELLO, "a", "k"))
    assert started(new).reused_tokens == 0
    assert text_of(new) != text_of(old)
    assert started(ask(model, Row(HELLO, None, "k"))).reused_tokens > 0


def test_stopping_in_prefill_and_in_decoding_keeps_what_was_made(
    model_folder: Callable[[str], Path],
) -> None:
    model = load(model_folder("llama"))
    model.step_tokens = 16
    steps = iter([False, False, True])
    replies = ask(model, Row(HELLO, cache_key="k"), is_stopped=lambda: next(steps))
    assert finished(replies).finish_reason == "stopped"
    assert finished(replies).usage.answer_tokens == 0
    assert text_of(replies) == ""
    assert started(ask(model, Row(HELLO, cache_key="k"))).reused_tokens == 32  # the chunks read so far stay
    count = 0

    def after_ten() -> bool:
        nonlocal count
        count += 1
        return count > 10

    replies = ask(model, Row(HELLO), Row(HELLO), sampling=Sampling(max_new_tokens=200), is_stopped=after_ten)
    assert [finished(replies, n).finish_reason for n in range(2)] == ["stopped", "stopped"]
    assert 0 < finished(replies).usage.answer_tokens < 10
    whole = text_of(ask(model, Row(HELLO), sampling=Sampling(max_new_tokens=20)))
    assert whole.startswith(text_of(replies))
    assert text_of(replies)


def test_finish_reasons_are_true(model_folder: Callable[[str], Path]) -> None:
    model = load(model_folder("qwen3"))
    base = model.base
    full = ask(model, Row(HELLO, cache_key="k"), sampling=Sampling(max_new_tokens=9))
    assert finished(full).finish_reason == "length"
    assert finished(full).usage.answer_tokens == 9
    row = model._rows.take("k", None)
    assert row is not None
    answer = row.tokens[started(full).prompt_tokens :]
    base.end_ids = frozenset({answer[3]})  # any of the model's end tokens ends an answer, and is not shown
    ended = ask(model, Row(HELLO))
    at = answer.index(answer[3])
    assert finished(ended).finish_reason == "stop"
    assert finished(ended).usage.answer_tokens == at + 1
    assert text_of(ended) == base.tokenizer.decode(answer[:at]).rstrip("\ufffd")
    base.end_ids = frozenset()
    shown = text_of(ask(model, Row(HELLO), sampling=Sampling(max_new_tokens=30)))
    stop = shown[4:6]
    cut = ask(model, Row(HELLO), sampling=Sampling(max_new_tokens=30, stop=(stop,)))
    assert finished(cut).finish_reason == "stop"
    assert text_of(cut) == shown[: shown.index(stop)]


def test_an_answer_ends_with_the_context(tmp_path: Path, model_folder: Callable[[str], Path]) -> None:
    model = load(model_folder("llama"))
    model.base.context_length = started(ask(model, Row(HELLO))).prompt_tokens + 5
    model.base.end_ids = frozenset()
    replies = ask(model, Row(HELLO), sampling=Sampling(max_new_tokens=100))
    assert finished(replies).finish_reason == "length"
    assert finished(replies).usage.answer_tokens == 5
    assert finished(replies).usage.context_left == 0
    long = (*HELLO, Message("assistant", "x" * 40), Message("user", "Hello there, how are you today?"))
    assert started(ask(model, Row(long))).dropped == (0, 1)
    with pytest.raises(PromptTooLong):
        ask(model, Row((Message("user", "y" * 400),)))


def test_the_models_own_sampling_defaults_do_not_leak_in(tmp_path: Path, model_folder: Callable[[str], Path]) -> None:
    folder = tmp_path / "opinionated"
    shutil.copytree(model_folder("llama"), folder)
    generation = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "eos_token_id": [1, 2, 77]}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    model = load(folder)
    assert model.base.end_ids == {0, 1, 2, 77}
    plain = load(model_folder("llama"))
    plain.base.end_ids = model.base.end_ids
    assert text_of(ask(model, Row(HELLO))) == text_of(ask(plain, Row(HELLO)))


def test_adapters_that_only_peft_serves_go_through_it(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    path = adapter_folder("llama", target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    model = load(model_folder("llama"))
    before = text_of(ask(model, Row(HELLO)))
    loaded = model.load_adapter("runs/saved.v2", path)
    model.load_adapter("plain", adapter_folder("llama"))
    assert not loaded.is_fused
    assert loaded.parameters > 259 * 48
    reference = reference_model(model_folder("llama"), path)
    ids = list(model.base.template.rendering(HELLO).ids)
    theirs = greedy_reference(reference, ids, 12, set(model.base.end_ids))
    replies = ask(model, Row(HELLO, "runs/saved.v2", "k"), Row(HELLO), Row(HELLO, "plain"))
    row = model._rows.take("k", "runs/saved.v2")
    assert row is not None
    assert_equal_greedy(reference, ids, row.tokens[len(ids) :], theirs[: len(row.tokens) - len(ids)])
    assert text_of(replies, 1) == before
    assert {finished(replies, n).finish_reason for n in range(3)} <= {"stop", "length"}
    model.unload_adapter("runs/saved.v2")
    assert text_of(ask(model, Row(HELLO))) == before
    assert model.adapter_names == ("plain",)


def test_trained_biases_are_the_adapters_alone(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = model_folder("llama")  # with biases in its attention
    path = train_adapter(folder, tmp_path / "adapter", bias="all")
    model = load(folder)
    before = text_of(ask(model, Row(HELLO)))
    assert not model.load_adapter("a", path).is_fused
    assert text_of(ask(model, Row(HELLO))) == before
    reference = reference_model(folder, path)
    ids = list(model.base.template.rendering(HELLO).ids)
    theirs = greedy_reference(reference, ids, 12, set(model.base.end_ids))
    ask(model, Row(HELLO, "a", "k"))
    row = model._rows.take("k", "a")
    assert row is not None
    assert_equal_greedy(reference, ids, row.tokens[len(ids) :], theirs[: len(row.tokens) - len(ids)])
    assert text_of(ask(model, Row(HELLO))) == before
    model.unload_adapter("a")
    assert text_of(ask(model, Row(HELLO))) == before


def test_an_answer_that_begins_inside_of_reasoning_says_so(tmp_path: Path) -> None:
    source = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}"
    model = load(make_model(tmp_path / "thinker", "llama", chat_template=source))
    assert text_of(ask(model, Row(HELLO))).startswith("<think>\n")


def test_steps_are_smaller_where_a_token_takes_longer() -> None:
    assert tokens_per_step(135_000_000, 1, is_cpu=True) == 256
    assert tokens_per_step(1_500_000_000, 1, is_cpu=True) == 33
    assert tokens_per_step(1_500_000_000, 4, is_cpu=True) == 133
    assert tokens_per_step(70_000_000_000, 4, is_cpu=True) == 16
    assert tokens_per_step(70_000_000_000, 1, is_cpu=False) == 256
