"""The number format that a base is held in, and quantised bases."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tuning_base import logits_of, loss_of, token_ids, train, tunable

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.engine.tuning.base import weights_dtype
from core.engine.tuning.stored import stored_format
from core.errors import ModelError
from core.models.notes import read_notes
from tiny_models import make_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("options", "device", "dtype"),
    [
        ({}, CPU, torch.float32),
        ({"finetuning_type": "full"}, GPU, torch.float32),
        ({"finetuning_type": "freeze"}, GPU, torch.float32),
        ({"finetuning_type": "freeze", "bf16": True}, GPU, torch.bfloat16),
        ({"finetuning_type": "full", "pure_bf16": True}, CPU, torch.bfloat16),
        ({"fp16": True}, GPU, torch.float16),
        ({"dtype": "bfloat16"}, CPU, torch.bfloat16),
    ],
)
def test_the_format_that_a_base_is_held_in(options: dict[str, Any], device: torch.device, dtype: torch.dtype) -> None:
    def given(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: options[name] for name in names if name in options}

    model = BaseModelOptions(**given(("dtype",)))
    method, how = (
        FinetuningOptions(**given(("finetuning_type",))),
        OptimizationOptions(**given(("bf16", "fp16", "pure_bf16"))),
    )
    assert weights_dtype(model, method, how, device) is dtype


@pytest.mark.parametrize(
    ("options", "has_matrix_units", "stored", "dtype"),
    [
        ({}, True, "bfloat16", torch.bfloat16),
        ({}, False, "bfloat16", torch.float32),
        ({}, True, "float32", torch.float32),
        ({"dtype": "float32"}, True, "bfloat16", torch.float32),
        ({"adapter_name_or_path": ("mine",)}, True, "bfloat16", torch.float32),
        ({"finetuning_type": "p_tuning"}, True, "bfloat16", torch.float32),
        ({"finetuning_type": "full"}, True, "bfloat16", torch.float32),
    ],
)
def test_a_cpu_with_matrix_units_keeps_bfloat16_for_new_factors(
    options: dict[str, Any], has_matrix_units: bool, stored: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.tuning.stored.multiplies_bfloat16", lambda: has_matrix_units)
    model = BaseModelOptions(dtype=options.get("dtype", "auto"))
    method = FinetuningOptions(**{name: value for name, value in options.items() if name != "dtype"})
    assert weights_dtype(model, method, OptimizationOptions(), CPU, stored) is dtype


@pytest.mark.parametrize(
    ("config", "stored"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "float16"}, "float16"),
        ({"text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({"dtype": None}, ""),
    ],
)
def test_what_a_config_says_of_its_weights(config: dict[str, Any], stored: str) -> None:
    assert stored_format(config) == stored


def test_factors_beside_a_bfloat16_base_are_float32(model_folder: Callable[[str], Path]) -> None:
    from core.engine.tuning.base import describe_base, load_for_training
    from core.engine.tuning.prepare import prepare

    model, method = (
        BaseModelOptions(model_name_or_path=str(model_folder("llama")), dtype="bfloat16"),
        FinetuningOptions(),
    )
    for pure in (False, True):
        how = OptimizationOptions(pure_bf16=pure)
        base = load_for_training(model, method, how)
        tuned = prepare(base, method, how, [], describe_base(base, DataOptions()))
        assert tuned.network.dtype == torch.bfloat16
        assert {one.dtype for one in tuned.trained.values()} == {torch.bfloat16 if pure else torch.float32}
        assert math.isfinite(train(tuned, 2)[-1])


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_base_learns_right_also_after_an_evaluation(bits: int, tmp_path: Path) -> None:
    """bitsandbytes repacks 4-bit weights in a pass without gradients on some CPUs; gradients after it were wrong."""
    pytest.importorskip("bitsandbytes")
    folder = make_model(tmp_path / "m", "llama")
    tuned = tunable(folder, quantization_bit=bits, lora_rank=4)
    ids = token_ids(2, 20)

    def gradients() -> list[torch.Tensor]:
        loss_of(tuned, ids).backward()
        found = [one.grad.clone() for one in tuned.trained.values() if one.grad is not None and one.grad.any()]
        tuned.network.zero_grad()
        return found

    before = gradients()
    tuned.network.eval()
    logits_of(tuned.network, ids)
    assert before
    for one, other in zip(before, gradients(), strict=True):
        torch.testing.assert_close(one, other)
    plain = tunable(folder, lora_rank=4)
    assert tuned.parameters == plain.parameters
    assert train(tuned, 15)[-1] < loss_of(plain, ids).item()
    tuned.save(tmp_path)
    notes = read_notes(tmp_path)
    assert notes is not None
    assert notes.quantization_bit == bits


def test_a_prefix_before_a_quantised_base(model_folder: Callable[[str], Path]) -> None:
    pytest.importorskip("bitsandbytes")
    tuned = tunable(model_folder("llama"), finetuning_type="p_tuning", pre_seq_len=4, quantization_bit=4)
    losses = train(tuned, 10)
    assert losses[-1] < losses[0]
    assert [one.dtype for one in tuned.trained.values()] == [torch.float32]


def test_quantisation_without_bitsandbytes_or_under_merged_adapters(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="adapters cannot be merged into weights of 4 bits"):
        tunable(model_folder("llama"), quantization_bit=4, adapters=[adapter_folder("llama")], create_new_adapter=True)
    from importlib.metadata import PackageNotFoundError

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("core.engine.quantized.version", missing)
    with pytest.raises(ModelError, match="quantization_bit 4 needs bitsandbytes") as caught:
        tunable(model_folder("llama"), quantization_bit=4)
    assert "pip install 'finetui[quant]'" in caught.value.hint
