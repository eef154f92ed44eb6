"""The two walls, as they stand at run time: what an import pulls in, and whose packages are meant by `core` and `tui`.

What may import what is written down in pyproject.toml's contracts; here is what no contract sees: modules that arrive
through third parties, and a user's folders that carry our names.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from core.serve.client import WorkerClient

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "accelerate", "numpy", "jieba", "nltk", "matplotlib", "safetensors")
_PREPARING = (
    "answering beside comparing evaluating evaluation findings going_on machine named pipeline prepare start "
    "test_sets training"
)
OPTIONS = ("core.config", "core.judging", *(f"core.launch.{name}" for name in _PREPARING.split()))
"""Where options are declared or looked at; whoever imports these waits for pydantic."""
CONFIG = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "yaml", "_yaml"}

_REPORT = """
import importlib, json, sys
def third_party(name):
    spec = getattr(sys.modules[name], "__spec__", None)
    return "site-packages" in str(spec and (spec.origin or spec.submodule_search_locations))
before, newcomers = set(sys.modules), {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    newcomers[name] = sorted({new.partition(".")[0] for new in set(sys.modules) - before if third_party(new)})
    before = set(sys.modules)
print(json.dumps(newcomers))
"""
_WITHOUT = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is behind the wall")
sys.meta_path.insert(0, Wall())
"""


def third_parties(modules: list[str], without: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """For each module, in order of import: the installed packages that came with it. Those without any are left out."""
    code = _WITHOUT.format(blocked=without) + _REPORT
    run = subprocess.run([sys.executable, "-c", code, json.dumps(modules)], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return {name: found for name, found in json.loads(run.stdout).items() if found}


def modules_below(package: str) -> list[str]:
    """The dotted names of a package's modules, as files."""
    files = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


LIGHT = [name for name in modules_below("core") if not name.startswith("core.engine")]


def test_the_light_side_imports_without_torch_and_without_screens() -> None:
    third_parties(LIGHT, without=(*HEAVY, "textual", "rich", "typer", "click"))


def test_only_the_options_cost_a_third_party() -> None:
    bare = [name for name in LIGHT if not name.startswith(OPTIONS)]
    assert third_parties(bare) == {}
    came = third_parties([name for name in LIGHT if name.startswith(OPTIONS)])
    assert {package for packages in came.values() for package in packages} <= CONFIG


def test_the_app_imports_nothing_heavy() -> None:
    came = third_parties(["tui.app"])["tui.app"]
    assert "textual" in came
    assert not {*HEAVY, "pydantic", "huggingface_hub", "typer"} & set(came)


def test_a_command_imports_no_screens() -> None:
    came = third_parties(modules_below("tui/cli"))
    assert not {*HEAVY, "textual"} & {package for packages in came.values() for package in packages}


def test_the_worker_greets_before_it_imports_anything_heavy() -> None:
    assert third_parties(["core.engine.serve"]) == {}


@pytest.fixture
def impostors(tmp_path: Path) -> Path:
    """A user's folder with packages of our names, which tell when they are imported."""
    for name in ("core", "tui", "textual", "core/engine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the {name} of the user was imported')")
    return tmp_path


def test_the_command_is_ours_wherever_it_is_called(impostors: Path) -> None:
    command = Path(sys.executable).with_name("finetui")
    for arguments in (["--version"], ["chat", "--help"]):
        run = subprocess.run([command, *arguments], cwd=impostors, capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")


async def test_the_worker_is_ours_wherever_it_is_started(impostors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(impostors)
    worker = await WorkerClient.start(log_path=impostors / "worker.log")
    assert (await asyncio.wait_for(worker.status(), 30)).state == "empty"
    await worker.close()
    assert (impostors / "worker.log").read_text() == ""


def test_every_package_and_every_file_travels_in_the_wheel() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for top in ("core", "tui"):
        packages = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / top).rglob("__init__.py")}
        assert packages == {name for name in setuptools["packages"] if name.partition(".")[0] == top}
        for folder, _, names in os.walk(ROOT / top):
            for name in names:
                path = (Path(folder) / name).relative_to(ROOT / top).as_posix()
                travels = name.endswith((".py", ".pyc")) or any(
                    fnmatch(path, p) for p in setuptools["package-data"][top]
                )
                assert travels, f"{top}/{path} is in no package-data"
