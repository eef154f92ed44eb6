"""The workspace: how it is found, made, and what the app remembers in it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import WorkspaceError
from core.workspace import _BUNDLED_KINDS, Workspace, find_workspace, init_workspace, load_state, save_state, write_json

ROOT = Path(__file__).parents[2]


def test_named_folder_beats_environment_and_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("named", "environment", "here/data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here/data/dataset_info.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "here")
    assert find_workspace().root == tmp_path / "here"
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path / "environment"))
    assert find_workspace().root == tmp_path / "environment"
    assert find_workspace(tmp_path / "named").root == tmp_path / "named"


def test_nearest_folder_upward_with_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset_info.json").write_text("{}")
    deep = tmp_path / "runs" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_workspace().root == tmp_path


def test_current_folder_when_nothing_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_workspace() == Workspace(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_named_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        find_workspace(tmp_path / "gone\x1b[31m")
    assert "gone␛[31m is no folder" in caught.value.message
    assert "finetui init" in caught.value.hint


def test_init_makes_the_folders_and_keeps_what_is_there(tmp_path: Path) -> None:
    workspace, made = init_workspace(tmp_path / "new")
    assert {path.name for path in made} >= {"new", "data", "sessions", "runs", "models", "dataset_info.json"}
    info = workspace.data / "dataset_info.json"
    assert isinstance(json.loads(info.read_bytes()), dict)
    info.write_text('{"mine": {}}')
    assert init_workspace(tmp_path / "new")[1] == ()
    assert info.read_text() == '{"mine": {}}'


def test_init_copies_the_bundled_sets(tmp_path: Path) -> None:
    workspace, made = init_workspace(tmp_path / "new")
    names = {path.name for path in made if path.parent == workspace.data}
    info = json.loads((workspace.data / "dataset_info.json").read_bytes())
    assert {entry["file_name"] for entry in info.values()} | {"dataset_info.json", "README.md", "LICENSE.md"} == names
    assert (workspace.data / "ad_copy.jsonl").read_bytes() == (ROOT / "data/ad_copy.jsonl").read_bytes()


# The other way writes an egg-info folder.
_DATA_FILES_OF_THE_WHEEL = """
from setuptools import Distribution
distribution = Distribution()
distribution.parse_config_files()
build = distribution.get_command_obj("build_py")
build.ensure_finalized()
for _package, folder, _build, names in build.get_data_files_without_manifest():
    for name in names:
        print(f"{folder}/{name}")
"""


def test_what_init_copies_is_in_the_wheel() -> None:
    # A process of its own: setuptools wants to be there before anybody's distutils.
    told = subprocess.run([sys.executable, "-c", _DATA_FILES_OF_THE_WHEEL], cwd=ROOT, capture_output=True, text=True)
    wheel = {Path(line) for line in told.stdout.splitlines()}
    copied = {path.name for path in (ROOT / "data").iterdir() if path.suffix in _BUNDLED_KINDS}
    assert "telecom_train_400.jsonl" in copied
    assert {path.name for path in wheel if path.match("core/bundled/*")} == copied, told.stderr


def test_init_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot write"):
        init_workspace(tmp_path / "file")


def test_state_is_merged_and_forgotten(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert load_state(workspace) == {}
    save_state(workspace, theme="light", parameters={"a": {"temperature": 0.5}})
    save_state(workspace, parameters={"b": {"top_p": 0.9}})
    assert load_state(workspace) == {
        "theme": "light",
        "parameters": {"a": {"temperature": 0.5}, "b": {"top_p": 0.9}},
    }
    save_state(workspace, theme=None)
    assert "theme" not in load_state(workspace)
    assert (workspace.state / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', "\x00\xff", "[" * 100_000])
def test_damaged_state_is_forgotten(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.make_state_folder()
    workspace.state_file.write_text(content)
    assert load_state(workspace) == {}
    save_state(workspace, theme="dark")
    assert load_state(workspace) == {"theme": "dark"}


def test_state_of_a_newer_finetui_is_refused_and_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.make_state_folder()
    workspace.state_file.write_text('{"schema": 99, "theme": "x"}')
    with pytest.raises(WorkspaceError, match=r"state\.json has schema 99; this finetui reads up to 1"):
        save_state(workspace, theme="dark")
    assert json.loads(workspace.state_file.read_bytes())["schema"] == 99


def test_two_apps_saving_at_once_lose_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: [save_state(workspace, parameters={f"{n}-{i}": i}) for i in range(10)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_state(workspace)["parameters"]) == 40


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


def test_workers_write_their_log_nowhere_where_nothing_can_be_written(tmp_path: Path) -> None:
    assert Workspace(tmp_path).worker_log() == tmp_path / ".finetui" / "logs" / "worker.log"
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / ".finetui").write_text("a file where the folder should be")
    assert Workspace(blocked).worker_log() == Path("/dev/null")
