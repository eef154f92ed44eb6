"""The examples: every file loads, and says what the command beside it in the README says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from core.config.data import DataOptions
from core.config.load import load
from core.config.output import OutputOptions
from core.config.sources import TrainingSourceOptions
from core.config.training import TRAINING

EXAMPLES = Path(__file__).parents[2] / "examples"
SECTIONS = (*TRAINING, TrainingSourceOptions)
FILES = sorted(EXAMPLES.rglob("*.yaml"))
README = (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_example_loads_names_bundled_sets_and_is_told_of(file: Path) -> None:
    settings = load(SECTIONS, file=file)
    bundled = json.loads((EXAMPLES.parent / "data/dataset_info.json").read_bytes())
    assert set(settings[DataOptions].dataset) <= set(bundled)
    assert str(file.relative_to(EXAMPLES)) in README


def test_files_say_what_the_commands_say() -> None:
    commands = re.findall(r"^    finetui train (--(?:[^\n]*\\\n)*[^\n]*)", README, flags=re.MULTILINE)
    typed = [load(SECTIONS, arguments=shlex.split(command.replace("\\\n", " "))) for command in commands]
    by_output = {settings[OutputOptions].output_dir: settings for settings in typed}
    files = [file for file in FILES if file.parent == EXAMPLES]
    assert len(files) == 5
    for file in files:
        settings = load(SECTIONS, file=file)
        assert settings.values() == by_output[settings[OutputOptions].output_dir].values(), file.name
