"""A reward model: one number for a conversation with its answer, read at the last real token, without dropout.

Two kinds are known: a classification model with one label, and a language model (or an adapter on one) with a value
head beside it, as LLaMA-Factory and TRL save them. Conversations are rendered by the reward model's own template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from core.chat.message import Message
from core.config.evaluation import EvaluatedModelOptions
from core.engine.evaluating.test_set import TestRow
from core.engine.load import choose_device, choose_dtype, load_network, read_config, refuse_risks
from core.engine.manner import Manner, manner_of_adapter, manner_of_model
from core.engine.shortage import if_memory_suffices
from core.engine.tokenizer import load_tokenizer
from core.errors import ModelError
from core.i18n import _
from core.models.candidates import base_of, resolve_candidate
from core.models.info import AdapterInfo
from core.models.safetensors_header import read_header
from core.report.prediction import Prediction
from core.serve.protocol import Load
from core.workspace import Workspace

VALUE_HEAD = "value_head.safetensors"
_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"
_UNKNOWN_CONTEXT = 2048


@dataclass(frozen=True)
class RewardModel:
    """A loaded reward model."""

    name: str
    manner: Manner
    context_length: int
    device: torch.device
    value: Callable[[Tensor], Tensor]
    """int64 ids [1, length] → the score, one number."""
    warnings: tuple[str, ...] = ()

    def scores(self, conversations: Sequence[Sequence[Message]]) -> Iterator[float | None]:
        """The score of each conversation that ends in an answer; None for one that is longer than the context, or than
        memory allows."""
        for messages in conversations:
            rendering = self.manner.template.rendering(self.manner.messages(messages), add_generation_prompt=False)
            if not 0 < len(rendering.ids) <= self.context_length:
                yield None
                continue
            yield if_memory_suffices(partial(self._score, rendering.ids))

    @torch.inference_mode()
    def _score(self, ids: Sequence[int]) -> float:
        return self.value(torch.tensor([list(ids)], device=self.device)).float().item()


def rewarded(model: RewardModel, answers: Sequence[Prediction], rows: Sequence[TestRow]) -> Iterator[Prediction]:
    """Answers that lack a score, with it; without those that are too long for the model."""
    lacking = [answer for answer in answers if answer.reward is None and not answer.error]
    asked = [(*rows[answer.row].messages, Message("assistant", answer.predict)) for answer in lacking]
    for answer, score in zip(lacking, model.scores(asked), strict=True):
        if score is not None:
            yield replace(answer, reward=score)


@dataclass(frozen=True)
class RewardFolder:
    """A reward model on the disk, as far as its files tell without its weights."""

    name: str
    folder: Path
    """Of the adapter, or of the whole model."""
    base: Path
    adapter: AdapterInfo | None
    is_classifier: bool


def find_reward_model(name: str, options: EvaluatedModelOptions, workspace: Workspace) -> RewardFolder:
    """Look at a reward model, before hours of answers are made for it.

    Raises:
        ModelNotFound: there is none of that name.
        ModelError: it is no reward model.
    """
    found = resolve_candidate(name, workspace)
    adapter = found if isinstance(found, AdapterInfo) else None
    base = base_of(adapter, workspace).path if adapter is not None else found.path
    config = read_config(base)
    refuse_risks(base, config, _request(base, options))
    is_classifier = adapter is None and _is_classifier(config)
    read: Any = AutoConfig.from_pretrained(base, trust_remote_code=options.trust_remote_code)
    if is_classifier:
        _refuse_classes(base, read.num_labels)
    else:
        _refuse_headless(name, found.path, read.get_text_config().hidden_size)
    if adapter is not None and adapter.method not in ("lora", "dora"):
        what = _("{name}: a reward model is an adapter of LoRA's kind, not {method}")
        raise ModelError(what.format(name=name, method=adapter.method))
    return RewardFolder(found.name, found.path, base, adapter, is_classifier)


def load_reward_model(found: RewardFolder, options: EvaluatedModelOptions) -> RewardModel:
    """Load a reward model in the number format, and on the device, of the models that it judges.

    Raises:
        ModelError: it cannot be loaded.
    """
    device, base = choose_device(options.device), found.base
    dtype = "float16" if options.fp16 and device.type != "cpu" else "bfloat16" if options.bf16 else options.dtype
    loader: Any = AutoModelForSequenceClassification if found.is_classifier else AutoModelForCausalLM
    request = _request(base, options)
    network, warnings = load_network(base, request, device, choose_dtype(dtype, device), loader=loader)
    manner = manner_of_model(base, "auto", load_tokenizer(base, options.trust_remote_code))
    if found.adapter is not None:
        from peft import PeftModel  # 3 s, for adapters only

        wrapped: Any = PeftModel.from_pretrained(network, str(found.folder))
        network = wrapped.eval().get_base_model()
        manner, _told = manner_of_adapter(found.adapter.notes, manner, base, "auto")
    value = _value_of_label(network) if found.is_classifier else _value_at_end(network, found.folder, device)
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None) or _UNKNOWN_CONTEXT
    return RewardModel(found.name, manner, context, device, value, tuple(warnings))


def _request(base: Path, options: EvaluatedModelOptions) -> Load:
    return Load(1, str(base), trust_remote_code=options.trust_remote_code, allow_pickle=options.allow_pickle)


# --- what is one -------------------------------------------------------------------------------------------------


def _is_classifier(config: dict[str, Any]) -> bool:
    return any("SequenceClassification" in str(kind) for kind in config.get("architectures") or ())


def _refuse_classes(folder: Path, labels: int) -> None:
    if labels != 1:
        what = _("{folder} tells {labels} classes apart; a reward model has one label")
        raise ModelError(what.format(folder=folder, labels=labels), _("take a model that was made to score answers"))


def _refuse_headless(name: str, folder: Path, width: int) -> None:
    path = folder / VALUE_HEAD
    if not path.is_file():
        if any(folder.glob("value_head.*")):
            what = _("{name}: its value head is a pickle, which can run any code when it is read")
            raise ModelError(what.format(name=name), _("save it as {file}").format(file=VALUE_HEAD))
        what = _("{name} is no reward model").format(name=name)
        hint = _("it needs {file} beside its weights, or to be a classification model with one label")
        raise ModelError(what, hint.format(file=VALUE_HEAD))
    weight = read_header(path).get(_WEIGHT)
    if weight is None:
        told = _("{path} is no value head").format(path=path)
        raise ModelError(told, _("{weight} and {bias} are expected").format(weight=_WEIGHT, bias=_BIAS))
    if tuple(weight.shape) != (1, width):
        told = _("{path}: the value head is for {there} numbers, the model has {here}")
        raise ModelError(told.format(path=path, there=weight.shape[-1], here=width))


# --- the number --------------------------------------------------------------------------------------------------


def _value_of_label(network: Any) -> Callable[[Tensor], Tensor]:
    """By the head at the last token where the network has one for every token: its own choice of the last token goes
    by padding, and is wrong where an answer ends with the token that also pads."""
    head = getattr(network, "score", None)
    if head is None:
        return lambda ids: network(input_ids=ids).logits[0, 0]  # reads the whole, as BERT does
    return lambda ids: head(network.base_model(input_ids=ids).last_hidden_state[0, -1])[0]


def _value_at_end(network: Any, folder: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The value head over the last hidden state, in the head's own number format, as TRL computes it."""
    try:
        head = load_file(folder / VALUE_HEAD, device=str(device))
    except (OSError, SafetensorError) as error:
        told = _("{path} cannot be read: {error}")
        raise ModelError(told.format(path=folder / VALUE_HEAD, error=error)) from error
    weight, bias = head[_WEIGHT], head.get(_BIAS)

    def value(ids: Tensor) -> Tensor:
        hidden = network.base_model(input_ids=ids).last_hidden_state[0, -1]
        return torch.nn.functional.linear(hidden.to(weight.dtype), weight, bias)[0]

    return value
