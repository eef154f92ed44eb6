"""Models are made once a session; tests that change one load their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

import accelerate
import torch

from core.engine.template import Template, choose_template
from core.engine.tokenizer import load_tokenizer
from core.workspace import Workspace
from tiny_models import CHATML, make_model, save_tokenizer, train_adapter
from training_runs import make_workspace

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_accelerate() -> None:
    """A process trains once, and accelerate holds it to its number format; here a process trains many times."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by kind."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_model(tmp_path_factory.mktemp("models") / f"tiny-{kind}", kind)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def adapter_folder(
    tmp_path_factory: pytest.TempPathFactory, model_folder: Callable[[str], Path]
) -> Callable[..., Path]:
    """The folder of an adapter by its base's kind and PEFT's options."""
    made: dict[str, Path] = {}

    def folder(kind: str, **options: object) -> Path:
        key = repr((kind, sorted(options.items())))
        if key not in made:
            made[key] = train_adapter(model_folder(kind), tmp_path_factory.mktemp("adapters") / "adapter", **options)
        return made[key]

    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Where trainings of a module run."""
    return make_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A run of this test's own."""
    return str(request.node.name).replace("[", "-").replace("]", "")


@pytest.fixture
def chatml(tmp_path: Path) -> Template:
    """A tokenizer's own template."""
    save_tokenizer(tmp_path, CHATML)
    return choose_template("auto", load_tokenizer(tmp_path))


@pytest.fixture
def plain(tmp_path: Path) -> Template:
    """The bundled form of models without a template of their own, which does not end its answers."""
    save_tokenizer(tmp_path, None)
    return choose_template("auto", load_tokenizer(tmp_path))
