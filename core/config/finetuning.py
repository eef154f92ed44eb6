"""What is trained: a stage, a method, and the numbers of the method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown, SplitAt
from core.config.foreign import METHODS
from core.config.foreign_stages import METHODS_INSTEAD, STAGES
from core.errors import Problem
from core.i18n import _

_LORA_ONLY = ("use_rslora", "use_dora", "create_new_adapter", "additional_target", "loraplus_lr_ratio")


class FinetuningOptions(Section):
    """What is trained."""

    title: ClassVar[str] = "Method"
    elsewhere: ClassVar[Mapping[str, str]] = METHODS
    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {"stage": STAGES, "finetuning_type": METHODS_INSTEAD}

    stage: Literal["sft", "rm", "dpo", "ppo"] = "sft"
    """sft: supervised, on questions and answers. rm: a reward model, on pairs of answers with the better one named.
    dpo: on such pairs, without a reward model. ppo: on questions, whose answers a reward model scores."""

    do_train: bool = True
    """Train; this is what the verb does."""

    do_predict: bool = False
    """rm: tell in predict_results.json what the scores of the evaluation pairs come to when the training has ended."""

    finetuning_type: Literal["lora", "p_tuning", "freeze", "full"] = "lora"
    """lora: small factors beside the weights. p_tuning: a prefix at every layer (P-Tuning v2). freeze: some layers.
    full: all weights."""

    adapter_name_or_path: Annotated[
        tuple[str, ...], SplitAt(","), Also("adapter", "checkpoint_dir", "ptuning_checkpoint"), Shown("ADAPTER,…")
    ] = ()
    """Adapters to go on from: all but the last are merged into the model in this order, the last is trained further."""

    create_new_adapter: bool = False
    """Merge all adapters that are given, and train a new one."""

    quantization_bit: Annotated[int | None, Field(ge=4, le=8)] = None
    """Hold the model's weights in 8 or 4 bits; needs the extra `quant`, and an adapter to train."""

    lora_rank: Annotated[int, Field(ge=1)] = 8
    """The rank of LoRA's factors."""

    lora_alpha: Annotated[int | None, Field(ge=1)] = None
    """The factors' weight: alpha / rank, or alpha / √rank with use_rslora. Not given: twice the rank."""

    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of inputs that the factors do not see, drawn anew at every step."""

    lora_target: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ("all",)
    """Linear layers that get factors, by the ends of their names. all: every one but the output head. Names of other
    families (query_key_value, W_pack) mean this model's layers of the same purpose."""

    additional_target: Annotated[tuple[str, ...], SplitAt(","), Also("modules_to_save"), Shown("NAME,…")] = ()
    """Modules to train and save whole beside the factors (embed_tokens, lm_head)."""

    use_rslora: bool = False
    """Rank-stabilised LoRA: alpha / √rank."""

    use_dora: bool = False
    """Weight-decomposed LoRA: a magnitude is trained beside the direction. Slower."""

    loraplus_lr_ratio: Annotated[float | None, Field(gt=0)] = None
    """LoRA+: the learning rate of the B factors over that of the A factors."""

    loraplus_lr_embedding: Annotated[float, Field(gt=0)] = 1e-6
    """LoRA+: the learning rate of the embedding's factors."""

    pre_seq_len: Annotated[int, Field(ge=1)] = 128
    """p_tuning: the length of the prefix, in tokens."""

    prefix_projection: bool = False
    """p_tuning: make the prefix by a small network, which is trained. Many more parameters."""

    freeze_trainable_layers: Annotated[int, Also("num_layer_trainable")] = 2
    """freeze: how many layers are trained, the last ones; below 0 the first ones."""

    freeze_trainable_modules: Annotated[
        tuple[str, ...], SplitAt(","), Also("name_module_trainable"), Shown("NAME,…")
    ] = ("all",)
    """freeze: which modules of these layers (mlp, self_attn). all: the whole layer."""

    freeze_extra_modules: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """freeze: modules outside the layers (embed_tokens, norm, lm_head)."""

    neftune_noise_alpha: Annotated[float | None, Field(gt=0)] = None
    """NEFTune: noise of this size on the embeddings while training."""

    def conflicts(self) -> Iterator[Problem]:
        if self.quantization_bit not in (None, 4, 8):
            yield Problem("quantization_bit", _("has to be 4 or 8"))
        if self.quantization_bit and self.finetuning_type in ("full", "freeze"):
            what = _("quantised weights cannot be trained by {name}").format(name=self.finetuning_type)
            yield Problem("quantization_bit", what, _("take lora or p_tuning"))
        if self.finetuning_type != "lora":
            yield from self._of_lora()
        if self.finetuning_type in ("full", "freeze") and self.adapter_name_or_path:
            what = _("{name} trains the model itself").format(name=self.finetuning_type)
            hint = _("merge the adapters first: finetui export")
            yield Problem("adapter_name_or_path", what, hint)
        if self.finetuning_type == "freeze" and self.freeze_trainable_layers == 0 and not self.freeze_extra_modules:
            yield Problem("freeze_trainable_layers", _("0 leaves nothing to train"))
        if not self.do_train:
            hint = _("leave it out; eval_dataset or val_size tells the loss on rows kept apart")
            yield Problem("do_train", _("false leaves nothing to do"), hint)

    def _of_lora(self) -> Iterator[Problem]:
        defaults = type(self).model_fields
        for name in _LORA_ONLY:
            if getattr(self, name) != defaults[name].default:
                what = _("belongs to lora, not to {name}").format(name=self.finetuning_type)
                yield Problem(name, what, _("leave it out, or set finetuning_type lora"))
