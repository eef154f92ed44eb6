"""Options of other tools: those that there are not are told with a reason that fits what is being done."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import foreign
from core.config.evaluation import EVALUATION, PredictStageOptions
from core.config.fields import describe
from core.config.foreign import is_one_of, reason_against
from core.config.generation import GenerationOptions
from core.config.load import load
from core.config.model import ModelOptions
from core.config.training import TRAINING
from core.errors import ConfigError

CHAT = (ModelOptions, GenerationOptions)
PREDICTION = (*EVALUATION, PredictStageOptions)

# transformers 5.23, Seq2SeqTrainingArguments; and what LLaMA-Factory 0.9.5 and 0.6.1, ChatGLM-Efficient-Tuning and
# THUDM's ptuning take in a supervised training.
OF_TRAINER = """
output_dir per_device_train_batch_size num_train_epochs max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs
warmup_steps optim optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon optim_target_modules
gradient_accumulation_steps average_tokens_across_devices max_grad_norm label_smoothing_factor bf16 fp16 bf16_full_eval
fp16_full_eval tf32 gradient_checkpointing gradient_checkpointing_kwargs torch_compile torch_compile_backend
torch_compile_mode use_liger_kernel liger_kernel_config use_cache neftune_noise_alpha torch_empty_cache_steps
auto_find_batch_size logging_strategy logging_steps logging_first_step log_on_each_node logging_nan_inf_filter
include_num_input_tokens_seen log_level log_level_replica disable_tqdm report_to run_name project trackio_space_id
eval_strategy eval_steps eval_delay per_device_eval_batch_size prediction_loss_only eval_on_start
eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics
save_only_model save_strategy save_steps save_on_each_node save_total_limit enable_jit_checkpoint push_to_hub hub_token
hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision load_best_model_at_end metric_for_best_model
greater_is_better ignore_data_skip restore_callback_states_from_checkpoint full_determinism seed data_seed use_cpu
accelerator_config parallelism_config dataloader_drop_last dataloader_num_workers dataloader_pin_memory
dataloader_persistent_workers dataloader_prefetch_factor remove_unused_columns label_names train_sampling_strategy
length_column_name ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend
ddp_timeout fsdp fsdp_config deepspeed debug skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint
warmup_ratio logging_dir local_rank sortish_sampler predict_with_generate generation_max_length generation_num_beams
generation_config overwrite_output_dir no_cuda save_safetensors evaluation_strategy
"""
OF_FACTORY = """
model_name_or_path adapter_name_or_path cache_dir use_fast_tokenizer resize_vocab split_special_tokens
model_revision low_cpu_mem_usage rope_scaling flash_attn shift_attn mixture_of_depths use_unsloth enable_liger_kernel
moe_aux_loss_coef disable_gradient_checkpointing upcast_layernorm upcast_lmhead_output infer_backend hf_hub_token
ms_hub_token trust_remote_code quantization_method quantization_bit quantization_type double_quantization template
dataset eval_dataset dataset_dir cutoff_len train_on_prompt mask_history streaming buffer_size mix_strategy
interleave_probs overwrite_cache preprocessing_batch_size preprocessing_num_workers max_samples eval_num_beams
ignore_pad_token_for_loss val_size eval_on_each_dataset packing neat_packing tool_format default_system
enable_thinking tokenized_path data_shared_file_system pure_bf16 stage finetuning_type use_llama_pro freeze_vision_tower
compute_accuracy disable_shuffling early_stopping_steps plot_loss include_effective_tokens_per_second
freeze_trainable_layers freeze_trainable_modules freeze_extra_modules additional_target lora_alpha lora_dropout
lora_rank lora_target loraplus_lr_ratio loraplus_lr_embedding use_rslora use_dora pissa_init pissa_iter pissa_convert
create_new_adapter pref_beta pref_ftx pref_loss dpo_label_smoothing kto_chosen_weight simpo_gamma ppo_buffer_size
ppo_epochs ppo_score_norm ppo_target ref_model reward_model reward_model_type use_galore galore_rank use_apollo
use_badam use_adam_mini use_muon swanlab_project use_swanlab ray_num_workers num_layer_trainable name_module_trainable
pre_seq_len prefix_projection checkpoint_dir resume_lora_training source_prefix max_source_length max_target_length
prompt_column response_column history_column ptuning_checkpoint train_file validation_file test_file dev_ratio
temperature top_p top_k num_beams max_new_tokens repetition_penalty reserved_label_len cache_path dpo_beta dpo_loss
dpo_ftx dpo_label_smoothing orpo_beta pref_bco_weight ld_alpha kto_rejected_weight ppo_logger ppo_whiten_rewards
ref_model_adapters ref_model_quantization_bit reward_model_adapters reward_model_quantization_bit
"""


def test_every_option_of_a_supervised_training_is_taken_or_refused_with_a_reason() -> None:
    known = {name for spec in describe(*TRAINING) for name in (spec.name, *spec.aliases)}
    tables = [section.elsewhere for section in TRAINING]
    asked = (OF_TRAINER + OF_FACTORY).split()
    assert [key for key in asked if key not in known and not reason_against(key, tables)] == []


def test_every_option_of_a_training_is_taken_or_refused_with_a_reason_in_a_prediction() -> None:
    known = {name for spec in describe(*PREDICTION) for name in (spec.name, *spec.aliases)}
    tables = [section.elsewhere for section in PREDICTION]
    anyway = [name for section in PREDICTION for name in section.anyway]
    asked = (OF_TRAINER + OF_FACTORY).split() + [spec.name for spec in describe(*TRAINING)]
    told = {key: reason_against(key, tables) for key in asked if key not in known and not is_one_of(key, anyway)}
    assert [key for key, reason in told.items() if not reason] == []
    assert told["learning_rate"] == "nothing is trained here; leave it out"
    assert told["lora_alpha"].startswith("it is stored with the adapter")
    assert told["val_size"].startswith("every row of a test set is asked")


def test_what_changes_no_answer_is_taken_whatever_its_value(tmp_path: Path) -> None:
    file = tmp_path / "predict.yaml"
    file.write_text("overwrite_cache: true\npreprocessing_num_workers: 16\ndataloader_num_workers: 4\nddp_timeout: 9\n")
    assert load(PREDICTION, file=file).values() == load(PREDICTION).values()
    with pytest.raises(ConfigError) as caught:
        load(PREDICTION, arguments=("--stage", "dpo", "--report_to", "wandb", "--do_predict", "false", "--do_train"))
    assert [problem.where for problem in caught.value.problems] == [
        "--stage",
        "--do_train",
        "--do_predict",
        "--report_to",
    ]


def test_two_names_of_one_option_are_not_both_taken_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "predict.yaml"
    file.write_text("dataset: a\neval_dataset: b\n")
    with pytest.raises(ConfigError) as caught:
        load(PREDICTION, file=file)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{file}:2: eval_dataset: is another name of dataset, which is given already: {file}:1: dataset "
        "(give one of the two)"
    ]


def test_no_reason_stands_against_an_option_that_there_is() -> None:
    for sections in (TRAINING, CHAT, PREDICTION):
        known = {name for spec in describe(*sections) for name in (spec.name, *spec.aliases)}
        assert known & {key for section in sections for key in section.elsewhere} == set()


def test_the_reason_fits_the_verb() -> None:
    def told(sections: object, *words: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(sections, arguments=words)  # type: ignore[arg-type]
        (problem,) = caught.value.problems
        assert problem.what == "is no option here"
        return problem.hint

    assert told(CHAT, "--plot_loss") == "there is nothing to plot in a chat; leave it out"
    assert told(CHAT, "--num_beams", "4").startswith("there is no beam search")
    assert told(TRAINING, "--num_beams", "4").startswith("probes are answered with the likeliest tokens, and ppo draws")
    assert told(TRAINING, "--reward_model_adapters", "x").startswith(
        "name the run or adapter itself with --reward_model"
    )
    assert told(TRAINING, "--ref_model_adapters", "x").startswith("name the adapter itself with --ref_model")
    assert told(TRAINING, "--kto_chosen_weight", "2").startswith("there is no KTO")
    assert told(TRAINING, "--mini_batch_size", "2").startswith("use --per_device_train_batch_size")
    assert told(PREDICTION, "--ppo_target", "6") == "nothing is trained here; leave it out"
    assert told(PREDICTION, "--reward_model_type", "lora").startswith("it is read from the reward model's own files")
    assert told(TRAINING, "--predict_with_generate").startswith("answering test sets is an evaluation: finetui eval")
    assert told(TRAINING, "--predict_dataset", "x").startswith("stage rm scores the pairs of --eval_dataset")
    assert told(TRAINING, "--do_eval").startswith("eval_dataset or val_size tells the loss")


def test_what_asks_for_nothing_is_taken_and_what_asks_for_more_is_not(tmp_path: Path) -> None:
    asks = "use_unsloth: {off}\npissa_init: {off}\nstreaming: {off}\nuse_fast_tokenizer: {on}\nflash_attn: {auto}\n"
    file = tmp_path / "factory.yaml"
    file.write_text("deepspeed: null\nrope_scaling:\n" + asks.format(off="false", on="true", auto="auto"))
    assert load(TRAINING, file=file).values() == load(TRAINING).values()
    assert load(TRAINING, arguments=("--do_predict", "False")).values() == load(TRAINING).values()
    file.write_text("deepspeed: ds.json\n" + asks.format(off="true", on="false", auto="fa2"))
    with pytest.raises(ConfigError) as caught:
        load(TRAINING, file=file)
    assert [problem.what for problem in caught.value.problems] == ["is no option here"] * 6
    file.write_text("no_such_option: null\n")
    with pytest.raises(ConfigError, match="is no option"):
        load(TRAINING, file=file)


def test_every_value_that_is_so_anyway_belongs_to_an_option_that_is_refused_otherwise() -> None:
    tables = [section.elsewhere for section in (*TRAINING, *CHAT)]
    known = {name for spec in describe(*TRAINING) for name in (spec.name, *spec.aliases)}
    assert [key for key in foreign._SO_ANYWAY if key in known or not reason_against(key, tables)] == []


def test_an_exact_name_goes_before_its_family() -> None:
    tables = [{"bnb_*": "the family"}, {"bnb_one": "this one"}]
    assert reason_against("bnb_one", tables) == "this one"
    assert reason_against("bnb_two", tables) == "the family"
    assert reason_against("other", tables) == ""


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("stage", "orpo", "give stage dpo, with pref_loss orpo"),
        ("stage", "ORPO", "give stage dpo, with pref_loss orpo"),
        ("stage", "simpo", "give stage dpo, with pref_loss simpo"),
        ("stage", "reward", "give stage rm"),
        ("stage", "kto", "there is no KTO: pairs of a better and a worse answer train by dpo"),
        ("stage", "ppo2", "did you mean 'ppo'?"),
        ("pref_loss", "kto_pair", "there is no KTO: take sigmoid"),
        ("reward_model_type", "oft", "there is no OFT: take a reward model trained by LoRA, or a whole one"),
        ("finetuning_type", "oft", "there is no OFT: take lora"),
    ],
)
def test_a_value_of_another_tool_is_answered_with_what_there_is_instead(option: str, value: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TRAINING, values={option: value})
    (problem,) = caught.value.problems
    assert problem.what.startswith("expected one of ")
    assert problem.hint == hint


def test_what_every_stage_takes_by_the_names_of_other_tools(tmp_path: Path) -> None:
    file = tmp_path / "ppo.yaml"
    file.write_text("stage: ppo\nreward_model: rm\ntop_k: 0\ntop_p: 1.0\ninit_kl_coef: 0.1\nkto_chosen_weight: 1.0\n")
    values = load(TRAINING, file=file).values()
    assert (values["stage"], values["reward_model"], values["ppo_kl_coef"]) == ("ppo", "rm", 0.1)
    old = load(TRAINING, values={"stage": "dpo", "dpo_beta": 0.3, "dpo_loss": "ipo", "dpo_ftx": 1}).values()
    assert (old["pref_beta"], old["pref_loss"], old["pref_ftx"]) == (0.3, "ipo", 1.0)
    file.write_text("stage: ppo\nreward_model: rm\ntop_p: 0.9\n")
    with pytest.raises(ConfigError, match="ppo draws from all of them by temperature"):
        load(TRAINING, file=file)
