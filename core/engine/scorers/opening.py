"""From what a `reward_model` names to what scores: the policy's base is used where that can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from core.engine.beside.models import Beside
from core.engine.chat_model import ChatModel
from core.engine.load import UNKNOWN_CONTEXT, load_network, read_config, refuse_risks
from core.engine.manner import manner_of_model
from core.engine.scorers.classifier import Classifier
from core.engine.scorers.function import open_function
from core.engine.scorers.scorer import Scorer
from core.engine.scorers.server import open_server
from core.engine.scorers.trained import TrainedScorer, by_value_head
from core.engine.tokenizer import load_tokenizer
from core.i18n import _
from core.models.notes import AdapterNotes
from core.models.reward_source import RewardSource, is_classifier
from core.serve.protocol import Load
from core.untrusted import inert_line

REWARD = "reward"


def open_scorer(
    source: RewardSource, beside: Beside, on_warning: Callable[[str], None] = lambda _message: None
) -> Scorer:
    """What scores the answers of a training.

    Args:
        beside: where models find their weights.
        on_warning: told what it costs, and what should be said about it.

    Raises:
        FinetuiError: it cannot be loaded or run.
    """
    if source.kind == "function":
        return open_function(source.name)
    if source.kind == "api":
        return open_server(source.name, beside.base.tokenizer)
    folder = _weights_of(source)
    if is_classifier(folder):
        on_warning(_costs(source))
        return load_classifier(source, beside.request(folder), on_warning)
    chat = None if source.adapter is None else beside.sharing(folder, source.adapter.path)
    if chat is None:
        on_warning(_costs(source))
        chat = beside.loaded(folder)
    return on_model(source, chat, on_warning, beside.notes)


def load_scorer(
    source: RewardSource, request: Callable[[Path], Load], on_warning: Callable[[str], None]
) -> TrainedScorer:
    """A reward model by itself.

    Args:
        request: how the model of a folder is loaded.

    Raises:
        ModelError: it cannot be loaded.
    """
    folder = _weights_of(source)
    if is_classifier(folder):
        return load_classifier(source, request(folder), on_warning)
    return on_model(source, ChatModel.load(request(folder), lambda _phase: None), on_warning)


def on_model(
    source: RewardSource, chat: ChatModel, on_warning: Callable[[str], None], asked: AdapterNotes | None = None
) -> TrainedScorer:
    """A reward model with a value head, over a language model or an adapter that is put on one.

    Args:
        asked: how the one whose answers it scores is asked, where that is known: what is the same is not warned of.
    """
    adapter = None
    folder = chat.base.folder
    if source.adapter is not None:
        adapter, folder = REWARD, source.adapter.path
        for warning in chat.load_adapter(REWARD, folder, asked).warnings:
            on_warning(_("the reward model {name}: {warning}").format(name=shown_name(source), warning=warning))
    read = by_value_head(chat, adapter, folder)
    return TrainedScorer(shown_name(source), source.kind, chat.manner(adapter), chat.base.context_length, read)


def load_classifier(source: RewardSource, request: Load, on_warning: Callable[[str], None]) -> TrainedScorer:
    """A reward model that is a classification model with one label."""
    folder = Path(request.model)
    refuse_risks(folder, read_config(folder), request)
    loader: Any = AutoModelForSequenceClassification
    device, dtype = torch.device(request.device), getattr(torch, request.dtype)
    network, warnings = load_network(folder, request, device, dtype, loader=loader)
    for warning in warnings:
        on_warning(warning)
    manner = manner_of_model(folder, "auto", load_tokenizer(folder, request.trust_remote_code))
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None) or UNKNOWN_CONTEXT
    return TrainedScorer(shown_name(source), source.kind, manner, context, Classifier(network, device))


def shown_name(source: RewardSource) -> str:
    """For a person: the reward model as it was typed."""
    found = source.adapter or source.model
    return inert_line(source.name if found is None else found.name)


def _weights_of(source: RewardSource) -> Path:
    assert source.model is not None  # functions and servers are dealt with
    return source.model.path


def _costs(source: RewardSource) -> str:
    told = _("the reward model {name} is a model of its own beside the trained one, in memory too")
    return told.format(name=shown_name(source))
