"""The fast forward against transformers' own, and PEFT as the reference for adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from core.engine.adapters import open_adapter, read_lora
from core.engine.fused import FusedModel, is_fusable
from core.engine.segment import Segment
from tiny_models import SPECIALS, VOCABULARY, assert_equal_greedy, greedy_reference, reference_model

FAMILIES = ("llama", "llama3", "qwen2", "qwen3", "mistral", "gemma3")
PROMPT_TOKENS = 45  # longer than every sliding window of the tiny models


def prompt(seed: int = 0, count: int = PROMPT_TOKENS) -> list[int]:
    return torch.randint(len(SPECIALS), VOCABULARY, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def fused_model(folder: Path) -> FusedModel:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert is_fusable(model)
    return FusedModel(model)


def greedy(model: FusedModel, ids: list[int], count: int, adapter: str | None = None) -> list[int]:
    row, answer = model.new_row(), []
    for _ in range(count):
        token = int(model.forward([Segment(row, ids, adapter)])[0].argmax())
        answer.append(token)
        ids = [token]
        if token == 0:
            break
    return answer


@pytest.mark.parametrize("kind", FAMILIES)
def test_logits_are_those_of_transformers_whole_and_in_chunks(kind: str, model_folder: Callable[[str], Path]) -> None:
    model, reference = fused_model(model_folder(kind)), reference_model(model_folder(kind))
    ids = prompt()
    with torch.inference_mode():
        expected = reference(input_ids=torch.tensor([ids])).logits[0, -1]
    whole = model.forward([Segment(model.new_row(), ids)])[0]
    row = model.new_row()
    assert model.forward([Segment(row, ids[:30], wants_logits=False)]).shape == (0, VOCABULARY)
    model.forward([Segment(row, ids[30:31], wants_logits=False)])
    chunked = model.forward([Segment(row, ids[31:])])[0]
    torch.testing.assert_close(whole, expected, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(chunked, expected, atol=2e-4, rtol=1e-4)
    assert row.tokens == ids


@pytest.mark.parametrize("kind", FAMILIES)
def test_greedy_answers_equal_generate(kind: str, model_folder: Callable[[str], Path]) -> None:
    model, reference = fused_model(model_folder(kind)), reference_model(model_folder(kind))
    for seed in range(2):
        ids = prompt(seed)
        ours, theirs = greedy(model, ids, 24), greedy_reference(reference, ids, 24, {0})
        assert_equal_greedy(reference, ids, ours, theirs)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("llama", {"use_dora": True}),  # the attention has biases, which DoRA leaves alone
        ("qwen3", {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 3}}),
        ("qwen3", {"target_modules": ["q_proj", "v_proj", "down_proj"]}),
        ("gemma3", {}),
        ("gemma3", {"use_dora": True, "target_modules": ["k_proj", "o_proj", "gate_proj"]}),
    ],
)
def test_adapters_answer_like_peft(
    kind: str, options: dict[str, Any], model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    path = adapter_folder(kind, **options)
    model, reference = fused_model(model_folder(kind)), reference_model(model_folder(kind), path)
    folder = open_adapter(path)
    assert folder.is_plain_lora()
    model.adapters["a"] = read_lora([folder], model.layers, "tiny")
    ids = prompt()
    with torch.inference_mode():
        expected = reference(input_ids=torch.tensor([ids])).logits[0, -1]
    actual = model.forward([Segment(model.new_row(), ids, "a")])[0]
    torch.testing.assert_close(actual, expected, atol=5e-4, rtol=1e-3)
    bare = model.forward([Segment(model.new_row(), ids)])[0]
    assert (actual - bare).abs().max() > 0.1  # the adapter does something
    ours, theirs = greedy(model, ids, 16, "a"), greedy_reference(reference, ids, 16, {0})
    assert_equal_greedy(reference, ids, ours, theirs)


def test_rows_of_a_batch_do_not_see_one_another(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    model = fused_model(model_folder("gemma3"))
    model.adapters["a"] = read_lora([open_adapter(adapter_folder("gemma3"))], model.layers, "tiny")
    asked = [(prompt(1, 40), None), (prompt(2, 7), "a"), (prompt(3, 1), None), (prompt(4, 23), "a")]
    rows = [model.new_row() for _ in asked]
    together = model.forward([Segment(row, ids, adapter) for row, (ids, adapter) in zip(rows, asked, strict=True)])
    together_next = model.forward([Segment(row, [9], adapter) for row, (_, adapter) in zip(rows, asked, strict=True)])
    for number, (ids, adapter) in enumerate(asked):
        row = model.new_row()
        alone = model.forward([Segment(row, ids, adapter)])[0]
        torch.testing.assert_close(together[number], alone, atol=2e-4, rtol=1e-4)
        alone = model.forward([Segment(row, [9], adapter)])[0]
        torch.testing.assert_close(together_next[number], alone, atol=2e-4, rtol=1e-4)


def test_a_cropped_row_goes_on_as_if_it_had_never_read_more(model_folder: Callable[[str], Path]) -> None:
    model = fused_model(model_folder("gemma3"))
    ids = prompt()
    row = model.new_row()
    model.forward([Segment(row, ids + prompt(9, 300))])
    assert model.continue_row(row, 30)
    again = model.forward([Segment(row, ids[30:])])[0]
    fresh = model.forward([Segment(model.new_row(), ids)])[0]
    torch.testing.assert_close(again, fresh, atol=2e-4, rtol=1e-4)


def test_the_modules_keep_views_so_peft_and_saving_go_on_working(
    tmp_path: Path, model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    import peft

    folder, adapter = model_folder("llama"), adapter_folder("llama")
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    FusedModel(network)
    attention = network.model.layers[0].self_attn
    storage = attention.q_proj.weight.untyped_storage().data_ptr()
    assert attention.k_proj.weight.untyped_storage().data_ptr() == storage
    ids = torch.tensor([prompt()])
    wrapped = peft.PeftModel.from_pretrained(network, str(adapter), adapter_name="a").eval()
    wrapped.load_adapter(str(adapter_folder("llama", use_dora=True)), adapter_name="b")
    with torch.inference_mode():
        plain = reference_model(folder)(input_ids=ids).logits
        for name, path in (("a", adapter), ("b", adapter_folder("llama", use_dora=True))):
            wrapped.set_adapter(name)
            expected = reference_model(folder, path)(input_ids=ids).logits
            torch.testing.assert_close(wrapped(input_ids=ids).logits, expected, atol=5e-4, rtol=1e-3)
        with wrapped.disable_adapter():
            torch.testing.assert_close(wrapped(input_ids=ids).logits, plain, atol=5e-4, rtol=1e-3)
    wrapped.save_pretrained(tmp_path / "again", selected_adapters=["a"])
    saved, original = (load_file(p / "adapter_model.safetensors") for p in (tmp_path / "again/a", adapter))
    assert saved.keys() == original.keys()
    assert all(torch.equal(saved[key], original[key]) for key in saved)
    wrapped.unload().save_pretrained(tmp_path / "base")
    saved, original = (load_file(p / "model.safetensors") for p in (tmp_path / "base", folder))
    assert saved.keys() == original.keys()
    assert all(torch.equal(saved[key], original[key]) for key in saved)


def test_half_precision_stays_close_to_transformers(model_folder: Callable[[str], Path]) -> None:
    for kind in ("llama", "gemma3", "qwen3"):
        network = transformers.AutoModelForCausalLM.from_pretrained(model_folder(kind), dtype=torch.bfloat16).eval()
        ids = prompt()
        with torch.inference_mode():
            expected = network(input_ids=torch.tensor([ids])).logits[0, -1].float()
        model = FusedModel(network)
        actual = model.forward([Segment(model.new_row(), ids)])[0]
        spread = expected.std()
        assert (actual - expected).abs().max() < 0.1 * spread


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("olmo2", {}),
        ("gemma3", {"attn_logit_softcapping": 50.0}),
        ("gemma3", {"use_bidirectional_attention": True}),
    ],
)
def test_what_the_fast_forward_does_not_compute_exactly_is_left_to_transformers(
    kind: str, change: dict[str, Any], model_folder: Callable[[str], Path]
) -> None:
    network = transformers.AutoModelForCausalLM.from_pretrained(model_folder(kind), dtype=torch.float32)
    for name, value in change.items():
        setattr(network.config, name, value)
    assert not is_fusable(network)
