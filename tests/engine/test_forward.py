"""The fast forward of a training gives what plain transformers and PEFT give, row by row, gradients included."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import peft
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

import tiny_models
from core.config.optimization import OptimizationOptions
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.forward import attention
from core.engine.forward.attention import IMPLEMENTATION, no_mask
from core.engine.forward.choose import Forward, choose_forward
from core.engine.forward.compiled import has_compiler
from core.engine.forward.families import RAGGED_FAMILIES
from core.engine.forward.projection import Projection
from core.engine.forward.ragged import lay_out
from tiny_models import VOCABULARY

CPU = torch.device("cpu")
FAMILIES = (
    "gemma",
    "gemma2",
    "gemma3",
    "glm",
    "glm4",
    "llama",
    "llama3",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
)


def config(kind: str) -> transformers.PretrainedConfig:
    """Also of families that chat needs no tiny model of."""
    common, sizes = dict(tiny_models._COMMON), {k: v for k, v in tiny_models._COMMON.items() if k != "head_dim"}
    if kind == "glm":
        return transformers.GlmConfig(**common, num_hidden_layers=2)
    if kind == "glm4":
        return transformers.Glm4Config(**common, num_hidden_layers=2)
    if kind == "gemma":
        return transformers.GemmaConfig(**common, num_hidden_layers=2)
    if kind == "gemma2":
        caps: dict[str, Any] = {
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 20.0,
            "query_pre_attn_scalar": 24,
        }
        return transformers.Gemma2Config(**common, num_hidden_layers=2, sliding_window=16, **caps)
    if kind == "phi3":
        return transformers.Phi3Config(**sizes, num_hidden_layers=2)
    if kind == "smollm3":
        return transformers.SmolLM3Config(**sizes, num_hidden_layers=4)
    if kind == "gpt_neox":  # no family that is known to go ragged
        few = {key: sizes[key] for key in ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads")}
        return transformers.GPTNeoXConfig(**few, num_hidden_layers=2, bos_token_id=0, eos_token_id=0)
    return tiny_models._config(kind)


def make_network(kind: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    attention = "eager" if kind == "gemma2" else "sdpa"  # the only one of transformers that knows its soft cap
    loader: Any = transformers.AutoModelForCausalLM
    network = loader.from_config(config(kind), dtype=dtype, attn_implementation=attention)
    for name, parameter in network.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.data += 0.1 * torch.randn_like(parameter)
    return network.train()


def make_lora(kind: str, **options: Any) -> Any:
    network = make_network(kind)
    lora = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options})
    model = peft.get_peft_model(network, lora)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


@dataclass
class Prepared:
    """As much of a Tunable as a forward looks at."""

    network: Any
    pads: bool = False
    exact_sharing: bool = True


def row(*tokens: int, trained_from: int) -> EncodedRow:
    return EncodedRow(np.array(tokens, np.int32), np.arange(len(tokens)) >= trained_from)


def make_rows(seed: int = 0, count: int = 5, shared: int = 7) -> list[EncodedRow]:
    """Rows of 12 to 46 tokens that begin alike; the first one's loss begins right behind what is shared."""
    random = np.random.default_rng(seed)
    opening = random.integers(3, VOCABULARY, shared)
    rows = []
    for number in range(count):
        length = int(random.integers(5, 40))
        trained_from = shared if number == 0 else shared + int(random.integers(0, length))
        rows.append(row(*opening, *random.integers(3, VOCABULARY, length), trained_from=trained_from))
    return rows


def plain_loss(network: Any, one: EncodedRow, smoothing: float = 0.0) -> Tensor:
    """One row by transformers' own forward."""
    ids = torch.from_numpy(one.ids.astype(np.int64))[None]
    logits = network(input_ids=ids, use_cache=False).logits[0]
    before = np.flatnonzero(one.trained[1:])
    return F.cross_entropy(logits[before], ids[0, 1:][before], reduction="sum", label_smoothing=smoothing)


def gradients(network: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def plain(network: Any, rows: list[EncodedRow], smoothing: float = 0.0) -> tuple[float, dict[str, Tensor]]:
    network.zero_grad()
    total = torch.stack([plain_loss(network, one, smoothing) for one in rows]).sum()
    total.backward()
    return total.item(), gradients(network)


def fast(forward: Forward, rows: list[EncodedRow]) -> tuple[float, dict[str, Tensor]]:
    forward.network.zero_grad()
    forward.train()
    loss = forward.loss(Batch(rows))
    loss.sum.backward()
    assert loss.targets == sum(one.targets for one in rows)
    assert loss.correct == 0
    return loss.sum.item(), gradients(forward.network)


def assert_same(ours: tuple[float, dict[str, Tensor]], theirs: tuple[float, dict[str, Tensor]]) -> None:
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        difference = (ours[1][name] - gradient).abs().max()
        assert difference <= 1e-5 * gradient.abs().max() + 1e-7, f"{name}: {difference}"


def choose(network: Any, *, smoothing: float = 0.0, **wanted: bool) -> Forward:
    made = {key: wanted.pop(key) for key in ("checkpointing", "compile") if key in wanted}
    prepared: Any = Prepared(network, **wanted)
    return choose_forward(prepared, options=OptimizationOptions(label_smoothing_factor=smoothing), **made)


@pytest.fixture
def long_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows count as too long for the products of short ones."""
    monkeypatch.setattr(attention, "LONGEST", 0)


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_layout_of_every_family_is_like_one_row_at_a_time(kind: str) -> None:
    network, rows = make_network(kind), make_rows()
    expected = plain(network, rows)
    for prepared in ({"pads": True}, {"exact_sharing": False}, {"exact_sharing": True}):
        forward = choose(network, **prepared)
        assert ("rows padded" in forward.choices) == ("pads" in prepared)
        assert_same(fast(forward, rows), expected)
        forward.close()


def test_the_families_that_go_ragged_are_those_of_the_test() -> None:
    assert {config(kind).model_type for kind in FAMILIES} == RAGGED_FAMILIES


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gemma2", "mistral"])
def test_long_rows_too(kind: str, long_rows: None) -> None:
    network, rows = make_network(kind), make_rows(seed=3)
    expected = plain(network, rows)
    for shares in (False, True):
        forward = choose(network, exact_sharing=shares)
        assert_same(fast(forward, rows), expected)
        forward.close()


def test_a_family_that_nobody_has_looked_at_is_padded() -> None:
    network, rows = make_network("gpt_neox"), make_rows()
    forward = choose(network)
    assert "rows padded" in forward.choices
    assert_same(fast(forward, rows), plain(network, rows))


@pytest.mark.parametrize("kind", ["llama", "gemma3", "glm", "qwen3"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_is_like_pefts(kind: str, checkpointing: bool) -> None:
    model, rows = make_lora(kind), make_rows(seed=1)
    expected = plain(model, rows)
    assert all("lora" in name for name in expected[1])
    forward = choose(model, checkpointing=checkpointing)
    assert "lean arithmetic" in forward.choices
    assert_same(fast(forward, rows), expected)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}])
def test_variants_of_lora_are_like_pefts(options: dict[str, Any]) -> None:
    model, rows = make_lora("qwen3", **options), make_rows(seed=2)
    expected = plain(model, rows)
    assert_same(fast(choose(model), rows), expected)


def test_dora_is_computed_leanly() -> None:
    model = make_lora("qwen3", use_dora=True)
    forward = choose(model)
    query = forward.network.get_base_model().model.layers[0].self_attn.q_proj
    query.lora_variant["default"].forward = None  # PEFT's own, which nobody calls
    fast(forward, make_rows(seed=2))


def test_dropout_of_lora_is_drawn() -> None:
    model, rows = make_lora("llama", lora_dropout=0.5), make_rows()
    forward = choose(model, exact_sharing=False)
    torch.manual_seed(0)
    first, second = fast(forward, rows)[0], fast(forward, rows)[0]
    assert first != second
    torch.manual_seed(0)
    assert fast(forward, rows)[0] == first


def test_no_row_sees_another() -> None:
    network, rows = make_network("gemma3").eval(), make_rows(shared=0)
    forward = choose(network)
    line = lay_out(Batch(rows), share=True, device=CPU)

    def states(ids: Tensor) -> Tensor:
        with torch.no_grad():
            decoder = network.get_decoder()
            inputs = {"input_ids": ids, "position_ids": line.positions, "attention_mask": no_mask(CPU)}
            found: Tensor = decoder(**inputs, ragged=line, use_cache=False).last_hidden_state[0]
            return found

    before = states(line.ids)
    changed = line.ids.clone()
    first = line.groups[0].lengths[0]
    changed[0, :first] = 5
    after = states(changed)
    assert torch.equal(after[first:], before[first:])
    assert not torch.isclose(after[:first], before[:first]).all()
    forward.close()


def test_a_layout_that_is_lost_on_its_way_is_an_error() -> None:
    network = make_network("llama")
    network.set_attn_implementation(IMPLEMENTATION)
    with pytest.raises(RuntimeError, match="LlamaAttention does not hand the layout of its rows on"):
        network(input_ids=torch.ones(1, 8, dtype=torch.long), attention_mask=no_mask(CPU), use_cache=False)


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_answers_between_updates_are_the_networks_own(kind: str) -> None:
    model = make_lora(kind).eval()
    prompt = torch.randint(3, VOCABULARY, (1, 30))
    options = transformers.GenerationConfig(max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    expected = model.generate(input_ids=prompt, generation_config=options)
    forward = choose(model, checkpointing=True)
    fast(forward, make_rows())
    forward.train(False)
    assert torch.equal(model.generate(input_ids=prompt, generation_config=options), expected)
    forward.close()
    assert model.config._attn_implementation == "sdpa"
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert torch.equal(model.generate(input_ids=prompt, generation_config=options), expected)


def test_an_evaluation_has_no_graph_and_counts_what_is_right() -> None:
    network, rows = make_network("llama").eval(), make_rows()
    forward = choose(network)
    forward.train(False)
    loss = forward.loss(Batch(rows))
    with torch.no_grad():
        right = 0
        for one in rows:
            guesses = network(input_ids=torch.from_numpy(one.ids.astype(np.int64))[None]).logits[0].argmax(-1).numpy()
            before = np.flatnonzero(one.trained[1:])
            right += int((guesses[before] == one.ids[1:][before]).sum())
        expected = sum(plain_loss(network, one).item() for one in rows)
    assert not loss.sum.requires_grad
    assert loss.correct == right
    assert loss.sum.item() == pytest.approx(expected, rel=1e-5)
    assert not forward.network.training


@pytest.mark.parametrize("is_frozen", [True, False])
@pytest.mark.parametrize("softcap", [None, 20.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_slices_of_the_vocabulary_give_the_whole(is_frozen: bool, softcap: float | None, smoothing: float) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 1000, bias=False, dtype=torch.float64).requires_grad_(not is_frozen)
    hidden = torch.randn(150, 16, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 1000, (150,))
    logits = head(hidden)
    logits = logits if softcap is None else torch.tanh(logits / softcap) * softcap
    expected = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    wanted = [hidden] if is_frozen else [hidden, head.weight]
    whole = torch.autograd.grad(expected, wanted)
    projection = Projection(head, softcap=softcap, label_smoothing=smoothing, slice_bytes=1)
    for one in (projection, replace(projection, slice_bytes=1 << 30)):
        loss = one.loss(hidden, targets, count_correct=False)
        assert loss.total.item() == pytest.approx(expected.item(), rel=1e-12)
        for ours, theirs in zip(torch.autograd.grad(loss.total * 2, wanted), whole, strict=True):
            torch.testing.assert_close(ours, theirs * 2)


def test_label_smoothing_is_in_the_loss() -> None:
    network, rows = make_network("llama"), make_rows()
    assert_same(fast(choose(network, smoothing=0.1), rows), plain(network, rows, 0.1))


@pytest.mark.parametrize("dora", [False, True])
def test_bfloat16_is_close_with_and_without_autocast(dora: bool) -> None:
    rows = make_rows()
    model = make_lora("qwen3", use_dora=dora)
    expected = plain(model, rows)
    forward = choose(model)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = fast(forward, rows)
    forward.close()
    half = fast(choose(model.to(torch.bfloat16)), rows)
    for loss, found in (mixed, half):
        assert loss == pytest.approx(expected[0], rel=5e-3)
        for name, gradient in expected[1].items():
            cosine = F.cosine_similarity(found[name].float().flatten(), gradient.flatten(), 0)
            assert cosine > 0.99, name


@pytest.mark.skipif(not has_compiler(CPU), reason="no C++ compiler")
def test_compiled_layers_are_like_plain_ones() -> None:
    model = make_lora("qwen3", target_modules=["q_proj", "v_proj"])
    batches = [make_rows(seed) for seed in (0, 1)]
    expected = [plain(model, rows) for rows in batches]
    forward = choose(model, compile=True)
    assert "layers compiled" in forward.choices
    for rows, theirs in zip(batches, expected, strict=True):
        assert_same(fast(forward, rows), theirs)
    forward.close()
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert_same(plain(model, batches[0]), expected[0])


def test_what_cannot_be_compiled_says_so() -> None:
    model, rows = make_lora("llama"), make_rows()
    expected = plain(model, rows)
    forward = choose(model, compile=True, checkpointing=True)
    assert any("not compiled" in choice for choice in forward.choices)
    assert_same(fast(forward, rows), expected)
