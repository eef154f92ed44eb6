"""The examples: every file loads, and says what the command beside it in the README says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.config.evaluation import EVALUATION, EvaluatedDataOptions, PredictStageOptions
from core.config.fields import describe
from core.config.load import Settings, load
from core.config.pipeline_file import read_pipeline
from core.config.predicting import asks_for_prediction
from core.config.sources import EvaluationSourceOptions, TrainingSourceOptions
from core.config.training import TRAINING

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINS = (*TRAINING, TrainingSourceOptions)
PREDICTS = (*EVALUATION, PredictStageOptions, EvaluationSourceOptions)
EVERY = sorted(EXAMPLES.rglob("*.yaml"))
PIPELINES = [file for file in EVERY if "\nsteps:\n" in file.read_text()]
FILES = [file for file in EVERY if file not in PIPELINES]
README = (EXAMPLES / "README.md").read_text()


def read(*, file: Path | None = None, words: Sequence[str] = ()) -> Settings:
    """What `finetui train` makes of a file or a command."""
    named = [str(file)] if file is not None else []
    predicts = asks_for_prediction([*named, *words], describe(*TRAINS, PredictStageOptions))
    return load(PREDICTS if predicts else TRAINS, arguments=[*named, *words])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_example_loads_names_bundled_sets_and_is_told_of(file: Path) -> None:
    settings = read(file=file)
    bundled = json.loads((EXAMPLES.parent / "data/dataset_info.json").read_bytes())
    assert set(settings.values()["dataset"]) <= set(bundled)
    assert settings.values()["dataset"]
    assert str(file.relative_to(EXAMPLES)) in README
    assert (EvaluatedDataOptions in settings.sections) == ("predict" in file.stem)


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_every_pipeline_is_read_names_bundled_sets_and_is_told_of(file: Path) -> None:
    bundled = json.loads((EXAMPLES.parent / "data/dataset_info.json").read_bytes())
    pipeline = read_pipeline(file)
    assert pipeline.name == {"persona_rlhf": "persona"}.get(file.stem, file.stem)
    assert {name for step in pipeline.steps for name in step.values["dataset"]} <= set(bundled)
    assert all(step.values["dataset"] for step in pipeline.steps)
    assert f"finetui pipeline examples/{file.name}" in file.read_text()
    assert f"finetui pipeline examples/{file.name}" in README


def test_files_say_what_the_commands_say() -> None:
    commands = re.findall(r"^    finetui train (--(?:[^\n]*\\\n)*[^\n]*)", README, flags=re.MULTILINE)
    typed = [read(words=shlex.split(command.replace("\\\n", " "))) for command in commands]
    by_output = {settings.values()["output_dir"]: settings for settings in typed}
    files = [file for file in FILES if file.parent == EXAMPLES]
    assert len(files) == 9
    for file in files:
        settings = read(file=file).values()
        expected = by_output[settings["output_dir"]].values()
        assert settings == expected | {"config": str(file)}, file.name


def test_a_prediction_of_llama_factory_is_the_same_for_both_verbs() -> None:
    file = EXAMPLES / "llama_factory" / "qwen_lora_predict.yaml"
    values = load(PREDICTS, file=file).values()
    assert values | {"config": str(file)} == read(file=file).values()
    assert (values["dataset"], values["max_samples"], values["cutoff_len"]) == (
        ("self_introduction", "ad_copy"),
        50,
        2048,
    )
