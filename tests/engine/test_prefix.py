"""P-Tuning v2: the prefix against two independent computations, and everywhere that a text may come from."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from conversations import HELLO, ask, load, started, text_of
from safetensors.torch import load_file, save_file
from tuning_base import logits_of, loss_of, token_ids, train, tunable

from core.chat.message import Message
from core.config.optimization import OptimizationOptions
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.forward.choose import choose_forward
from core.engine.prefix import PrefixEncoder, prefix_shape, prefix_slot, read_prefix
from core.errors import ModelError
from core.models.notes import PREFIX_FILE, PrefixFacts, read_notes
from core.serve.protocol import Row, Sampling
from tiny_models import assert_equal_greedy, greedy_reference, make_model, reference_model

KINDS = ["llama", "qwen3", "gemma3", "mistral", "olmo2"]


def with_prefix(folder: Path, *, length: int = 5, scale: float = 1.0, **facts: Any) -> tuple[Any, PrefixEncoder]:
    """A model with a random prefix before it."""
    network = reference_model(folder)
    torch.manual_seed(3)
    encoder = PrefixEncoder(prefix_shape(network), PrefixFacts(length, **facts))
    encoder.embedding.weight.data *= scale
    prefix_slot(network).active = encoder
    return network, encoder


def by_hand(network: Any, encoder: PrefixEncoder, ids: torch.Tensor) -> torch.Tensor:
    """A llama computed from its weights alone, in float64, with a prefix before each layer's keys and values."""
    model, config = network.model, network.config
    length, size = len(ids), config.head_dim
    inverse = config.rope_parameters["rope_theta"] ** (-torch.arange(0, size, 2).double() / size)
    angles = torch.arange(length)[:, None].double() * inverse
    cos, sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x * (x.square().mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt() * weight

    def turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    x = model.embed_tokens.weight[ids]
    for index, layer in enumerate(model.layers):
        attention, inner = layer.self_attn, norm(x, layer.input_layernorm.weight)
        q, k, v = (
            p(inner).view(length, -1, size).transpose(0, 1)
            for p in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        q, k = turned(q), turned(k)
        table = encoder.embedding.weight.view(encoder.facts.pre_seq_len, config.num_hidden_layers, 2, -1, size)
        k = torch.cat([table[:, index, 0].transpose(0, 1), k], 1).repeat_interleave(2, 0)
        v = torch.cat([table[:, index, 1].transpose(0, 1), v], 1).repeat_interleave(2, 0)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        hidden = torch.cat([torch.zeros(length, encoder.facts.pre_seq_len, dtype=torch.bool), future], 1)
        scores = (q @ k.transpose(1, 2) / math.sqrt(size)).masked_fill(hidden, -torch.inf)
        x = x + attention.o_proj((scores.softmax(-1) @ v).transpose(0, 1).reshape(length, -1))
        inner, mlp = norm(x, layer.post_attention_layernorm.weight), layer.mlp
        x = x + mlp.down_proj(F.silu(mlp.gate_proj(inner)) * mlp.up_proj(inner))
    return F.linear(norm(x, model.norm.weight), network.lm_head.weight)


def test_it_is_what_the_formula_says_and_so_are_its_gradients(model_folder: Callable[[str], Path]) -> None:
    network, encoder = with_prefix(model_folder("llama"))
    network, encoder = network.double(), encoder.double()
    ids = token_ids(1, 17)
    ours = network(input_ids=ids, use_cache=False).logits[0]
    F.cross_entropy(ours[:-1], ids[0, 1:]).backward()
    gradient, encoder.embedding.weight.grad = encoder.embedding.weight.grad, None
    theirs = by_hand(network, encoder, ids[0])
    F.cross_entropy(theirs[:-1], ids[0, 1:]).backward()
    assert gradient is not None
    assert encoder.embedding.weight.grad is not None
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6)  # rotary angles are float32 in transformers
    torch.testing.assert_close(gradient, encoder.embedding.weight.grad, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prefix_of_peft_answers_as_with_peft(kind: str, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Also where a sliding window has moved past it: 40 tokens are more than every window."""
    folder, ids = save_with_peft(model_folder(kind), tmp_path), token_ids(2, 40)
    import peft

    theirs = peft.PeftModel.from_pretrained(reference_model(model_folder(kind)), str(folder)).eval()
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    network = reference_model(model_folder(kind))
    prefix_slot(network).active = read_prefix(folder / "adapter_model.safetensors", None, prefix_shape(network))
    torch.testing.assert_close(logits_of(network, ids), wanted, rtol=0, atol=2e-5)


def save_with_peft(model_folder: Path, folder: Path) -> Path:
    import peft

    torch.manual_seed(5)
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6)
    peft.get_peft_model(reference_model(model_folder), config).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_generating_gives_the_text_of_a_forward_without_cache(
    kind: str, model_folder: Callable[[str], Path]
) -> None:
    network, _encoder = with_prefix(model_folder(kind))
    ids = token_ids(1, 30)
    wanted = ids
    for _step in range(12):
        wanted = torch.cat([wanted, logits_of(network, wanted)[:, -1:].argmax(-1)], 1)
    answer = wanted[0, 30:].tolist()
    assert_equal_greedy(network, ids[0].tolist(), greedy_reference(network, ids[0].tolist(), 12, set()), answer)
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        static = network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            cache_implementation="static",
            disable_compile=True,
            **options,
        )
        beside = torch.cat([torch.zeros(1, 5, dtype=torch.long), ids], 1)
        padded = network.generate(
            input_ids=torch.cat([beside, token_ids(1, 35, seed=9)]),
            attention_mask=torch.cat([(beside != 0).long(), torch.ones(1, 35, dtype=torch.long)]),
            **options,
        )
    assert_equal_greedy(network, ids[0].tolist(), static[0, 30:].tolist(), answer)
    assert_equal_greedy(network, ids[0].tolist(), padded[0, 35:].tolist(), answer)


@pytest.mark.parametrize("projection", [False, True])
def test_checkpointing_changes_nothing(projection: bool, model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("gemma3"), finetuning_type="p_tuning", pre_seq_len=4, prefix_projection=projection)
    tuned.network.train()
    losses, gradients = [], []
    for checkpointed in (False, True):
        if checkpointed:
            tuned.network.gradient_checkpointing_enable({"use_reentrant": False})
        loss = loss_of(tuned, token_ids(2, 30))
        loss.backward()
        losses.append(loss.item())
        gradients.append([one.grad.clone() for one in tuned.trained.values() if one.grad is not None])
        for one in tuned.trained.values():
            one.grad = None
    assert losses[0] == losses[1]
    assert len(gradients[0]) == len(tuned.trained)
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-7)


def test_without_a_prefix_the_model_is_itself(model_folder: Callable[[str], Path]) -> None:
    ids = token_ids(2, 30)
    network, _encoder = with_prefix(model_folder("mistral"))
    before = logits_of(reference_model(model_folder("mistral")), ids)
    assert (logits_of(network, ids) - before).abs().max() > 0.01
    prefix_slot(network).active = None
    torch.testing.assert_close(logits_of(network, ids), before, rtol=0, atol=2e-6)


@pytest.mark.parametrize("projection", [False, True])
def test_only_the_prefix_is_trained_and_saved_and_goes_on_from_there(
    projection: bool, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"finetuning_type": "p_tuning", "pre_seq_len": 4, "prefix_projection": projection}
    tuned = tunable(model_folder("qwen3"), **options)
    before = {name: tensor.clone() for name, tensor in tuned.network.state_dict().items()}
    losses = train(tuned, 25)
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in tuned.network.state_dict().items())
    assert {tensor.dtype for tensor in tuned.trained.values()} == {torch.float32}
    assert (tuned.pads, tuned.exact_sharing, tuned.method) == (True, False, "p_tuning")
    tuned.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "finetui.json", PREFIX_FILE]
    assert ("trans.0.weight" in load_file(tmp_path / PREFIX_FILE)) == projection
    notes = read_notes(tmp_path)
    assert notes is not None
    assert notes.prefix == PrefixFacts(4, projection)
    again = tunable(model_folder("qwen3"), adapters=[tmp_path], **options | {"pre_seq_len": 9})
    assert again.warnings[0].startswith(f"goes on with the prefix of {tmp_path}: 4 tokens")
    torch.testing.assert_close(
        logits_of(again.network, token_ids(1, 9)), logits_of(tuned.network, token_ids(1, 9)), rtol=0, atol=0
    )
    assert train(again, 1)[0] < losses[-1]


def test_a_chat_answers_with_a_prefix_beside_the_base_and_a_lora(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    tuned = tunable(model_folder("gemma3"), finetuning_type="p_tuning", pre_seq_len=4, prefix_projection=True)
    train(tuned, 20)
    tuned.save(tmp_path)
    model = load(model_folder("gemma3"))
    plain = text_of(ask(model, Row(HELLO)))
    model.load_adapter("lora", adapter_folder("gemma3"))
    adapted = text_of(ask(model, Row(HELLO, "lora")))
    loaded = model.load_adapter("prefix", tmp_path)
    assert (loaded.method, loaded.is_fused, loaded.warnings) == ("p_tuning", False, ())
    assert loaded.parameters == sum(one.numel() for one in tuned.trained.values())
    ids = list(model.base.template.rendering(HELLO).ids)
    wanted = greedy_reference(tuned.network, ids, 12, set(model.base.end_ids))
    replies = ask(model, Row(HELLO, "prefix", "k"), Row(HELLO), Row(HELLO, "lora"))
    row = model._rows.take("k", "prefix")
    assert row is not None
    assert_equal_greedy(tuned.network, ids, row.tokens[len(ids) :], wanted[: len(row.tokens) - len(ids)])
    assert (text_of(replies, 1), text_of(replies, 2)) == (plain, adapted)
    assert text_of(replies, 0) not in (plain, adapted)
    model.unload_adapter("prefix")
    assert text_of(ask(model, Row(HELLO))) == plain


def test_the_next_turn_goes_on_from_the_cache(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    tuned = tunable(model_folder("llama"), finetuning_type="p_tuning", pre_seq_len=4)
    tuned.save(tmp_path)
    model = load(model_folder("llama"))
    model.load_adapter("p", tmp_path)
    ask(model, Row(HELLO, "p", "k"))
    turn = (*HELLO, Message("assistant", "Fine."), Message("user", "And you?"))
    second = ask(model, Row(turn, "p", "k"))
    assert started(second).reused_tokens >= len(model.base.template.rendering(HELLO).ids)
    assert text_of(second) == text_of(ask(model, Row(turn, "p")))


def test_a_prefix_beside_an_adapter_that_only_peft_serves(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    tunable(model_folder("olmo2"), finetuning_type="p_tuning", pre_seq_len=4).save(tmp_path)
    model, alone = load(model_folder("olmo2")), load(model_folder("olmo2"))
    alone.load_adapter("p", tmp_path)
    model.load_adapter("lora", adapter_folder("olmo2"))
    adapted = text_of(ask(model, Row(HELLO, "lora")))
    model.load_adapter("p", tmp_path)
    assert text_of(ask(model, Row(HELLO, "p"))) == text_of(ask(alone, Row(HELLO, "p"))) != adapted
    assert text_of(ask(model, Row(HELLO, "lora"))) == adapted


def test_a_prefix_of_peft_in_a_chat_and_in_training(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import peft

    folder = save_with_peft(model_folder("llama"), tmp_path / "peft")
    model = load(model_folder("llama"))
    assert model.load_adapter("p", folder).method == "p_tuning"
    sampling = Sampling(max_new_tokens=10)
    ids = list(model.base.template.rendering(HELLO).ids)
    theirs: Any = peft.PeftModel.from_pretrained(reference_model(model_folder("llama")), str(folder)).eval()
    config = transformers.GenerationConfig(max_new_tokens=10, do_sample=False, eos_token_id=None, pad_token_id=0)
    inputs = torch.tensor([ids])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs.generate(input_ids=inputs, attention_mask=torch.ones_like(inputs), generation_config=config)[
            0, len(ids) :
        ].tolist()
    model.base.end_ids = frozenset()
    ask(model, Row(HELLO, "p", "k"), sampling=sampling)
    row = model._rows.take("k", "p")
    assert row is not None
    assert row.tokens[len(ids) :] == wanted[:9]
    tuned = tunable(model_folder("llama"), finetuning_type="p_tuning", pre_seq_len=6, adapters=[folder])
    torch.testing.assert_close(
        logits_of(tuned.network, inputs), theirs(input_ids=inputs).logits.detach(), rtol=0, atol=2e-5
    )
    tuned.save(tmp_path)
    notes = read_notes(tmp_path)
    assert notes is not None
    assert notes.prefix == PrefixFacts(6, first_position=6, in_window=True)


def test_the_original_checkpoints_names_are_known(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    network, encoder = with_prefix(model_folder("llama"))
    save_file(
        {"transformer.prefix_encoder.embedding.weight": encoder.embedding.weight.data}, tmp_path / "p.safetensors"
    )
    read = read_prefix(tmp_path / "p.safetensors", None, prefix_shape(network))
    assert torch.equal(read.embedding.weight, encoder.embedding.weight)
    assert read.facts == PrefixFacts(5)


def test_what_does_not_fit_is_refused(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    tunable(model_folder("llama"), finetuning_type="p_tuning", pre_seq_len=4).save(tmp_path)
    with pytest.raises(ModelError, match=r"does not fit the model: embedding.weight has to be 4×192 and is 4×128"):
        load(model_folder("qwen3")).load_adapter("p", tmp_path)
    with pytest.raises(ModelError, match="is a prefix; lora goes on with LoRA adapters only"):
        tunable(model_folder("llama"), adapters=[tmp_path])
    with pytest.raises(ModelError, match="is a lora adapter; p_tuning goes on from a prefix only"):
        tunable(model_folder("llama"), finetuning_type="p_tuning", adapters=[adapter_folder("llama")])
    with pytest.raises(ModelError, match="goes on from one prefix, not from 2 adapters"):
        tunable(model_folder("llama"), finetuning_type="p_tuning", adapters=[tmp_path, tmp_path])
    (tmp_path / "finetui.json").write_text(json.dumps({"type": "adapter_notes", "schema": 99}))
    with pytest.raises(ModelError, match="written by a newer finetui"):
        load(model_folder("llama")).load_adapter("p", tmp_path)


def test_a_model_whose_attention_is_out_of_reach(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", "llama")
    network = reference_model(folder)
    network.config.num_hidden_layers = 3
    with pytest.raises(ModelError, match="does not know how LlamaForCausalLM attends"):
        prefix_shape(network)


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
@pytest.mark.parametrize("peft", [False, True])
def test_rows_of_a_batch_learn_as_they_would_alone(
    kind: str, peft: bool, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Through the forward of a training, padded: same loss, same gradient; also where positions are PEFT's."""
    adapters = [save_with_peft(model_folder(kind), tmp_path)] if peft else []
    tuned = tunable(model_folder(kind), finetuning_type="p_tuning", pre_seq_len=6, adapters=adapters)
    rows = [
        EncodedRow(token_ids(length, seed=length).numpy().astype(np.int32), np.arange(length) >= 5)
        for length in (9, 25, 14)
    ]
    (prefix,) = tuned.trained.values()
    alone = torch.zeros(())
    for row in rows:
        ids = torch.from_numpy(row.ids).long()[None]
        logits = tuned.network(input_ids=ids, use_cache=False).logits[0, 4:-1]
        alone = alone + F.cross_entropy(logits, ids[0, 5:], reduction="sum")
    alone.backward()
    wanted, prefix.grad = prefix.grad, None
    forward = choose_forward(tuned, options=OptimizationOptions())
    forward.train()
    loss = forward.loss(Batch(rows))
    loss.sum.backward()
    assert "rows padded" in forward.choices
    assert loss.targets == 4 + 20 + 9
    torch.testing.assert_close(loss.sum, alone, rtol=1e-5, atol=0)
    assert wanted is not None
    assert prefix.grad is not None
    torch.testing.assert_close(prefix.grad, wanted, rtol=1e-3, atol=1e-6)


def test_a_new_prefix_begins_as_what_the_model_remembers_of_a_text(model_folder: Callable[[str], Path]) -> None:
    tuned: Any = tunable(model_folder("qwen3"), finetuning_type="p_tuning", pre_seq_len=60)
    layer = tuned.network.model.layers[0]
    text = "You are a helpful assistant. Answer the question. " * 2
    ids = torch.tensor(tuned.base.tokenizer.encode(text)[:60])
    with torch.no_grad():
        states = layer.input_layernorm(tuned.network.model.embed_tokens(ids))
        keys = layer.self_attn.k_norm(layer.self_attn.k_proj(states).view(60, 2, 16)).transpose(0, 1)[None]
        values = layer.self_attn.v_proj(states).view(60, 2, 16).transpose(0, 1)[None]
    ours = tuned.encoder.keys_values(0)
    torch.testing.assert_close(ours[0], keys, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours[1], values, rtol=0, atol=1e-5)
