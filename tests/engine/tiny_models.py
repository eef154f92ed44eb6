"""Tiny random models, made on the spot: small enough for a test, whole enough for every path of the engine.

A byte-level tokenizer knows every text; models have two to four layers, grouped heads and, where the family knows it, a
sliding window shorter than the texts of the tests.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 256 + len(SPECIALS)
WIDTH = 48
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 80,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "eos_token_id": 0,
    "bos_token_id": 0,
    "pad_token_id": 0,
}


def _config(kind: str) -> transformers.PretrainedConfig:
    if kind == "llama":
        return transformers.LlamaConfig(**_COMMON, num_hidden_layers=2, attention_bias=True, tie_word_embeddings=True)
    if kind == "llama3":  # scaled rotary angles, biases in the MLP
        rope = {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
        return transformers.LlamaConfig(**_COMMON, num_hidden_layers=2, mlp_bias=True, rope_parameters=rope)
    if kind == "qwen2":
        return transformers.Qwen2Config(
            **_COMMON, num_hidden_layers=4, use_sliding_window=True, sliding_window=20, max_window_layers=2
        )
    if kind == "qwen3":
        return transformers.Qwen3Config(**_COMMON, num_hidden_layers=3)
    if kind == "mistral":
        return transformers.MistralConfig(**_COMMON, num_hidden_layers=2, sliding_window=24)
    if kind == "gemma3":
        return transformers.Gemma3TextConfig(
            **_COMMON,
            num_hidden_layers=4,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"] * 2,
            query_pre_attn_scalar=24,
            final_logit_softcapping=30.0,
        )
    if kind == "olmo2":  # outside the fast forward's families
        return transformers.Olmo2Config(**{**_COMMON, "num_hidden_layers": 2})
    raise ValueError(kind)


def make_model(folder: Path, kind: str, *, seed: int = 0, chat_template: str | None = CHATML) -> Path:
    """A random model of a family with a tokenizer, saved as safetensors."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_config(_config(kind), dtype=torch.float32)
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):  # or they would all be ones and zeros, and prove nothing
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    save_tokenizer(folder, chat_template)
    return folder


def save_tokenizer(folder: Path, chat_template: str | None = CHATML) -> None:
    """A byte-level tokenizer: ids 0…2 are specials, the rest are the 256 bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i + len(SPECIALS) for i, token in enumerate(alphabet)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary | {s: i for i, s in enumerate(SPECIALS)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIALS))
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    if chat_template is not None:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def train_adapter(model_folder: Path, folder: Path, *, steps: int = 30, seed: int = 0, **options: Any) -> Path:
    """An adapter by some steps of PEFT LoRA in plain torch."""
    import peft

    torch.manual_seed(seed)
    base = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options})
    model = peft.get_peft_model(base, config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    batch = torch.randint(len(SPECIALS), VOCABULARY, (2, 24))
    for _ in range(steps):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def make_classifier(folder: Path, labels: int = 1) -> Path:
    """A sequence classifier in the tiny llama's form; with one label it scores texts."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=labels,
        pad_token_id=2,  # the token that answers end with
        max_position_embeddings=512,
    )
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def reference_model(folder: Path, adapter: Path | None = None) -> Any:
    """The same model by transformers, and by PEFT where there is an adapter."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter is None:
        return model
    import peft

    return peft.PeftModel.from_pretrained(model, str(adapter)).eval()


def greedy_reference(model: Any, prompt: list[int], count: int, end_ids: set[int]) -> list[int]:
    """`transformers.generate`, greedy, with nothing of the model's own generation defaults."""
    config = transformers.GenerationConfig(
        max_new_tokens=count, do_sample=False, eos_token_id=sorted(end_ids), pad_token_id=0
    )
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return output[0, len(prompt) :].tolist()


def assert_equal_greedy(model: Any, prompt: list[int], ours: list[int], theirs: list[int]) -> None:
    """Token for token; a first difference has to be a near-tie (DESIGN §7)."""
    if ours == theirs:
        return
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + theirs[:at]])).logits[0, -1]
    best, second = logits.topk(2).values.tolist()
    assert best - second < 1e-3, f"answers differ at token {at}, {best - second:.4f} apart: {ours} {theirs}"
