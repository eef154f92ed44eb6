"""What a policy is held against: the beginning, another adapter, another model; each as it answers by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from tuning_base import train, tunable

from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.beside.reference import Reference, open_reference
from core.engine.forward.choose import Forward, choose_forward
from core.engine.tuning.tuned import Tuned
from core.errors import ModelError
from core.models.notes import sha256_of
from core.workspace import Workspace
from tiny_models import VOCABULARY, make_model, reference_model, train_adapter

TEMPERATURE = 0.7


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("references")
    (root / "runs").mkdir()
    make_model(root / "models" / "tiny", "llama")
    make_model(root / "models" / "odd", "olmo2", seed=1)
    train_adapter(root / "models" / "tiny", root / "runs" / "sft", seed=1)
    train_adapter(root / "models" / "tiny", root / "runs" / "other", seed=2, use_dora=True)
    return Workspace(root)


def batch() -> Batch:
    """Rows of which answers bear loss; in one of them two of them do."""
    generator = np.random.default_rng(3)
    rows = []
    for length, trained in ((9, [5, 6, 7, 8]), (14, [3, 4, 9, 10, 13]), (9, [8])):
        ids = generator.integers(3, VOCABULARY, length, dtype=np.int32)
        ids[:3] = (5, 6, 7)
        rows.append(EncodedRow(ids, np.isin(np.arange(length), trained)))
    return Batch(rows)


def expected(model: Any, rows: Sequence[EncodedRow]) -> Tensor:
    """By transformers, a row at a time."""
    found = []
    for row in rows:
        ids = torch.tensor(row.ids.tolist())
        with torch.no_grad():
            logs = (model(input_ids=ids[None]).logits[0].float() / TEMPERATURE).log_softmax(-1)
        places = torch.tensor(np.flatnonzero(row.trained))
        found.append(logs[places - 1, ids[places]])
    return torch.cat(found)


def prepared(workspace: Workspace, *adapters: str, model: str = "tiny", **options: Any) -> tuple[Tuned, Forward]:
    folders = [workspace.runs / name for name in adapters]
    tuned = tunable(workspace.models / model, adapters=folders, **options)
    assert isinstance(tuned, Tuned)
    return tuned, choose_forward(tuned, options=OptimizationOptions())


def opened(
    workspace: Workspace, tuned: Tuned, forward: Forward, ref_model: str | None, *adapters: str
) -> tuple[Reference, list[str]]:
    warnings: list[str] = []
    reference = open_reference(
        tuned,
        tuned.base,
        ref_model=ref_model,
        adapters=[workspace.runs / name for name in adapters],
        forward=lambda: forward,
        options=BaseModelOptions(device="cpu"),
        workspace=workspace,
        on_warning=warnings.append,
    )
    return reference, warnings


@pytest.mark.parametrize("options", [{"lora_dropout": 0.4}, {"create_new_adapter": True}], ids=["continued", "merged"])
def test_the_beginning_stays_what_the_sft_model_says_while_the_policy_learns(
    workspace: Workspace, options: dict[str, Any]
) -> None:
    tuned, forward = prepared(workspace, "sft", **options)
    reference, warnings = opened(workspace, tuned, forward, None, "sft")
    rows = batch()
    alone = expected(reference_model(workspace.models / "tiny", workspace.runs / "sft"), rows.rows)
    forward.train(False)
    with torch.no_grad():
        states = forward.target_states(rows)
        own = forward.projection.log_probabilities(states.hidden, states.targets, TEMPERATURE)
    first = reference.log_probabilities(rows, TEMPERATURE)
    assert torch.equal(first, own)  # the distance is exactly 0 at first
    torch.testing.assert_close(first, alone, atol=2e-5, rtol=1e-5)
    base = expected(reference_model(workspace.models / "tiny"), rows.rows)
    assert (first - base).abs().max() > 0.1  # D1: the bare base is somebody else
    before = {name: one.detach().clone() for name, one in tuned.trained.items()}
    train(tuned, 3)
    moved = {name: one.detach().clone() for name, one in tuned.trained.items()}
    assert any(not torch.equal(moved[name], before[name]) for name in moved)
    forward.train()
    after = reference.log_probabilities(rows, TEMPERATURE)
    assert torch.equal(after, first)
    assert not after.requires_grad
    assert forward.network.training
    assert all(torch.equal(moved[name], one) for name, one in tuned.trained.items())
    assert reference.identity.name == "sft (adapter) on tiny"
    assert reference.identity.sha256 == sha256_of([workspace.runs / "sft" / "adapter_model.safetensors"])
    assert reference.identity.is_start
    assert warnings == []


def test_without_adapters_the_beginning_is_the_base_itself(workspace: Workspace) -> None:
    tuned, forward = prepared(workspace)
    reference, _warnings = opened(workspace, tuned, forward, None)
    assert (reference.identity.name, reference.identity.sha256, reference.identity.is_start) == ("tiny", "", True)
    base = expected(reference_model(workspace.models / "tiny"), batch().rows)
    torch.testing.assert_close(reference.log_probabilities(batch(), TEMPERATURE), base, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["other", "tiny"])
@pytest.mark.parametrize("method", ["lora", "p_tuning"])
def test_another_adapter_or_the_bare_base_shares_the_weights(workspace: Workspace, name: str, method: str) -> None:
    tuned, forward = prepared(workspace, finetuning_type=method, pre_seq_len=4)
    reference, warnings = opened(workspace, tuned, forward, name)
    assert warnings == []
    trained = {one.data_ptr() for one in tuned.network.parameters()}
    beside = reference.chat.base.network  # type: ignore[attr-defined]
    assert {one.data_ptr() for one in beside.parameters()} == trained
    train(tuned, 3)
    adapter = None if name == "tiny" else workspace.runs / name
    alone = expected(reference_model(workspace.models / "tiny", adapter), batch().rows)
    found = reference.log_probabilities(batch(), TEMPERATURE)
    torch.testing.assert_close(found, alone, atol=5e-5, rtol=1e-5)
    assert not found.is_inference()
    assert reference.identity.name == ("tiny" if adapter is None else "other (adapter) on tiny")
    assert bool(reference.identity.sha256) == (adapter is not None)
    assert not reference.identity.is_start


@pytest.mark.parametrize(
    ("model", "adapters", "options", "name"),
    [
        ("tiny", ("sft",), {"create_new_adapter": True}, "other"),  # sft is in the weights
        ("tiny", (), {"finetuning_type": "full"}, "other"),
        ("tiny", (), {}, "odd"),
        ("odd", (), {}, "odd"),  # of a family without the fast forward
    ],
    ids=["merged", "full", "model", "family"],
)
def test_what_cannot_share_the_weights_is_loaded_and_that_is_said(
    workspace: Workspace, model: str, adapters: tuple[str, ...], options: dict[str, Any], name: str
) -> None:
    tuned, forward = prepared(workspace, *adapters, model=model, **options)
    reference, warnings = opened(workspace, tuned, forward, name, *adapters)
    assert f"the reference {name} is a model of its own beside the trained one, in memory too" in warnings
    train(tuned, 2)
    is_adapter = name == "other"
    folder = workspace.models / ("tiny" if is_adapter else name)
    alone = expected(reference_model(folder, workspace.runs / name if is_adapter else None), batch().rows)
    torch.testing.assert_close(reference.log_probabilities(batch(), TEMPERATURE), alone, atol=5e-5, rtol=1e-5)


def test_a_reference_that_reads_other_tokens_is_refused_with_what_differs(workspace: Workspace) -> None:
    folder = make_model(workspace.models / "foreign", "llama")
    tokens = (folder / "tokenizer.json").read_text().replace('"<|im_end|>"', '"<|stop|>"')
    (folder / "tokenizer.json").write_text(tokens)
    tuned, forward = prepared(workspace)
    with pytest.raises(ModelError) as refused:
        opened(workspace, tuned, forward, "foreign")
    said = "foreign reads other tokens than the trained model: '<|im_end|>' is – there and 2 here"
    assert refused.value.message == said
