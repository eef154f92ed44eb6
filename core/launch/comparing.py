"""Evaluations in which reward models tell the better of two answers: who can, and what has no meaning there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.errors import FinetuiError, Problem
from core.i18n import _
from core.launch.test_sets import TestSet
from core.metrics.catalog import METRICS
from core.metrics.compared import NAMES as COMPARED
from core.models.candidates import Candidate
from core.models.reward_source import is_classifier, scores_answers, source_of
from core.untrusted import inert_line


def compares(sets: Sequence[TestSet]) -> bool:
    """Whether two answers to each question are told apart."""
    return any(one.compared for one in sets)


def misplaced(values: Mapping[str, Any], candidates: Sequence[Candidate], sets: Sequence[TestSet]) -> Iterator[Problem]:
    """Where who answers and what is asked do not belong together; `Problem.where` is an option's name."""
    if not compares(sets):
        yield from _writers(candidates, sets)
        return
    alone = [one.name for one in sets if not one.compared]
    pairs = next(one.name for one in sets if one.compared)
    if alone:
        what = _("{pairs} has two answers to each question, {answers} has one").format(pairs=pairs, answers=alone[0])
        yield Problem("dataset", what, _("evaluate them apart: reward models score pairs, others answer"))
        return
    yield from _of_options(values)
    for candidate in candidates:
        yield from _of_judge(candidate, pairs, values)


def _writers(candidates: Sequence[Candidate], sets: Sequence[TestSet]) -> Iterator[Problem]:
    """Reward models among those who are to answer."""
    for candidate in candidates:
        if sets and scores_answers(candidate.adapter or candidate.model):
            name = inert_line(candidate.name)
            what = _("{name} is a reward model: it scores answers and writes none").format(name=name)
            hint = _("give it pairs: --dataset PAIRS; to score a model's answers: --reward_model {name}")
            yield Problem("adapter_name_or_path", what, hint.format(name=name))


def _of_options(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values["api_base"]:
        what = _("pairs are told apart by reward models that are loaded here")
        yield Problem("api_base", what, _("leave it out"))
    if values["reward_model"] is not None:
        what = _("the reward models of pairs are themselves evaluated")
        yield Problem("reward_model", what, _("name it in the place of a run: finetui eval REWARD_RUN"))
    if values["reference_loss"]:
        yield Problem("reference_loss", _("reward models foretell no tokens"), _("leave it out"))
    others = [name for name in values["metrics"] if name in METRICS and name not in COMPARED]
    if others:
        what = _("{name} says nothing of scores").format(name=others[0])
        yield Problem("metrics", what, _("there are: {names}").format(names=", ".join(COMPARED)))


def _of_judge(candidate: Candidate, pairs: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    option = "adapter_name_or_path" if values["adapter_name_or_path"] else "model_name_or_path"
    try:
        source_of(candidate)
    except FinetuiError as error:
        told = _("{pairs} has two answers to each question, for reward models: {reason}")
        yield Problem(option, told.format(pairs=pairs, reason=error.message), error.hint)
        return
    if values["quantization_bit"] is not None and candidate.adapter is None and is_classifier(candidate.path):
        what = _("{name} is a classification model, which is held as it is").format(name=inert_line(candidate.name))
        yield Problem("quantization_bit", what, _("leave it out"))
