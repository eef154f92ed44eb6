"""Options of other tools that an evaluation does not have, each with the reason; see `core.config.foreign`.

Files for predictions are often those of a training with a word changed, so every option of trainings is known here too.
"""

from __future__ import annotations

from core.config.foreign import GENERATING, METHODS, MOVING, ROWS, WRITING

_NOT_TRAINED = "nothing is trained here; leave it out"
_NO_PART = "it has no part in answering test sets; leave it out"
_TUNED = "it is stored with the adapter and read from there; leave it out"
_ASKED = "test sets are asked one by one; leave it out"


def _all(reason: str, *keys: str) -> dict[str, str]:
    return dict.fromkeys(keys, reason)


TESTED_ROWS = {
    "on_long_rows": "prompts are never cut inside a turn, and answers end at max_new_tokens: use --cutoff_len",
    **_all(_ASKED, "mix_strategy", "interleave_probs", "packing", "neat_packing", "shuffle", "disable_shuffling"),
    **_all(
        "every row of a test set is asked; leave it out", "val_size", "dev_ratio", "train_on_prompt", "mask_history"
    ),
    "tool_format": "rows with tools are not asked; leave it out",
    "split": ROWS["split"],
    **_all("the set that is answered is named by dataset or test_file; leave it out", "train_file", "validation_file"),
    **_all("test sets are read from their files each time; leave it out", "streaming", "tokenized_path", "cache_path"),
}
READ_ANYWAY = (
    *("overwrite_cache", "preprocessing_num_workers", "preprocessing_batch_size", "dataloader_*", "data_seed"),
    *("data_shared_file_system", "remove_unused_columns", "ignore_pad_token_for_loss", "eval_on_each_dataset"),
)
"""How rows are read and kept, which changes no answer."""

PREDICTING = {
    **GENERATING,
    "num_return_sequences": "use --repeats: every repeat is told, and how much they vary",
    **_all(GENERATING["num_beams"], "generation_num_beams", "eval_num_beams"),
    "generation_config": "options stand in this file and on the command line; leave it out",
}
TUNED = {
    **_all(_TUNED, "lora_*", "loraplus_*", "use_rslora", "use_dora", "pre_seq_len", "prefix_projection"),
    **_all(_TUNED, "additional_target", "modules_to_save", "freeze_*", "num_layer_trainable", "name_module_trainable"),
    "create_new_adapter": "adapters are evaluated as they are; leave it out",
    **_all(METHODS["load_in_8bit"], "load_in_8bit", "load_in_4bit", "hqq_*", "bnb_*"),
    **_all(METHODS["load_in_8bit"], "quantization_method", "quantization_type"),
}

_OWN = ("do_predict", "predict_with_generate", "generation_max_length", "test_file", "do_sample", "temperature")
_OWN_TOO = ("predict_dataset", "top_p", "top_k", "max_new_tokens", "repetition_penalty", "skip_special_tokens")
_OF_TRAININGS = (
    *("per_device_train_batch_size", "train_batch_size", "gradient_accumulation_steps", "learning_rate", "lr", "optim"),
    *("num_train_epochs", "epochs", "max_steps", "lr_scheduler_type", "warmup_*", "weight_decay", "adam_*", "save_*"),
    *("max_grad_norm", "label_smoothing_factor", "gradient_checkpointing", "plot_loss", "early_stopping_*"),
    *("load_best_model_at_end", "metric_for_best_model", "greater_is_better", "eval_strategy", "evaluation_strategy"),
    *("eval_steps", "probe_*", "torch_compile", "neftune_noise_alpha", "loss*"),
    *("pref_*", "dpo_*", "simpo_*", "kto_*", "ppo_*", "ref_model", "ref_model_*", "kl_*", "init_kl_coef"),
    *("adap_kl_ctrl", "target_kl", "horizon", "use_score_*", "whiten_rewards", "gamma", "lam", "cliprange*", "vf_coef"),
    *("missing_eos_penalty", "orpo_beta", "ld_alpha", "use_ref_model"),
)
EVALUATING = {
    **{key: _NO_PART for key in (*METHODS, *ROWS, *MOVING, *WRITING) if key not in (*_OWN, *_OWN_TOO)},
    **_all(_NOT_TRAINED, *_OF_TRAININGS),
    "do_eval": "--reference_loss tells loss and perplexity of the reference answers; leave it out",
    "resume_from_checkpoint": "use --resume, with --output_dir",
    "run_name": WRITING["run_name"],
    **_all("one process answers; leave it out", "nproc_per_node", "num_processes", "deepspeed", "fsdp*"),
    **_all(MOVING["tf32"], "bf16_full_eval", "fp16_full_eval", "tf32"),
    **_all(MOVING["use_cpu"], "use_cpu", "no_cuda", "use_mps_device"),
    **_all(WRITING["push_to_hub*"], "push_to_hub*", "hub_*"),
    "reward_model_*": "it is read from the reward model's own files; leave it out",
    "compute_accuracy": "exact_match is the share of right answers; leave it out",
}
WRITTEN_ANYWAY = ("ddp_timeout", "logging_dir", "logging_strategy", "logging_first_step", "log_level*", "disable_tqdm")
"""How the others tell and keep in touch, which changes no answer."""
