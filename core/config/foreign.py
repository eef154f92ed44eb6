"""Options of the tools that people come from which finetui does not have, each with the reason and the way around.

An option is never dropped in silence: who types `--num_beams 4` and gets an answer must be able to believe that four
beams made it. Keys that only another verb has are not here; the loader tells those by their name.
"""

from __future__ import annotations

from core.i18n import _


def reason_against(key: str) -> str:
    """Why there is no such option and what to do instead; empty for a key that nobody knows."""
    if key in _REASONS:
        return _(_REASONS[key])
    return next((_(reason) for prefix, reason in _FAMILIES.items() if key.startswith(prefix)), "")


_ONE_BACKEND = "finetui has one engine, its own; leave it out"
_FAST_FORWARD = "finetui picks the attention itself and tells what it picked; leave it out"
_QUANTIZED = "weights are held as float32, bfloat16 or float16 so far; leave it out"
_DTYPE = "use --dtype float16, bfloat16 or float32"
_TRAINED = "it is stored with the adapter and read from there; leave it out"
_OFFLINE = "downloads are a step of their own: finetui models pull"
_TEXT_ONLY = "finetui is for text models; leave it out"

_REASONS = {
    # loading
    "quantization_bit": _QUANTIZED,
    "quantization_method": _QUANTIZED,
    "quantization_type": _QUANTIZED,
    "load_in_8bit": _QUANTIZED,
    "load_in_4bit": _QUANTIZED,
    "double_quantization": _QUANTIZED,
    "device_map": "a model stands on one device: use --device",
    "fp16": _DTYPE,
    "bf16": _DTYPE,
    "pure_bf16": _DTYPE,
    "flash_attn": _FAST_FORWARD,
    "attn_implementation": _FAST_FORWARD,
    "use_unsloth": _FAST_FORWARD,
    "enable_liger_kernel": _FAST_FORWARD,
    "shift_attn": _FAST_FORWARD,
    "use_cache": "the cache is always used; leave it out",
    "use_kv_cache": "the cache is always used; leave it out",
    "infer_backend": _ONE_BACKEND,
    "rope_scaling": "the context stays as long as the model says; leave it out",
    "resize_vocab": "the vocabulary stays as the model has it; leave it out",
    "use_fast_tokenizer": "fast tokenizers are always used; leave it out",
    "split_special_tokens": "special tokens in your text are never obeyed; leave it out",
    "cache_dir": "set HF_HOME in the environment instead",
    "model_revision": _OFFLINE,
    "hf_hub_token": "set HF_TOKEN in the environment instead: a command line can be seen by others",
    "ms_hub_token": _OFFLINE,
    "offload_folder": "a model stands on one device: use --device",
    "low_cpu_mem_usage": "weights are always read straight into their place; leave it out",
    "reward_model": "chat needs no reward model; leave it out",
    "plot_loss": "there is nothing to plot in a chat; leave it out",
    # generation
    "max_length": "it counts the prompt too: use --max_new_tokens for the answer alone",
    "min_length": "an answer ends where the model ends it; leave it out",
    "min_new_tokens": "an answer ends where the model ends it; leave it out",
    "num_beams": "there is no beam search; --temperature 0 takes the likeliest token each time",
    "num_return_sequences": "one answer at a time; the app's compare view shows several side by side",
    "length_penalty": "it belongs to beam search, which finetui does not have",
    "early_stopping": "it belongs to beam search, which finetui does not have",
    "no_repeat_ngram_size": "use --repetition_penalty",
    "presence_penalty": "use --repetition_penalty, which works by another formula",
    "frequency_penalty": "use --repetition_penalty, which works by another formula",
    "typical_p": "use --top_p or --min_p",
    "bad_words_ids": "finetui bans no words; leave it out",
    "skip_special_tokens": "special tokens never stand in an answer; leave it out",
    # what adapters bring with them
    "lora_rank": _TRAINED,
    "lora_alpha": _TRAINED,
    "lora_target": _TRAINED,
    "lora_dropout": _TRAINED,
    "use_rslora": _TRAINED,
    "use_dora": _TRAINED,
    "pre_seq_len": _TRAINED,
    "prefix_projection": _TRAINED,
    "additional_target": _TRAINED,
    "create_new_adapter": "adapters given to chat are loaded as they are; leave it out",
    "source_prefix": "use --default_system, or write it before your question",
    "history_column": "a chat needs no data set; leave it out",
    "dataset": "a chat needs no data set; leave it out",
    "dataset_dir": "a chat needs no data set; leave it out",
}

_FAMILIES = {
    "vllm_": _ONE_BACKEND,
    "sglang_": _ONE_BACKEND,
    "hqq_": _QUANTIZED,
    "bnb_": _QUANTIZED,
    "image_": _TEXT_ONLY,
    "video_": _TEXT_ONLY,
    "audio_": _TEXT_ONLY,
}
