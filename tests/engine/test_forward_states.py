"""Hidden states and probabilities by the fast forward: those of plain transformers in float64, gradients included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

import tiny_models
from core.config.optimization import OptimizationOptions
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.batches.pairs import Pair, batch_of
from core.engine.forward.choose import Forward, choose_forward
from core.engine.forward.projection import Projection
from core.engine.forward.ragged import lay_out
from tiny_models import VOCABULARY

CPU = torch.device("cpu")
FAMILIES = ("llama", "qwen3", "gemma3")
TEMPERATURE = 0.7
_ROUNDING = 2e-6
"""transformers' own norms round to float32 even here."""


class Prepared:
    """As much of a Tunable as a forward looks at."""

    def __init__(self, network: Any, *, pads: bool = False, exact_sharing: bool = True) -> None:
        self.network, self.pads, self.exact_sharing = network, pads, exact_sharing


def make_network(kind: str) -> Any:
    """In float64, its head frozen: the plain product whose gradient is made by hand."""
    torch.manual_seed(0)
    loader: Any = transformers.AutoModelForCausalLM
    network = loader.from_config(tiny_models._config(kind), dtype=torch.float64)
    for name, parameter in network.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.data += 0.1 * torch.randn_like(parameter)
    network.get_output_embeddings().weight.requires_grad_(False)
    return network.train()


def forward_of(network: Any, **options: Any) -> Forward:
    forward = choose_forward(Prepared(network, **options), options=OptimizationOptions())  # type: ignore[arg-type]
    forward.train()
    return forward


def row(tokens: list[int], answer: int) -> EncodedRow:
    return EncodedRow(np.array(tokens, np.int32), np.arange(len(tokens)) >= len(tokens) - answer)


def make_pairs(seed: int = 0, longest: int = 40) -> list[Pair]:
    """Pairs with prompts of their own; the answers of the first begin alike, the third's is one token long."""
    random = np.random.default_rng(seed)

    def some(count: int) -> list[int]:
        tokens: list[int] = random.integers(3, VOCABULARY, count).tolist()
        return tokens

    opening = some(6)
    pairs = []
    for number, (prompt, better, worse) in enumerate(((9, 12, 4), (longest, 5, 7), (3, 1, 9))):
        asked, first = opening + some(prompt), some(better)
        second = first[:3] + some(worse) if number == 0 else some(worse)
        pairs.append(Pair(row(asked + first, len(first)), row(asked + second, len(second))))
    return pairs


def plain_states(network: Any, one: EncodedRow) -> Tensor:
    ids = torch.from_numpy(one.ids.astype(np.int64))[None]
    states: Tensor = network.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0]
    return states


def plain_logs(network: Any, one: EncodedRow, temperature: float = TEMPERATURE) -> Tensor:
    """log p of the whole vocabulary for each target, [targets, words]."""
    ids = torch.from_numpy(one.ids.astype(np.int64))[None]
    logits = network(input_ids=ids, use_cache=False).logits[0]
    return torch.log_softmax(logits[np.flatnonzero(one.trained[1:])] / temperature, -1)


def plain_targets(one: EncodedRow) -> Tensor:
    return torch.from_numpy(one.ids[1:][one.trained[1:]].astype(np.int64))


def weights_of(count: int) -> Tensor:
    return torch.linspace(-1, 2, count, dtype=torch.float64)


def gradients(network: Any, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    torch.autograd.backward(loss)
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def is_near(ours: Tensor, theirs: Tensor) -> bool:
    largest = max(1.0, theirs.abs().max().item())
    return ours.shape == theirs.shape and (ours - theirs).abs().max().item() < _ROUNDING * largest


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert is_near(ours[name], gradient), name


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("kind", FAMILIES)
def test_probabilities_and_entropies_are_those_of_the_plain_model(kind: str, pads: bool) -> None:
    network = make_network(kind)
    batch = batch_of(make_pairs())
    logs = [plain_logs(network, one) for one in batch.rows]
    chosen = torch.cat(
        [part.gather(1, plain_targets(one)[:, None])[:, 0] for part, one in zip(logs, batch.rows, strict=True)]
    )
    entropies = torch.cat([-(part.exp() * part).sum(-1) for part in logs])
    weights = weights_of(len(chosen))  # each target its own, as advantages are
    expected = gradients(network, (chosen * weights).sum() + (entropies * weights.flip(0)).sum())

    forward = forward_of(network, pads=pads)
    states = forward.target_states(batch)
    assert states.rows.tolist() == [n for n, one in enumerate(batch.rows) for _target in range(one.targets)]
    assert torch.equal(states.targets, torch.cat([plain_targets(one) for one in batch.rows]))
    found = forward.projection.log_probabilities_and_entropy(states.hidden, states.targets, TEMPERATURE)
    assert is_near(found[0], chosen)
    assert is_near(found[1], entropies)
    assert_close(gradients(network, (found[0] * weights).sum() + (found[1] * weights.flip(0)).sum()), expected)


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("kind", FAMILIES)
def test_end_states_are_those_of_each_rows_last_token(kind: str, pads: bool) -> None:
    network = make_network(kind)
    batch = batch_of(make_pairs())
    theirs = torch.stack([plain_states(network, one)[-1] for one in batch.rows])
    weights = weights_of(theirs.numel()).view_as(theirs)
    expected = gradients(network, (theirs * weights).sum())

    ours = forward_of(network, pads=pads).end_states(batch)
    assert is_near(ours, theirs.detach())
    assert_close(gradients(network, (ours * weights).sum()), expected)


@pytest.mark.parametrize("longest", [40, 300])
def test_the_same_without_what_pairs_share_and_through_torchs_own_attention(longest: int) -> None:
    """Beyond 256 tokens a row attention is another one."""
    network = make_network("llama")
    pairs = make_pairs(longest=longest)
    results = []
    for shares in (True, False):
        forward = forward_of(network, exact_sharing=shares)
        states = forward.target_states(batch_of(pairs))
        logs = forward.projection.log_probabilities(states.hidden, states.targets)
        ends = forward.end_states(batch_of(pairs))
        results.append((logs, ends, gradients(network, (logs * weights_of(len(logs))).sum() + ends.square().sum())))
        forward.close()
    (logs, ends, ours), (other_logs, other_ends, theirs) = results
    assert is_near(logs, other_logs)
    assert is_near(ends, other_ends)
    assert_close(ours, theirs)


def test_a_line_holds_the_prompts_of_pairs_once() -> None:
    pairs = make_pairs()
    tokens = sum(len(pair.chosen.ids) + len(pair.rejected.ids) for pair in pairs)
    prompts = sum(int(np.argmax(pair.chosen.trained)) for pair in pairs)
    line = lay_out(batch_of(pairs), share=True, device=CPU)
    assert line.ids.shape[1] == tokens - prompts
    assert [line.ids[0, end].item() for end in line.ends] == [one.ids[-1] for one in batch_of(pairs).rows]
    alone = lay_out(Batch(batch_of(pairs).rows, families=tuple((n,) for n in range(6))), share=True, device=CPU)
    assert alone.ids.shape[1] == tokens
    assert not alone.shared
    together = lay_out(Batch(batch_of(pairs).rows), share=True, device=CPU)  # one family: its opening of 6 tokens
    assert together.ids.shape[1] == tokens - 6 * 5


def test_families_that_share_nothing_go_beside_those_that_do() -> None:
    network = make_network("llama")
    pairs = make_pairs()
    rows = [pairs[0].chosen, pairs[1].chosen, pairs[0].rejected, pairs[2].rejected]
    batch = Batch(rows, families=((0, 2), (1,), (3,)))
    forward = forward_of(network)
    ends = forward.end_states(batch)
    expected = torch.stack([plain_states(network, one)[-1] for one in rows])
    assert lay_out(batch, share=True, device=CPU).ids.shape[1] < batch.tokens
    assert is_near(ends, expected)


def test_states_have_a_graph_only_while_the_forward_trains() -> None:
    forward = forward_of(make_network("llama"))
    batch = batch_of(make_pairs())
    assert forward.target_states(batch).hidden.requires_grad
    assert forward.end_states(batch).requires_grad
    forward.train(False)
    assert not forward.target_states(batch).hidden.requires_grad
    assert not forward.end_states(batch).requires_grad


# --- the projection alone ----------------------------------------------------------------------------------------


def head_of(words: int = 300, *, frozen: bool = True, dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    head = nn.Linear(16, words, bias=False, dtype=dtype)
    head.weight.requires_grad_(not frozen)
    return head


def state_and_targets(count: int = 200, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 16, dtype=dtype), torch.randint(0, 300, (count,))


@pytest.mark.parametrize(
    "projection",
    [
        Projection(head_of(), slice_bytes=1),
        Projection(head_of(), scale=0.3, slice_bytes=1),
        Projection(head_of(), softcap=2.0, slice_bytes=1),
        Projection(head_of(frozen=False), label_smoothing=0.2, slice_bytes=1),
    ],
    ids=["plain", "scaled", "capped", "trained"],
)
def test_slices_of_every_kind_of_head_have_the_gradients_of_autograd(projection: Projection) -> None:
    hidden, targets = state_and_targets()
    weights = weights_of(len(targets))
    results = []
    for is_ours in (True, False):
        state = hidden.clone().requires_grad_()
        projection.head.zero_grad()
        if is_ours:
            logs, entropies = projection.log_probabilities_and_entropy(state, targets, TEMPERATURE)
        else:
            whole = torch.log_softmax(projection.logits(state) / TEMPERATURE, -1)
            logs, entropies = whole.gather(1, targets[:, None])[:, 0], -(whole.exp() * whole).sum(-1)
        torch.autograd.backward(((logs + 0.5 * entropies) * weights).sum())
        assert state.grad is not None
        of_head = projection.weight.grad
        results.append((logs.detach(), entropies.detach(), state.grad, torch.zeros(1) if of_head is None else of_head))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_what_is_not_asked_for_is_not_computed() -> None:
    hidden, targets = state_and_targets()
    projection = Projection(head_of())
    state = hidden.clone().requires_grad_()
    logs, nothing = projection.log_probabilities_and_entropy(state, targets, entropy="no")
    assert not nothing.any()
    assert torch.equal(logs, projection.log_probabilities(state, targets))
    told, entropies = projection.log_probabilities_and_entropy(state, targets, entropy="value")
    assert torch.equal(told, logs)
    assert not entropies.requires_grad
    assert torch.equal(entropies, projection.log_probabilities_and_entropy(state, targets)[1])
    assert (entropies > 0).all()
    torch.autograd.backward(told.sum())
    assert state.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pass_with_a_graph_gives_the_very_numbers_of_one_without(dtype: torch.dtype) -> None:
    """PPO holds one against the other: their ratio has to be 1, not almost."""
    hidden, targets = state_and_targets(dtype=dtype)
    for projection in (Projection(head_of(dtype=dtype)), Projection(head_of(dtype=dtype), softcap=2.0)):
        with torch.no_grad():
            before, entropies = projection.log_probabilities_and_entropy(hidden, targets, TEMPERATURE, entropy="value")
        state = hidden.clone().requires_grad_()
        now, more = projection.log_probabilities_and_entropy(state, targets, TEMPERATURE)
        assert before.dtype is torch.float32
        assert torch.equal(before, now)
        assert torch.equal(entropies, more)


def test_no_targets_have_no_probabilities() -> None:
    found = Projection(head_of()).log_probabilities(torch.zeros(0, 16, dtype=torch.float64), torch.zeros(0).long())
    assert found.shape == (0,)
