"""Learning from pairs of answers of which one is better: reward models (rm), and DPO with its relatives (dpo)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown
from core.config.foreign_stages import LOSSES, PREFERRING


class PreferenceOptions(Section):
    """How pairs of answers are learnt from, and what a trained model is held against."""

    title: ClassVar[str] = "Preferences"
    elsewhere: ClassVar[Mapping[str, str]] = PREFERRING
    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {"pref_loss": LOSSES}

    pref_loss: Annotated[Literal["sigmoid", "hinge", "ipo", "orpo", "simpo"], Also("dpo_loss")] = "sigmoid"
    """dpo: sigmoid (DPO), hinge (SLiC) and ipo measure against a reference; orpo and simpo need none."""

    pref_beta: Annotated[float, Field(gt=0), Also("dpo_beta")] = 0.1
    """dpo: how much a nat of difference to the reference counts. orpo: the weight of the odds ratio."""

    dpo_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """dpo, sigmoid: the share of pairs that are taken to be judged wrongly (conservative DPO)."""

    simpo_gamma: Annotated[float, Field(ge=0)] = 0.5
    """dpo, simpo: by how much the better answer's mean log-probability, times pref_beta, should lie above the other."""

    pref_ftx: Annotated[float, Field(ge=0), Also("dpo_ftx")] = 0.0
    """dpo: the weight of the supervised loss on the better answers that is added."""

    ref_model: Annotated[str | None, Field(min_length=1), Shown("MODEL")] = None
    """dpo, ppo: what the trained model is held against: a model, or an adapter. Not given: the model as it is when the
    training begins, with the adapters that it goes on from."""
