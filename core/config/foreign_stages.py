"""Options and values of other tools that stages besides sft do not have, each with the reason; see
`core.config.foreign`. Those of LLaMA-Factory's RLHF arguments, and of TRL's reward, DPO and PPO configurations."""

from __future__ import annotations

from collections.abc import Mapping

_LOSSES = "the losses are sigmoid, hinge, ipo, orpo and simpo: see --pref_loss; leave it out"
_HELD = "models beside the trained one are held as it is; leave it out"
_CUT = "use --cutoff_len, --max_source_length and --max_target_length"


def _all(reason: str, *keys: str) -> dict[str, str]:
    return dict.fromkeys(keys, reason)


PREFERRING: Mapping[str, str] = {
    **_all(_LOSSES, "pref_bco_weight", "ld_alpha", "loss_weights", "f_divergence_type", "f_alpha_divergence_coef"),
    **_all(_LOSSES, "use_weighting", "discopop_tau", "reference_free"),
    **_all(_CUT, "max_prompt_length", "max_completion_length", "truncation_mode"),
    **_all(_HELD, "ref_model_quantization_bit", "ref_model_init_kwargs"),
    **_all("the reference stays what it is; leave it out", "sync_ref_model", "ref_model_mixup_*"),
    "ref_model_adapters": "name the adapter itself with --ref_model: the model that it stands on is found with it",
    "beta": "use --pref_beta",
    "orpo_beta": "use --pref_beta, with stage dpo and pref_loss orpo",
    "use_ref_model": "whether there is a reference follows from the stage and --pref_loss; leave it out",
    "loss_type": "use --pref_loss",
    "label_smoothing": "use --dpo_label_smoothing, or --label_smoothing_factor in stage sft",
    "rpo_alpha": "use --pref_ftx",
    "precompute_ref_log_probs": "the reference's log-probabilities are always computed once; leave it out",
    "center_rewards_coefficient": "only differences of scores are learnt, --ppo_score_norm centres them; leave it out",
}

_ROLLED = "use --per_device_train_batch_size, --gradient_accumulation_steps and --ppo_buffer_size"

PLAYING: Mapping[str, str] = {
    **_all("use --ppo_epochs", "num_ppo_epochs"),
    **_all("use --max_new_tokens", "response_length"),
    **_all("use --reward_model", "reward_model_path"),
    **_all("use --adapter_name_or_path: what is gone on from is the reference", "sft_model_path"),
    **_all(_ROLLED, "mini_batch_size", "num_mini_batches", "forward_batch_size", "total_episodes", "ppo_steps"),
    **_all("answers are drawn in batches as memory allows; leave it out", "local_rollout_forward_batch_size"),
    **_all("an answer ends where the model ends it; leave it out", "stop_token", "stop_token_id"),
    **_all("use --ppo_score_norm; scores are never cut off", "score_clip", "use_score_clipping", "normalize_reward"),
    **_all("the penalty is the difference of log-probabilities; leave it out", "kl_estimator", "kl_penalty"),
    **_all("use --ppo_target, which moves the penalty instead", "ratio_threshold"),
    **_all("samples are answered at each save: see --probe_prompt", "num_sample_generations"),
    **_all(_HELD, "reward_model_quantization_bit"),
    "ppo_logger": "a run tells everything into its folder, and finetui runs shows it; leave it out",
    "reward_model_adapters": "name the run or adapter itself with --reward_model: its model is found with it",
}

STAGES: Mapping[str, str] = {
    "pt": "training on plain text is no stage here: sft trains on questions and answers, and --train_on_prompt on both",
    "kto": "there is no KTO: pairs of a better and a worse answer train by dpo",
    "orpo": "give stage dpo, with pref_loss orpo",
    "simpo": "give stage dpo, with pref_loss simpo",
    "ipo": "give stage dpo, with pref_loss ipo",
    "reward": "give stage rm",
    "grpo": "give stage ppo: it scores answers by reward_model, too",
    "rlhf": "rm trains a reward model, and ppo with it",
}
"""By what people type as a stage."""

LOSSES: Mapping[str, str] = {
    "kto_pair": "there is no KTO: take sigmoid",
    "dpo": "that is sigmoid",
    "slic": "that is hinge",
}

REWARD_KINDS: Mapping[str, str] = {"oft": "there is no OFT: take a reward model trained by LoRA, or a whole one"}
METHODS_INSTEAD: Mapping[str, str] = {"oft": "there is no OFT: take lora", "ptuning": "give p_tuning"}
