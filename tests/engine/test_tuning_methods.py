"""What each method trains, how its learning rates are grouped, what it saves, and how it goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from conversations import HELLO, ask, load, text_of
from safetensors.torch import load_file
from tuning_base import logits_of, loss_of, token_ids, train, tunable

from core.config.data import DataOptions
from core.config.optimization import OptimizationOptions
from core.engine.tuning.targets import resolve_targets
from core.errors import ModelError
from core.models.notes import read_notes
from core.serve.protocol import Row
from tiny_models import reference_model, train_adapter


def test_lora_is_pefts(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Same seed, same steps, same adapter as PEFT's own; and PEFT reads what is saved."""
    train_adapter(model_folder("qwen3"), tmp_path / "theirs", steps=5, seed=7)
    tuned = tunable(model_folder("qwen3"), seed=7, lora_rank=4)
    ids = torch.randint(3, 259, (2, 24))  # the generator goes on as in train_adapter
    train(tuned, 5, ids=ids)
    (tmp_path / "ours").mkdir()
    tuned.save(tmp_path / "ours")
    ours, wanted = (load_file(tmp_path / who / "adapter_model.safetensors") for who in ("ours", "theirs"))
    assert ours.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6)
    reloaded = reference_model(model_folder("qwen3"), tmp_path / "ours")
    assert torch.equal(logits_of(reloaded, ids), logits_of(tuned.network, ids))


def test_an_adapter_folder_tells_how_it_is_asked(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    data = DataOptions(dataset=("intro",), default_system="Be brief.", source_prefix="Q: ", enable_thinking=False)
    tuned = tunable(model_folder("llama"), data=data, template="vicuna", lora_rank=2)
    tuned.save(tmp_path)
    tuned.write_card(tmp_path, {"train_loss": 0.123456789})
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors", "finetui.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (2, 4, str(model_folder("llama")))
    notes = read_notes(tmp_path)
    assert notes is not None
    assert (notes.method, notes.template, notes.datasets) == ("lora", "vicuna", ("intro",))
    assert (notes.default_system, notes.source_prefix, notes.enable_thinking) == ("Be brief.", "Q: ", False)
    _nothing, front, card = (tmp_path / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["finetui", "lora"],
    }
    assert "| train_loss | 0.123457 |" in card
    assert "| system prompt | Be brief. |" in card
    assert str(model_folder("llama").parent) not in card


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"lora_rank": 4}, 2.0),
        ({"lora_rank": 16, "lora_alpha": 32, "use_rslora": True}, 8.0),
        ({"lora_rank": 4, "lora_alpha": 4, "use_dora": True}, 1.0),
    ],
)
def test_the_factors_weight(options: dict[str, Any], scale: float, model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("llama"), **options)
    layer = tuned.network.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == scale
    assert ("model.layers.0.self_attn.q_proj.lora_magnitude_vector.default.weight" in tuned.trained) == (
        "use_dora" in options
    )


def test_lora_plus_has_peft_s_groups(model_folder: Callable[[str], Path]) -> None:
    from peft.optimizers import create_loraplus_optimizer

    optimization = OptimizationOptions(learning_rate=1e-4, weight_decay=0.1)
    tuned: Any = tunable(
        model_folder("llama"),
        optimization=optimization,
        loraplus_lr_ratio=16.0,
        loraplus_lr_embedding=3e-6,
        lora_target=("q_proj", "down_proj"),
        additional_target=("lm_head",),
    )
    theirs = create_loraplus_optimizer(
        tuned.peft,
        torch.optim.AdamW,
        lr=1e-4,
        loraplus_lr_ratio=16.0,
        loraplus_lr_embedding=3e-6,
        loraplus_weight_decay=0.1,
    )
    wanted = {id(one): (group["lr"], group["weight_decay"]) for group in theirs.param_groups for one in group["params"]}
    ours = {id(one): (group.learning_rate, group.weight_decay) for group in tuned.groups() for one in group.parameters}
    assert ours == wanted
    assert {rate for rate, _decay in ours.values()} == {1e-4, 16e-4}


def test_weight_decay_leaves_biases_and_norms_alone(model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("llama"), finetuning_type="full", optimization=OptimizationOptions(weight_decay=0.1))
    free = {id(one) for group in tuned.groups() if not group.weight_decay for one in group.parameters}
    names = {name for name, one in tuned.trained.items() if id(one) in free}
    assert names == {name for name in tuned.trained if "norm" in name or name.endswith("bias")}
    assert sum(len(group.parameters) for group in tuned.groups()) == len(tuned.trained)


@pytest.mark.parametrize(
    ("kind", "typed", "here"),
    [
        ("llama", ("all",), ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
        ("llama", ("query_key_value",), ["q_proj", "k_proj", "v_proj"]),
        (
            "llama",
            ("W_pack", "o_proj", "dense_h_to_4h"),
            ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"],
        ),
        ("llama", ("c_attn", "dense", "dense_4h_to_h"), ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]),
        ("llama", ("layers.1.self_attn.q_proj",), ["layers.1.self_attn.q_proj"]),
        ("gpt2", ("q_proj", "v_proj"), ["c_attn"]),
        ("gpt2", ("c_proj",), ["c_proj"]),
        ("glm", ("query_key_value", "gate_proj"), ["q_proj", "k_proj", "v_proj", "gate_up_proj"]),
    ],
)
def test_targets_by_this_or_another_familys_names(kind: str, typed: tuple[str, ...], here: list[str]) -> None:
    small = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "vocab_size": 50}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    configs = {
        "llama": lambda: transformers.LlamaConfig(**small, **heads),
        "gpt2": lambda: transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=50),
        "glm": lambda: transformers.GlmConfig(**small, **heads, pad_token_id=0),
    }
    network = transformers.AutoModelForCausalLM.from_config(configs[kind]())
    chosen, told = resolve_targets(network, typed)
    assert chosen == here
    assert len(told) == sum(name not in here and name != "all" for name in typed)
    if "query_key_value" in typed:
        assert told[0] == "lora_target query_key_value means q_proj, k_proj, v_proj in this model"


def test_a_target_that_is_nothing_here(model_folder: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="the model has no linear layer 'q_porj'") as caught:
        tunable(model_folder("llama"), lora_target=("q_porj",))
    assert caught.value.hint.startswith("did you mean 'q_proj'? all, or some of: q_proj, k_proj")
    with pytest.raises(ModelError, match="additional_target: the model has no module 'embedings'"):
        tunable(model_folder("llama"), additional_target=("embedings",))


def test_a_tied_model_stays_tied_under_additional_target(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    tuned = tunable(model_folder("llama"), additional_target=("embed_tokens",), lora_target=("q_proj",))
    losses = train(tuned, 15)
    assert losses[-1] < losses[0]
    head = tuned.network.get_output_embeddings()
    assert getattr(head, "weight", None) is not None
    trained = [name for name in tuned.trained if "lora" not in name]
    assert len(trained) == 1  # one matrix, at both ends
    tuned.save(tmp_path)
    model = load(model_folder("llama"))
    model.load_adapter("a", tmp_path)
    ids = list(model.base.template.rendering(HELLO).ids)
    reference = logits_of(tuned.network, torch.tensor([ids]))[0, -1].argmax().item()
    ask(model, Row(HELLO, "a", "k"))
    row = model._rows.take("k", "a")
    assert row is not None
    assert row.tokens[len(ids)] == reference


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({"freeze_trainable_layers": 1}, {"layers.3"}),
        ({"freeze_trainable_layers": -2}, {"layers.0", "layers.1"}),
        ({"freeze_trainable_layers": 1, "freeze_trainable_modules": ("mlp",)}, {"layers.3.mlp"}),
        ({"freeze_trainable_layers": 0, "freeze_extra_modules": ("norm",)}, {"norm"}),
        ({"freeze_trainable_layers": 4, "freeze_extra_modules": ("embed_tokens",)}, {"embed_tokens", "layers"}),
    ],
)
def test_freeze_trains_what_is_named_and_nothing_else(
    options: dict[str, Any], trained: set[str], model_folder: Callable[[str], Path]
) -> None:
    tuned = tunable(model_folder("gemma3"), finetuning_type="freeze", **options)
    wanted = {
        name
        for name, _one in tuned.network.named_parameters()
        if any(name.startswith(f"model.{part}.") for part in trained)
    }
    assert set(tuned.trained) == wanted
    before = {name: one.detach().clone() for name, one in tuned.network.named_parameters()}
    train(tuned, 1)
    changed = {name for name, one in tuned.network.named_parameters() if not torch.equal(one, before[name])}
    assert changed == wanted


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"freeze_trainable_layers": 9}, "freeze_trainable_layers 9: the model has 4 layers", "at most 4"),
        ({"freeze_trainable_modules": ("attention",)}, "the model has no 'attention' there", "self_attn"),
        ({"freeze_extra_modules": ("lm_haed",)}, "the model has no 'lm_haed' there", "did you mean 'lm_head'"),
    ],
)
def test_what_freeze_does_not_find(
    options: dict[str, Any], message: str, hint: str, model_folder: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        tunable(model_folder("gemma3"), finetuning_type="freeze", **options)
    assert hint in caught.value.hint


@pytest.mark.parametrize("method", ["full", "freeze"])
def test_a_whole_model_is_saved_in_the_bases_format_and_answers_under_its_template(
    method: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    half = tmp_path / "half"
    reference_model(model_folder("llama")).bfloat16().save_pretrained(half)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (half / name).write_bytes((model_folder("llama") / name).read_bytes())
    data = DataOptions(default_system="Be brief.", source_prefix="Q: ")
    tuned = tunable(half, finetuning_type=method, data=data, template="vicuna")
    assert {one.dtype for one in tuned.trained.values()} == {torch.float32}
    train(tuned, 3, rate=1e-2)
    folder = tmp_path / "tuned"
    folder.mkdir()
    for stale in ("model-00001-of-00002.safetensors", "model.safetensors.index.json"):
        (folder / stale).write_text("{}")
    tuned.save(folder)
    assert [path.name for path in sorted(folder.glob("*safetensors*"))] == ["model.safetensors"]
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    config = json.loads((folder / "config.json").read_text())
    assert (config["dtype"], config["tie_word_embeddings"]) == ("bfloat16", True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert {one.dtype for one in tuned.trained.values()} == {torch.float32}
    model = load(folder)
    assert model.base.template.name == "vicuna"
    wanted = model.base.template.text(model.base.manner.messages(HELLO))
    assert "Be brief." in wanted
    assert f"Q: {HELLO[0].content}" in wanted
    assert text_of(ask(model, Row(HELLO)))
    ids = token_ids(1, 12)
    rounded = {name: one.bfloat16().float() for name, one in tuned.network.state_dict().items()}
    tuned.network.load_state_dict(rounded)
    torch.testing.assert_close(logits_of(tuned.network, ids), logits_of(reference_model(folder), ids))


@pytest.mark.parametrize(
    "options",
    [
        {"finetuning_type": "lora", "lora_rank": 2, "use_dora": True},
        {"finetuning_type": "full"},
        {"finetuning_type": "freeze"},
        {"finetuning_type": "p_tuning", "pre_seq_len": 3, "prefix_projection": True},
    ],
)
def test_the_state_is_exact(options: dict[str, Any], model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("llama"), **options)
    train(tuned, 2)
    state = tuned.state()
    assert list(state) == list(tuned.trained)
    again = tunable(model_folder("llama"), seed=1, **options)
    again.restore(state)
    ids = token_ids(2, 11)
    assert loss_of(again, ids).item() == loss_of(tuned, ids).item()
    train(tuned, 1)
    assert not torch.equal(next(iter(state.values())), next(iter(tuned.trained.values())))  # a copy
    with pytest.raises(ModelError, match="the stored state is of another training"):
        again.restore(dict(list(state.items())[1:]))


def test_noise_on_embeddings_in_training_only(model_folder: Callable[[str], Path]) -> None:
    tuned, ids = tunable(model_folder("llama"), neftune_noise_alpha=5.0), token_ids(2, 16)
    assert (tuned.pads, tuned.exact_sharing) == (True, False)
    embedding = tuned.network.get_input_embeddings()
    quiet = embedding(ids)
    tuned.network.train()
    noise = embedding(ids) - quiet
    largest = 5.0 / math.sqrt(16 * 48)
    assert 0.9 * largest < noise.abs().max().item() <= largest * 1.0001
    assert loss_of(tuned, ids).item() != loss_of(tuned, ids).item()
