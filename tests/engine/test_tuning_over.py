"""Adapters that go on from others: trained further, or laid over one another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conversations import HELLO, ask, load, text_of
from tuning_base import logits_of, loss_of, token_ids, train, tunable

from core.errors import ModelError
from core.models.notes import read_notes
from core.serve.protocol import Row
from tiny_models import reference_model, train_adapter


def test_an_adapter_is_trained_further_as_it_is(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    first = adapter_folder("llama")
    tuned = tunable(model_folder("llama"), adapters=[first], lora_rank=32, lora_dropout=0.5)
    assert tuned.warnings[0].startswith(f"goes on with {first}: lora of rank 4, alpha 8, on down_proj, gate_proj")
    assert not tuned.exact_sharing
    tuned.network.eval()
    ids = token_ids(1, 13)
    assert torch.equal(logits_of(tuned.network, ids), logits_of(reference_model(model_folder("llama"), first), ids))
    assert train(tuned, 10)[-1] < loss_of(tunable(model_folder("llama")), token_ids(2, 20)).item()


def test_adapters_over_adapters(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """All but the last are merged, or all of them under create_new_adapter; a chat puts them together again."""
    first, second = adapter_folder("qwen3"), adapter_folder("qwen3", use_rslora=True)
    both = tunable(model_folder("qwen3"), adapters=[first, second])
    third = tunable(model_folder("qwen3"), adapters=[first, second], create_new_adapter=True, lora_rank=2)
    ids = token_ids(1, 12)
    torch.testing.assert_close(logits_of(both.network, ids), logits_of(third.network, ids), rtol=0, atol=1e-4)
    train(third, 10, rate=5e-3)
    third.save(tmp_path)
    notes = read_notes(tmp_path)
    assert notes is not None
    assert [merged.path for merged in notes.chain] == [str(first), str(second)]
    alone = tunable(model_folder("qwen3"), adapters=[tmp_path])  # the others come along
    named = tunable(model_folder("qwen3"), adapters=[first, second, tmp_path])
    wanted = logits_of(third.network, ids)
    torch.testing.assert_close(logits_of(alone.network, ids), wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(logits_of(named.network, ids), wanted, rtol=0, atol=1e-4)
    model = load(model_folder("qwen3"))
    loaded = model.load_adapter("c", tmp_path)
    assert loaded.is_fused
    prompt = list(model.base.template.rendering(HELLO).ids)
    ask(model, Row(HELLO, "c", "k"))
    row = model._rows.take("k", "c")
    assert row is not None
    read = torch.tensor([row.tokens])
    assert row.tokens[len(prompt) :] == logits_of(third.network, read)[0, len(prompt) - 1 : -1].argmax(-1).tolist()


def test_a_dora_over_a_lora_answers_as_it_was_trained(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    top = tunable(
        model_folder("llama"), adapters=[adapter_folder("llama")], create_new_adapter=True, use_dora=True, lora_rank=2
    )
    train(top, 10, rate=5e-3)
    top.save(tmp_path)
    model = load(model_folder("llama"))
    assert model.load_adapter("c", tmp_path).is_fused
    prompt = list(model.base.template.rendering(HELLO).ids)
    ask(model, Row(HELLO, "c", "k"))
    row = model._rows.take("k", "c")
    assert row is not None
    read = torch.tensor([row.tokens])
    assert row.tokens[len(prompt) :] == logits_of(top.network, read)[0, len(prompt) - 1 : -1].argmax(-1).tolist()


def test_an_adapter_over_another_through_peft(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    top = tunable(model_folder("olmo2"), adapters=[adapter_folder("olmo2")], create_new_adapter=True, lora_rank=2)
    train(top, 10, rate=5e-3)
    top.save(tmp_path)
    model = load(model_folder("olmo2"))
    plain = text_of(ask(model, Row(HELLO)))
    assert not model.load_adapter("c", tmp_path).is_fused
    model.load_adapter("a", adapter_folder("olmo2"))
    prompt = list(model.base.template.rendering(HELLO).ids)
    ask(model, Row(HELLO, "a"))
    ask(model, Row(HELLO, "c", "k"))
    row = model._rows.take("k", "c")
    assert row is not None
    read = torch.tensor([row.tokens])
    assert row.tokens[len(prompt) :] == logits_of(top.network, read)[0, len(prompt) - 1 : -1].argmax(-1).tolist()
    model.unload_adapter("c")
    model.unload_adapter("a")
    assert text_of(ask(model, Row(HELLO))) == plain


def test_what_lies_below_has_to_be_there_and_unchanged(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    low, top = train_adapter(model_folder("llama"), tmp_path / "low", steps=2), tmp_path / "top"
    top.mkdir()
    tunable(model_folder("llama"), adapters=[low], create_new_adapter=True, lora_rank=2).save(top)
    for folder in (low, top):
        shutil.copytree(folder, tmp_path / "workspace" / folder.name)
    low.rename(tmp_path / "hidden")
    model = load(model_folder("llama"))
    assert model.load_adapter("moved", tmp_path / "workspace" / "top").parameters > 0
    (tmp_path / "hidden").rename(low)
    train_adapter(model_folder("llama"), low, steps=1, seed=5)
    with pytest.raises(ModelError, match="which has changed since"):
        load(model_folder("llama")).load_adapter("c", top)
    low.rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=f"was trained over the adapter {low}, which is not there"):
        load(model_folder("llama")).load_adapter("c", top)
