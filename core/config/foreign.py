"""Options of the tools that people come from which finetui does not have, each with the reason and the way around.

An option is never dropped in silence: who types `--num_beams 4` and gets an answer must be able to believe that four
beams made it. A value that asks for nothing, or for what finetui does anyway (`deepspeed: null`, `use_unsloth: false`),
is taken: files of other tools are full of them. The reasons depend on what is being done, so each section brings the
table of those who look for an option in it (`Section.elsewhere`); a key that ends in `*` stands for all that begin like
it. Keys that only another verb has are not here; the loader tells those by their name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.i18n import _


def reason_against(key: str, tables: Iterable[Mapping[str, str]]) -> str:
    """Why there is no such option and what to do instead; empty for a key that nobody knows."""
    families: list[str] = []
    for table in tables:
        if key in table:
            return _(table[key])
        families += (table[name] for name in table if name.endswith("*") and key.startswith(name[:-1]))
    return _(families[0]) if families else ""


def is_so_anyway(key: str, value: object) -> bool:
    """Whether what is wanted of an option that finetui does not have is what happens without it."""
    return value is None or str(value).lower() in _SO_ANYWAY.get(key, ())


def is_one_of(key: str, names: Iterable[str]) -> bool:
    """Whether a key is among some names; one that ends in `*` stands for all that begin like it."""
    return any(key == name or (name.endswith("*") and key.startswith(name[:-1])) for name in names)


_OFF, _ON, _EITHER = ("false",), ("true",), ("false", "true")
_SO_ANYWAY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("use_unsloth", "use_unsloth_gc", "enable_liger_kernel", "use_liger_kernel", "shift_attn"), _OFF),
    **dict.fromkeys(
        ("use_v1_kernels", "resize_vocab", "use_llama_pro", "pissa_init", "pissa_convert", "use_oft"), _OFF
    ),
    **dict.fromkeys(("use_galore", "use_apollo", "use_badam", "use_adam_mini", "use_muon", "use_dft_loss"), _OFF),
    **dict.fromkeys(("do_eval", "predict_with_generate", "push_to_hub", "use_swanlab", "use_ray"), _OFF),
    **dict.fromkeys(("streaming", "group_by_length", "tf32", "bf16_full_eval", "fp16_full_eval", "use_cpu"), _OFF),
    **dict.fromkeys(("no_cuda", "full_determinism", "ignore_data_skip", "ddp_find_unused_parameters"), _OFF),
    **dict.fromkeys(("disable_gradient_checkpointing", "upcast_layernorm", "disable_shuffling"), _OFF),
    **dict.fromkeys(("use_fast_tokenizer", "low_cpu_mem_usage", "save_safetensors", "double_quantization"), _ON),
    "resume_lora_training": _ON,
    # of no consequence for what finetui trains, or told whether asked for or not
    **dict.fromkeys(
        ("freeze_vision_tower", "freeze_multi_modal_projector", "compute_accuracy", "disable_tqdm"), _EITHER
    ),
    **dict.fromkeys(("include_num_input_tokens_seen", "include_tokens_per_second", "skip_memory_metrics"), _EITHER),
    **dict.fromkeys(("dataloader_pin_memory", "dataloader_persistent_workers", "remove_unused_columns"), _EITHER),
    **dict.fromkeys(("num_beams", "generation_num_beams", "eval_num_beams", "num_return_sequences"), ("1",)),
    "no_repeat_ngram_size": ("0",),
    "length_penalty": ("1", "1.0"),
    "skip_special_tokens": _ON,
    "flash_attn": ("auto",),
    "infer_backend": ("huggingface", "hf"),
    "model_revision": ("main",),
    "quantization_method": ("bnb", "bitsandbytes"),
    "quantization_type": ("nf4",),
    **dict.fromkeys(("kto_chosen_weight", "kto_rejected_weight", "repetition_penalty", "top_p"), ("1", "1.0")),
    "top_k": ("0", "-1"),
    "pref_bco_weight": ("0", "0.0"),
    "ld_alpha": ("1", "1.0"),
    "score_clip": ("0", "0.0"),
    **dict.fromkeys(("reference_free", "sync_ref_model", "normalize_reward", "use_score_clipping"), _OFF),
    "precompute_ref_log_probs": _EITHER,
    "kl_estimator": ("k1",),
    "kl_penalty": ("kl",),
}


def _all(reason: str, *keys: str) -> dict[str, str]:
    return dict.fromkeys(keys, reason)


_QUANTIZED = "weights are held as float32, bfloat16 or float16 so far; leave it out"

LOADING = {
    **_all("finetui has one engine, its own; leave it out", "infer_backend", "vllm_*", "sglang_*", "use_kt", "kt_*"),
    **_all(
        "finetui picks the attention and its kernels itself and tells what it picked; leave it out",
        *("flash_attn", "attn_implementation", "use_unsloth", "use_unsloth_gc", "enable_liger_kernel"),
        *("use_liger_kernel", "liger_kernel_config", "shift_attn", "use_v1_kernels"),
    ),
    **_all("finetui is for text models; leave it out", "image_*", "video_*", "audio_*", "crop_to_patches", "media_dir"),
    **_all("downloads are a step of their own: finetui models pull", "model_revision", "ms_hub_token", "om_hub_token"),
    **_all("set HF_TOKEN in the environment instead: a command line can be seen by others", "hf_hub_token"),
    **_all("a model stands on one device: use --device", "device_map", "offload_folder"),
    **_all("the cache is always used; leave it out", "use_cache", "use_kv_cache"),
    "rope_scaling": "the context stays as long as the model says; leave it out",
    "resize_vocab": "the vocabulary stays as the model has it; leave it out",
    "add_tokens": "the vocabulary stays as the model has it; leave it out",
    "add_special_tokens": "the vocabulary stays as the model has it; leave it out",
    "use_fast_tokenizer": "fast tokenizers are always used; leave it out",
    "split_special_tokens": "special tokens in your text are never obeyed; leave it out",
    "cache_dir": "set HF_HOME in the environment instead",
    "low_cpu_mem_usage": "weights are always read straight into their place; leave it out",
}

_DTYPE = "use --dtype float16, bfloat16 or float32"
_TRAINED = "it is stored with the adapter and read from there; leave it out"
_NO_DATA = "a chat needs no data set; leave it out"

CHATTING = {
    **_all(_QUANTIZED, "quantization_bit", "quantization_method", "quantization_type", "load_in_8bit", "load_in_4bit"),
    **_all(_QUANTIZED, "double_quantization", "hqq_*", "bnb_*"),
    **_all(_DTYPE, "fp16", "bf16", "pure_bf16"),
    **_all(_TRAINED, "lora_rank", "lora_alpha", "lora_target", "lora_dropout", "use_rslora", "use_dora"),
    **_all(_TRAINED, "pre_seq_len", "prefix_projection", "additional_target"),
    **_all(_NO_DATA, "history_column", "dataset", "dataset_dir"),
    "reward_model": "chat needs no reward model; leave it out",
    "plot_loss": "there is nothing to plot in a chat; leave it out",
    "create_new_adapter": "adapters given to chat are loaded as they are; leave it out",
    "source_prefix": "use --default_system, or write it before your question",
}

_BEAMS = "it belongs to beam search, which finetui does not have"
_FORMULA = "use --repetition_penalty, which works by another formula"
_ENDS = "an answer ends where the model ends it; leave it out"

GENERATING = {
    **_all(_BEAMS, "length_penalty", "early_stopping"),
    **_all(_FORMULA, "presence_penalty", "frequency_penalty"),
    **_all(_ENDS, "min_length", "min_new_tokens"),
    "max_length": "it counts the prompt too: use --max_new_tokens for the answer alone",
    "num_beams": "there is no beam search; --temperature 0 takes the likeliest token each time",
    "num_return_sequences": "one answer at a time; the app's compare view shows several side by side",
    "no_repeat_ngram_size": "use --repetition_penalty",
    "typical_p": "use --top_p or --min_p",
    "bad_words_ids": "finetui bans no words; leave it out",
    "skip_special_tokens": "special tokens never stand in an answer; leave it out",
}

_KTO = "there is no KTO: pairs of a better and a worse answer train by --stage dpo; leave it out"
PREDICTS = "answering test sets is an evaluation: finetui eval, or train with do_predict in the place of do_train"
_EVALUATES = (
    "eval_dataset or val_size tells the loss on rows kept apart while it trains, finetui eval --reference_loss that of "
    "any set; leave it out"
)
_GREEDY = "a training answers its probe prompts alone, always with the likeliest tokens; leave it out"
_DRAWN = "probes are answered with the likeliest tokens, and ppo draws from all of them by temperature; leave it out"
_QUANT_BIT = "use --quantization_bit 4 or 8"
_VARIANT = "finetui has LoRA with rsLoRA, DoRA and LoRA+; leave it out"

METHODS = {
    "kto_*": _KTO,
    "do_eval": _EVALUATES,
    **_all(PREDICTS, "predict_with_generate", "generation_config", "generation_max_length"),
    **_all(PREDICTS, "generation_num_beams"),
    **_all(_DRAWN, "do_sample", "top_p", "top_k", "num_beams", "max_length"),
    **_all(_DRAWN, "repetition_penalty", "length_penalty", "skip_special_tokens"),
    **_all(_QUANT_BIT, "load_in_8bit", "load_in_4bit", "quantization_method", "quantization_type", "hqq_*", "bnb_*"),
    "double_quantization": "4 bits are always double quantised; leave it out",
    **_all(_VARIANT, "pissa_*", "use_oft", "oft_*", "module_dropout", "lora_bias", "use_llama_pro"),
    **_all("there is no such optimiser: see --optim", "use_galore", "galore_*", "use_apollo", "apollo_*", "use_badam"),
    **_all("there is no such optimiser: see --optim", "badam_*", "use_adam_mini", "use_muon"),
    **_all("the loss is cross entropy over the answers; leave it out", "use_dft_loss", "use_asft_loss", "asft_alpha"),
    **_all("the loss is cross entropy over the answers; leave it out", "use_eaft_loss", "eaft_alpha"),
    **_all("finetui is for text models; leave it out", "freeze_vision_tower", "freeze_multi_modal_projector"),
    "freeze_language_model": "finetui is for text models; leave it out",
    **_all("what is trained is held in float32 already; leave it out", "upcast_layernorm", "upcast_lmhead_output"),
    "resume_lora_training": "false is --create_new_adapter; true is what happens without it",
    "compute_accuracy": "evaluations always tell the accuracy of next tokens; leave it out",
    **_all("the model is trained as it is; leave it out", "mixture_of_depths", "moe_aux_loss_coef"),
    "print_param_status": "the run's first events say what is trained; leave it out",
    "disable_gradient_checkpointing": "use --gradient_checkpointing false",
}

_ALL_TOKENS = "rows are tokenised once, cached by their content, and read from a memory map; leave it out"

ROWS = {
    **_all(_ALL_TOKENS, "streaming", "buffer_size", "tokenized_path", "cache_path", "preprocessing_batch_size"),
    **_all(_ALL_TOKENS, "data_shared_file_system", "remove_unused_columns", "label_names", "dataloader_*"),
    "eval_on_each_dataset": "each data set of eval_dataset is always told by itself; leave it out",
    "eval_num_beams": _GREEDY,
    "reserved_label_len": "answers keep their end by on_long_rows; leave it out",
    "tool_format": "rows with tools are not trained on; leave it out",
    "dev_ratio": "use --val_size",
    "train_file": "use --dataset FILE",
    "test_file": PREDICTS,
    "predict_dataset": "stage rm scores the pairs of --eval_dataset at its end; other sets are for finetui eval",
    "split": "it stands in dataset_info.json, with the data set",
    "disable_shuffling": "use --shuffle false",
    **_all(
        "rows of similar length are put together where that saves something; leave it out",
        *("group_by_length", "length_column_name", "train_sampling_strategy", "sortish_sampler"),
    ),
}

_EXACT = "a resume always goes on exactly; leave it out"
_PRECISION = "use --bf16, --fp16 or --dtype"
_CHECKPOINTING = "use --gradient_checkpointing true, false or auto"
_ONE_WAY = "it is as finetui always does it, or has no meaning there; leave it out"

MOVING = {
    **_all("a schedule has no parameters of its own here; leave it out", "lr_scheduler_kwargs", "cosine_min_lr_ratio"),
    **_all("an optimiser has no parameters beside the adam_ ones; leave it out", "optim_args", "optim_target_modules"),
    **_all(_PRECISION, "bf16_full_eval", "fp16_full_eval", "tf32", "half_precision_backend", "fp16_opt_level", "fp8*"),
    **_all(_CHECKPOINTING, "gradient_checkpointing_kwargs", "activation_checkpointing*", "use_reentrant_gc"),
    **_all("torch_compile chooses it; leave it out", "torch_compile_backend", "torch_compile_mode"),
    **_all(_EXACT, "ignore_data_skip", "restore_callback_states_from_checkpoint"),
    **_all(_ONE_WAY, "average_tokens_across_devices", "torch_empty_cache_steps", "full_determinism"),
    "auto_find_batch_size": "out of memory halves the batch by itself and keeps what is learnt; leave it out",
    **_all("use --device cpu", "use_cpu", "no_cuda", "use_mps_device"),
}

_TOLD = "a run tells everything into its folder, and finetui runs shows it; leave it out"
_UPLOADS = "finetui uploads nothing; leave it out"
_SENDS = "finetui sends nothing anywhere; leave it out"
_PARALLEL = "several processes share the rows, no more; use --nproc_per_node"

WRITING = {
    **_all(_TOLD, "logging_dir", "logging_strategy", "logging_first_step", "log_on_each_node", "log_level*"),
    **_all(_TOLD, "disable_tqdm", "include_num_input_tokens_seen", "include_tokens_per_second", "skip_memory_metrics"),
    **_all(_TOLD, "include_effective_tokens_per_second", "include_for_metrics", "include_inputs_for_metrics", "debug"),
    "logging_nan_inf_filter": "a loss that is no number ends the run with the reason; leave it out",
    "run_name": "a run has its folder's name: use --output_dir",
    **_all(_SENDS, "project", "trackio_*", "swanlab_*", "use_swanlab"),
    **_all("evaluations begin with the first eval_steps; leave it out", "eval_delay", "eval_on_start"),
    **_all(_ONE_WAY, "prediction_loss_only", "eval_do_concat_batches", "eval_use_gather_object", "batch_eval_metrics"),
    **_all(_ONE_WAY, "eval_accumulation_steps", "save_on_each_node", "local_rank", "past_index"),
    "save_safetensors": "weights are always saved as safetensors; leave it out",
    "enable_jit_checkpoint": "a run that is told to end saves; leave it out",
    **_all(_UPLOADS, "push_to_hub*", "hub_*", "export_*"),
    **_all(_PARALLEL, "fsdp*", "deepspeed", "accelerator_config", "parallelism_config", "tensor_parallel_size"),
    **_all(_PARALLEL, "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
    **_all(
        _PARALLEL, "ddp_backend", "ray_*", "use_ray", "use_mca", "nnodes", "node_rank", "master_addr", "master_port"
    ),
}
