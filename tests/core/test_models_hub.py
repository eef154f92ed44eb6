"""Fetching: by which installer, and what comes from a hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import PullFailed
from core.models import installer
from core.models.pull import pull
from core.workspace import Workspace
from folders import make_model
from packages import hub


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


# --- the installer ----------------------------------------------------------------------------------------------


def test_pip_of_this_environment_first(tmp_path: Path) -> None:
    command = installer.download_command(["a==1"], tmp_path)
    assert command[:5] == [sys.executable, "-P", "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-2:] == [str(tmp_path), "a==1"]


def test_asking_for_pip_leaves_the_process_its_distutils(tmp_path: Path) -> None:
    lines = ["from pathlib import Path", "from core.models.installer import download_command"]
    lines += ["download_command(['a==1'], Path('.'))", "import setuptools"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_uv_where_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer, "_has_pip", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    command = installer.download_command(["a==1"], tmp_path)
    assert command[:3] == ["/bin/uv", "pip", "install"]
    assert command[-3:] == ["--target", str(tmp_path), "a==1"]
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(installer, "_uv_beside_python", lambda: None)
    with pytest.raises(PullFailed, match="neither pip nor uv"):
        installer.download_command(["a==1"], tmp_path)


# --- the hub ----------------------------------------------------------------------------------------------------


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_offline_is_said_without_trying(workspace: Workspace) -> None:
    with pytest.raises(PullFailed, match="org/name is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids"):
        pull("org/name", workspace, lambda _progress: None)


def test_a_model_of_the_hub_without_its_pickles_and_code(
    workspace: Workspace, online: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "remote")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files |= {"pytorch_model.bin": b"p", "modeling.py": b"evil", "onnx/model.safetensors": b"o", "README.md": b""}
    with hub(files) as (address, asked):
        online.setenv("HF_ENDPOINT", address)
        model = pull("org/name", workspace, lambda _progress: None)
    assert (model.name, model.source, model.problems) == ("org/name", "huggingface", ())
    fetched = {path.rpartition("/resolve/")[2].partition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert pull("org/name", workspace, lambda _progress: None).path == model.path  # the hub is gone; it is here


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (404, "RepoNotFound", "the hub has no public model org/name", "hf auth login"),
        (403, "GatedRepo", "org/name is gated", "accept them on its page"),
    ],
)
def test_what_the_hub_refuses(
    workspace: Workspace, online: pytest.MonkeyPatch, status: int, code: str, message: str, hint: str
) -> None:
    with hub({}, status=status, code=code) as (address, _asked):
        online.setenv("HF_ENDPOINT", address)
        with pytest.raises(PullFailed) as caught:
            pull("org/name", workspace, lambda _progress: None)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_model_of_pickles_alone_is_not_fetched(workspace: Workspace, online: pytest.MonkeyPatch) -> None:
    with hub({"config.json": b"{}", "pytorch_model.bin": b"p"}) as (address, asked):
        online.setenv("HF_ENDPOINT", address)
        with pytest.raises(PullFailed, match="org/name has no safetensors weights"):
            pull("org/name", workspace, lambda _progress: None)
    assert not any("pytorch_model" in path for path in asked)


def test_no_hub_at_all(workspace: Workspace, online: pytest.MonkeyPatch) -> None:
    online.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PullFailed) as caught:
        pull("org/name", workspace, lambda _progress: None)
    assert "the Hugging Face hub cannot be reached" in caught.value.message
    assert "finetui models pull default" in caught.value.hint
