"""Gradients written by hand are those of the functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from core.engine.batches.batch import Batch, EncodedRow
from core.engine.forward.arithmetic import Activation, gated, linear_with_lora, rms_norm, rotated
from core.engine.forward.dora import lengths_with_lora, linear_with_dora, squared_lengths
from core.engine.forward.ragged import lay_out
from core.engine.forward.short_rows import attend_short


def make(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_with_lora(has_bias: bool) -> None:
    x, down, up = make(2, 3, 5), make(2, 5), make(4, 2)
    weight, bias = make(4, 5).detach(), make(4).detach() if has_bias else None
    expected = F.linear(x, weight, bias) + F.linear(F.linear(x, down), up) * 0.5
    torch.testing.assert_close(linear_with_lora(x, weight, bias, down, up, 0.5), expected)
    assert gradcheck(lambda *given: linear_with_lora(given[0], weight, bias, given[1], given[2], 0.5), (x, down, up))


def test_young_factors_are_not_rounded_away_in_bfloat16() -> None:
    """What they add is far smaller than a step of the numbers that it is added to; on the whole it has to arrive."""
    x, weight, down, up = torch.randn(256, 64), torch.randn(128, 64), torch.randn(4, 64), torch.randn(128, 4) * 1e-3
    x, weight = x.bfloat16(), weight.bfloat16()
    wanted = (x.double() @ down.double().t() @ up.double().t()).flatten()
    scale = torch.ones(128)
    for output in (
        linear_with_lora(x, weight, None, down, up, 1.0),
        linear_with_dora(x, weight, None, down, up, scale, 1.0),
    ):
        added = (output.double() - x.double() @ weight.double().t()).flatten()
        assert (added @ wanted / (wanted @ wanted)).item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_with_dora(has_bias: bool) -> None:
    x, down, up, scale = make(2, 3, 5), make(2, 5), make(4, 2), make(4)
    weight, bias = make(4, 5).detach(), make(4).detach() if has_bias else None
    expected = F.linear(x, weight + 0.5 * up @ down) * scale
    expected = expected if bias is None else expected + bias
    torch.testing.assert_close(linear_with_dora(x, weight, bias, down, up, scale, 0.5), expected)

    def computed(x: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
        return linear_with_dora(x, weight, bias, down, up, scale, 0.5)

    assert gradcheck(computed, (x, down, up, scale))


def test_lengths_of_rows_with_what_a_lora_adds() -> None:
    weight, down, up = make(4, 5).detach(), make(2, 5), make(4, 2)
    lengths = lengths_with_lora(squared_lengths(weight), weight, down, up, 0.5)
    torch.testing.assert_close(lengths, torch.linalg.vector_norm(weight + 0.5 * up @ down, dim=1))
    assert not lengths.requires_grad


@pytest.mark.parametrize(("offset", "round_first"), [(0.0, True), (1.0, False)])
def test_rms_norm(offset: float, round_first: bool) -> None:
    x, weight = make(2, 3, 6), make(6)
    options: dict[str, Any] = {"offset": offset, "round_first": round_first}
    expected = F.rms_norm(x, (6,), weight + offset, 1e-5)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5, **options), expected)
    assert gradcheck(lambda x, weight: rms_norm(x, weight, 1e-5, **options), (x, weight))


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
def test_gated(activation: Activation) -> None:
    assert gradcheck(lambda gate, up: gated(gate, up, activation), (make(3, 4), make(3, 4)))


def test_rotated() -> None:
    angles = torch.randn(3, 4, dtype=torch.float64).repeat(1, 2)
    x, cos, sin = make(3, 2, 8), angles.cos(), angles.sin()
    first, second = x.chunk(2, -1)
    expected = x * cos[:, None] + torch.cat((-second, first), -1) * sin[:, None]
    torch.testing.assert_close(rotated(x, cos, sin), expected)
    assert gradcheck(lambda x: rotated(x, cos, sin), (x,))


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("shared", [0, 2])
@pytest.mark.parametrize("lengths", [(4, 4), (6, 5, 2)])
def test_attention_of_short_rows(window: int | None, shared: int, lengths: tuple[int, ...]) -> None:
    rows = [
        EncodedRow(np.array([1] * shared + [9 + number] * n, np.int32), np.arange(shared + n) > shared)
        for number, n in enumerate(lengths)
    ]
    line = lay_out(Batch(rows), share=True, device=torch.device("cpu"))
    assert sum(group.stop - group.start for group in line.shared) == shared
    tokens = line.ids.shape[1]
    query, key, value = make(tokens, 4, 3), make(tokens, 2, 3), make(tokens, 2, 3)
    assert gradcheck(lambda q, k, v: attend_short(line, q, k, v, 0.5, window), (query, key, value))
