"""`make` on a machine that lacks something says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout without .venv, and a PATH with nothing but the shell's tools."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "make", "sed", "echo", "test", "printf"):
        if found := shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": str(folder / "bin"), "MAKEFLAGS": ""}
    env.pop("MAKELEVEL", None)  # the tests themselves run under make
    command = [folder / "bin" / "make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def stub_python(folder: Path, script: str) -> None:
    path = folder / "bin" / "python3"
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(0o755)


def test_no_python_is_told(bare: Path) -> None:
    run = make(bare, "setup")
    assert run.returncode != 0
    assert "Python 3.11 or newer is needed, and none was found" in run.stderr


def test_an_old_python_is_not_taken(bare: Path) -> None:
    stub_python(bare, 'case "$*" in *version_info*) exit 1;; esac')
    assert "none was found" in make(bare, "setup").stderr


def test_a_python_without_venv_is_told_how_to_get_it(bare: Path) -> None:
    stub_python(bare, 'case "$*" in *ensurepip*) exit 1;; esac')
    run = make(bare, "setup")
    assert run.returncode != 0
    assert "apt install python3-venv" in run.stderr


def test_what_is_installed_already_is_not_installed_again(bare: Path) -> None:
    (bare / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", ".installed", ".installed-dev"):
        (bare / ".venv" / name).touch()
    stub_python(bare, "exit 0")
    run = make(bare, "setup")
    assert (run.returncode, run.stdout) == (0, "make: Nothing to be done for 'setup'.\n")


def test_help_names_every_target_people_use(bare: Path) -> None:
    shown = make(bare, "help").stdout
    assert [line.split()[1] for line in shown.splitlines()][:6] == ["help", "run", "demo", "test", "check", "lint"]
