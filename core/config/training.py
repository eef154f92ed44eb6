"""All sections of a training, in the order of forms, files and help."""

from __future__ import annotations

from core.config.data import DataOptions
from core.config.fields import Section
from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions, OutputOptions

TRAINING: tuple[type[Section], ...] = (
    BaseModelOptions,
    FinetuningOptions,
    DataOptions,
    OptimizationOptions,
    OutputOptions,
    LaunchOptions,
)
