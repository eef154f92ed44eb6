"""A GGUF file becomes an ordinary model folder: the same weights, tokenizer and chat template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from core.models.info import read_model

_TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
_HEADS, _HIDDEN = 4, 32
_BYTES = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
_TOKENS = ["<|im_start|>", "<|im_end|>", *_BYTES, "he"]
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(_TOKENS),
        hidden_size=_HIDDEN,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def _interleaved(weight: np.ndarray) -> np.ndarray:
    """llama.cpp keeps the halves of a rotation side by side."""
    return weight.reshape(_HEADS, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _write_gguf(path: Path, model: LlamaForCausalLM) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(_HIDDEN)
    writer.add_feed_forward_length(64)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(_TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(_TOKENS)
    writer.add_token_types([3, 3] + [1] * (len(_TOKENS) - 2))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(_TEMPLATE)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        weight = tensor.float().numpy()
        if "q_proj" in name or "k_proj" in name:
            weight = _interleaved(weight)
        writer.add_tensor(_gguf_name(name), np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _model, _layers, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_NAMES[rest.removesuffix('.weight')]}.weight"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[LlamaForCausalLM, Path, str]:
    folder = tmp_path_factory.mktemp("convert")
    model = _llama()
    _write_gguf(folder / "weights.gguf", model)
    (folder / "model").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "core.engine.convert", str(folder / "weights.gguf"), str(folder / "model")],
        capture_output=True,
        text=True,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return model, folder / "model", done.stdout


def test_the_converted_model_computes_the_same(converted: tuple[LlamaForCausalLM, Path, str]) -> None:
    model, folder, _output = converted
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = {name: tensor.bfloat16().float() for name, tensor in model.state_dict().items()}
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    tokens = torch.arange(20)[None]
    model.load_state_dict(expected)
    with torch.no_grad():
        assert torch.allclose(loaded(tokens).logits, model(tokens).logits, atol=1e-5)


def test_it_is_an_ordinary_model_folder(converted: tuple[LlamaForCausalLM, Path, str]) -> None:
    _model, folder, output = converted
    info = read_model(folder, "m", "folder")
    assert (info.architecture, info.dtype, info.context_length) == ("LlamaForCausalLM", "bfloat16", 128)
    assert info.has_chat_template
    assert info.problems == ()
    assert "quantization_config" not in json.loads((folder / "config.json").read_bytes())
    assert json.loads((folder / "generation_config.json").read_bytes())["eos_token_id"] == 1
    fractions = [json.loads(line)["fraction"] for line in output.splitlines() if line.startswith("{")]
    assert fractions == [0.0, 0.4, 0.9, 1.0]


def test_the_tokenizer_and_its_template_come_along(converted: tuple[LlamaForCausalLM, Path, str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted[1])
    assert tokenizer.model_max_length == 128
    assert tokenizer.eos_token == "<|im_end|>"
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "he"}], return_dict=False)
    assert ids == [0, _TOKENS.index("he"), 1]
