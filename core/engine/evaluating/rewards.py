"""Rewards as a metric: whatever scores answers in a training scores them here, by the same arithmetic.

A reward model asks in its own manner, so the conversations are given to it as the data has them. An answer that is too
long for it, or for the memory, has no score; a function or a server that gives none is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from core.chat.message import Message
from core.config.evaluation import EvaluatedModelOptions
from core.engine.evaluating.test_set import TestRow
from core.engine.load import choose_device, choose_dtype, number_format, read_config, refuse_risks
from core.engine.scorers.function import open_function
from core.engine.scorers.opening import load_scorer
from core.engine.scorers.scorer import Asked, Scorer
from core.engine.scorers.server import open_server
from core.engine.scorers.trained import TrainedScorer
from core.models.reward_source import RewardSource, find_reward_source
from core.report.prediction import Prediction
from core.serve.protocol import Load
from core.workspace import Workspace


def find_reward_model(name: str, options: EvaluatedModelOptions, workspace: Workspace) -> RewardSource:
    """Look at what is to score, before hours of answers are made for it.

    Raises:
        ModelNotFound: there is none of that name.
        ModelError: it gives no scores, or needs to be trusted first.
    """
    source = find_reward_source(name, "auto", workspace)
    if source.model is not None:
        folder = source.model.path
        refuse_risks(folder, read_config(folder), request_for(folder, options))
    return source


def load_reward_model(
    source: RewardSource, options: EvaluatedModelOptions, on_warning: Callable[[str], None] = lambda _message: None
) -> Scorer:
    """Load it in the number format, and on the device, of the models that it judges.

    Raises:
        FinetuiError: it cannot be loaded or run.
    """
    if source.kind == "function":
        return open_function(source.name)
    if source.kind == "api":
        return open_server(source.name)
    return load_scorer(source, lambda folder: request_for(folder, options), on_warning)


def rewarded(scorer: Scorer, answers: Sequence[Prediction], rows: Sequence[TestRow]) -> Iterator[Prediction]:
    """Answers that lack a score, with it; without those that are too long for a reward model."""
    lacking = [answer for answer in answers if answer.reward is None and not answer.error]
    for answer, score in zip(lacking, _scores(scorer, lacking, rows), strict=True):
        if score is not None:
            yield replace(answer, reward=score)


def _scores(scorer: Scorer, answers: Sequence[Prediction], rows: Sequence[TestRow]) -> Iterator[float | None]:
    if isinstance(scorer, TrainedScorer):
        yield from scorer.scores(
            [(*rows[answer.row].messages, Message("assistant", answer.predict)) for answer in answers]
        )
    else:
        asked = [Asked(rows[one.row].messages, (), (), one.predict, f"{one.prompt}{one.predict}") for one in answers]
        yield from scorer.score(asked)


def request_for(folder: Path, options: EvaluatedModelOptions) -> Load:
    """How the model of a folder is loaded: in its own manner, in the number format of the evaluation."""
    device = choose_device(options.device)
    dtype = "float16" if options.fp16 and device.type != "cpu" else "bfloat16" if options.bf16 else options.dtype
    return Load(
        1,
        str(folder),
        dtype=number_format(choose_dtype(dtype, device)),
        device=str(device),
        threads=torch.get_num_threads(),
        trust_remote_code=options.trust_remote_code,
        allow_pickle=options.allow_pickle,
    )
