"""A value head beside any method, and the trained weights as they were at a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tuning_base import logits_of, token_ids, train, tunable

from core.config.optimization import OptimizationOptions
from core.engine.tuning.headed import HeadedTunable, freeze_output_head, with_head
from core.engine.tuning.snapshot import Snapshot
from core.errors import ModelError
from core.models.reward_source import VALUE_HEAD

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora_rank": 2},
    "dora": {"lora_rank": 2, "use_dora": True},
    "full": {"finetuning_type": "full"},
    "freeze": {"finetuning_type": "freeze", "freeze_trainable_layers": 1},
    "p_tuning": {"finetuning_type": "p_tuning", "pre_seq_len": 3},
}


def headed(folder: Path, goes_on_from: Path | None = None, rate: float | None = None, **options: Any) -> HeadedTunable:
    inner: Any = tunable(folder, **options)
    return with_head(inner, inner.base, learning_rate=rate, goes_on_from=goes_on_from)


def shaken(tuned: HeadedTunable) -> HeadedTunable:
    with torch.no_grad():
        for parameter in tuned.trained.values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return tuned


# --- the head -----------------------------------------------------------------------------------------------------


def test_a_head_says_nothing_before_it_has_learnt(model_folder: Callable[[str], Path]) -> None:
    tuned = headed(model_folder("llama"))
    values = tuned.values(torch.randn(5, 48, dtype=torch.bfloat16))
    assert (values.dtype, values.tolist()) == (torch.float32, [0.0] * 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert shaken(tuned).values(torch.randn(5, 48)).dtype == torch.float32


def test_a_head_may_begin_at_random_by_the_seed(model_folder: Callable[[str], Path]) -> None:
    inner: Any = tunable(model_folder("llama"))
    weights = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        weights.append(with_head(inner, inner.base, at_random=True).head.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert 0.5 / 7 < float(weights[0].detach().std()) < 2 / 7  # 49 ** -0.5


def test_a_head_has_its_own_learning_rate_and_no_decay_on_its_bias(model_folder: Callable[[str], Path]) -> None:
    options = OptimizationOptions(learning_rate=1e-3, weight_decay=0.1)
    tuned = headed(model_folder("llama"), rate=5e-4, optimization=options)
    *method, weight, bias = tuned.groups()
    assert {group.learning_rate for group in method} == {1e-3}
    assert [(one.learning_rate, one.weight_decay) for one in (weight, bias)] == [(5e-4, 0.1), (5e-4, 0.0)]
    assert [tuple(one.parameters[0].shape) for one in (weight, bias)] == [(1, 48), (1,)]
    assert headed(model_folder("llama"), optimization=options).groups()[-2].learning_rate == 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_head_is_stored_and_taken_up_with_the_rest(
    model_folder: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    first = shaken(headed(model_folder("llama"), **METHODS[method]))
    second = headed(model_folder("llama"), **METHODS[method])
    second.restore(first.state())
    assert all(torch.equal(second.trained[name], one) for name, one in first.trained.items())
    first.save(tmp_path)
    saved = load_file(tmp_path / VALUE_HEAD)
    assert torch.equal(saved["v_head.summary.weight"], first.head.weight)
    assert torch.equal(saved["v_head.summary.bias"], first.head.bias)
    further = headed(model_folder("llama"), goes_on_from=tmp_path)
    assert torch.equal(further.head.weight, first.head.weight)


def test_a_head_that_is_not_to_be_saved_is_not(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    inner: Any = tunable(model_folder("llama"))
    with_head(inner, inner.base, saves_head=False).save(tmp_path)
    assert not (tmp_path / VALUE_HEAD).exists()
    assert (tmp_path / "adapter_model.safetensors").exists()


def test_a_state_without_a_head_is_of_another_stage(model_folder: Callable[[str], Path]) -> None:
    tuned = headed(model_folder("llama"))
    with pytest.raises(ModelError, match=r"no value head: v_head\.summary\.weight is missing"):
        tuned.restore(tuned.inner.state())


@pytest.mark.parametrize("width", [48, 32])
def test_a_head_of_another_model_or_a_broken_one_is_refused(
    model_folder: Callable[[str], Path], tmp_path: Path, width: int
) -> None:
    if width == 48:
        (tmp_path / VALUE_HEAD).write_bytes(b"not tensors")
    else:
        save_file({"v_head.summary.weight": torch.zeros(1, width)}, tmp_path / VALUE_HEAD)
    with pytest.raises(ModelError, match=VALUE_HEAD) as caught:
        headed(model_folder("llama"), goes_on_from=tmp_path)
    assert ("cannot be read" if width == 48 else "is no value head of this model") in caught.value.message


def test_the_projection_to_words_stays_where_it_is_no_embedding(model_folder: Callable[[str], Path]) -> None:
    for kind, is_left_out in (("qwen3", True), ("llama", False)):
        tuned = tunable(model_folder(kind), finetuning_type="full")
        count = len(tuned.trained)
        freeze_output_head(tuned)
        assert len(tuned.trained) == count - is_left_out
        assert all(parameter.requires_grad for parameter in tuned.trained.values())


# --- the weights as they were -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_snapshot_computes_as_then_and_gives_the_weights_back_to_the_last_bit(
    model_folder: Callable[[str], Path], method: str
) -> None:
    tuned, ids = tunable(model_folder("llama"), **METHODS[method]), token_ids(2, 12)
    then = logits_of(tuned.network, ids)
    snapshot = Snapshot(tuned)
    train(tuned, 3)
    now = logits_of(tuned.network, ids)
    weights = {name: one.detach().clone() for name, one in tuned.trained.items()}
    places = {name: one.data_ptr() for name, one in tuned.trained.items()}
    assert not torch.equal(now, then)
    with snapshot.in_place():
        assert torch.equal(logits_of(tuned.network, ids), then)
        with snapshot.in_place():
            assert torch.equal(logits_of(tuned.network, ids), then)
        assert torch.equal(logits_of(tuned.network, ids), then)
    assert torch.equal(logits_of(tuned.network, ids), now)
    assert all(torch.equal(one, weights[name]) for name, one in tuned.trained.items())
    assert {name: one.data_ptr() for name, one in tuned.trained.items()} == places  # nothing was copied


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_snapshot_computes_as_then_within_one_pass_in_16_bits(
    model_folder: Callable[[str], Path], method: str
) -> None:
    """Autocast keeps what it has made of a parameter, and goes by the parameter."""
    tuned, ids = tunable(model_folder("llama"), **METHODS[method]), token_ids(2, 12)

    def seen() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return logits_of(tuned.network, ids)

    then, snapshot = seen(), Snapshot(tuned)
    train(tuned, 3)
    now = seen()
    assert not torch.equal(now, then)
    with torch.autocast("cpu", torch.bfloat16):
        with snapshot.in_place():
            assert torch.equal(logits_of(tuned.network, ids), then)
        assert torch.equal(logits_of(tuned.network, ids), now)
        with snapshot.in_place():
            assert torch.equal(logits_of(tuned.network, ids), then)


def test_a_snapshot_gives_the_weights_back_after_an_error(model_folder: Callable[[str], Path]) -> None:
    tuned, ids = tunable(model_folder("llama"), lora_rank=2), token_ids(2, 12)
    snapshot = Snapshot(tuned)
    losses = train(tuned, 2)
    now = logits_of(tuned.network, ids)
    with pytest.raises(ValueError, match="in between"), snapshot.in_place():
        raise ValueError("in between")
    assert torch.equal(logits_of(tuned.network, ids), now)
    assert train(tuned, 1)[0] < losses[0]  # and they go on learning
    assert snapshot.tensors.keys() == tuned.trained.keys()
