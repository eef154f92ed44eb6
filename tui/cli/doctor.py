"""`finetui doctor`: what this machine has, what is missing, and what to do about it.

Tells versions from the packages' metadata and devices from the drivers' tools, so that it answers at once and also on
a machine where torch cannot be imported: then it is needed most. The exit code is 1 when something is missing that
finetui cannot do without.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from core.hardware import Accelerator, accelerators, free_physical_cores, memory, physical_cores
from core.i18n import _, plural
from core.models.catalog import list_models
from core.models.figures import size_text
from core.models.hub_cache import cache_folder
from core.untrusted import inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import print_json

Level: TypeAlias = Literal["ok", "note", "missing"]
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "huggingface_hub", "gguf", "textual", "rich")
_LITTLE_ROOM = 2 * 10**9
_SMALLEST_SCREEN = (80, 24)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    about: str
    value: str
    level: Level = "ok"
    advice: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help=_("Print JSON, one object a line."))] = False) -> None:
    """Tell versions, devices, terminal, models and disk, and what is missing."""
    missing = False
    for finding in examine():
        missing |= finding.level == "missing"
        if as_json:
            print_json(asdict(finding))
            continue
        mark = {"ok": " ", "note": "*", "missing": "!"}[finding.level]
        print(f"{mark} {finding.about:<15} {inert_line(finding.value)}".rstrip())
        if finding.advice:
            print(f"  {'':<15} → {inert_line(finding.advice)}")
    if missing:
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Everything that is looked at, in the order it is told."""
    workspace = find_workspace()
    yield from _software()
    yield from _machine()
    yield from _terminal()
    yield from _storage(workspace)
    yield from _models(workspace)


# --- software ---------------------------------------------------------------------------------------------------


def _software() -> Iterator[Finding]:
    yield Finding("finetui", _version("finetui") or "?")
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", f"{platform.system()} {platform.release()} {platform.machine()}")
    for name in _PACKAGES:
        found = _version(name)
        if found:
            yield Finding(name, found)
        else:
            yield Finding(name, _("not installed"), "missing", _("install finetui's requirements: pip install finetui"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


# --- machine ----------------------------------------------------------------------------------------------------


def _machine() -> Iterator[Finding]:
    told = _("{cores} physical cores, {free} of them free")
    yield Finding("processor", told.format(cores=physical_cores(), free=free_physical_cores()))
    main = memory()
    yield Finding("memory", _("{free} free of {total}").format(free=size_text(main.free), total=size_text(main.total)))
    found = accelerators()
    if not found:
        yield Finding("accelerator", _("none found: models run on the processor"))
    for device in found:
        yield _device(device)


def _device(device: Accelerator) -> Finding:
    room = _("{free} free of {total}").format(free=size_text(device.free_bytes), total=size_text(device.total_bytes))
    value = f"{device.kind}:{device.index} {device.name}" + (f", {room}" if device.total_bytes else "")
    if device.kind != "mps" and _version("torch").endswith("+cpu"):
        advice = _("this torch is built for processors only: install the one for {kind}").format(kind=device.kind)
        return Finding("accelerator", value, "note", advice)
    return Finding("accelerator", value)


# --- terminal ---------------------------------------------------------------------------------------------------


def _terminal() -> Iterator[Finding]:
    environment = os.environ
    size = shutil.get_terminal_size((0, 0))
    yield Finding("terminal", f"TERM={environment.get('TERM', '?')} COLORTERM={environment.get('COLORTERM', '?')}")
    if not sys.stdout.isatty() or not size.columns:
        yield Finding("size", _("output is no terminal"))
    else:
        small = size.columns < _SMALLEST_SCREEN[0] or size.lines < _SMALLEST_SCREEN[1]
        advice = _("below 80×24 the app shows one pane at a time") if small else ""
        yield Finding("size", f"{size.columns}×{size.lines}", "note" if small else "ok", advice)
    if environment.get("TERM", "dumb") == "dumb":
        advice = _("the app needs a terminal that can move its cursor; finetui chat works without")
        yield Finding("screen", _("not usable for the app"), "note", advice)
    if (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        advice = _("letters beyond ASCII are lost: set LANG to a UTF-8 locale, such as C.UTF-8")
        yield Finding("encoding", sys.stdout.encoding or "?", "note", advice)
    yield Finding("colours", _colours())
    yield Finding("connection", _connection())
    yield _clipboard()


def _colours() -> str:
    if os.environ.get("NO_COLOR"):
        return _("none (NO_COLOR)")
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return _("16 million")
    return "256" if "256" in os.environ.get("TERM", "") else "16"


def _connection() -> str:
    parts = [_("over SSH") if os.environ.get("SSH_CONNECTION") else _("local")]
    if os.environ.get("TMUX"):
        parts.append(_("inside tmux"))
    elif os.environ.get("STY"):
        parts.append(_("inside screen"))
    return ", ".join(parts)


def _clipboard() -> Finding:
    if os.environ.get("TMUX"):
        if shutil.which("tmux"):
            return Finding("clipboard", _("through tmux (load-buffer -w), and a file"))
        return Finding("clipboard", _("a file"), "note", _("no tmux command here, so its clipboard cannot be reached"))
    if os.environ.get("STY"):
        return Finding("clipboard", _("a file"), "note", _("GNU screen passes no clipboard on"))
    return Finding("clipboard", _("OSC 52, where the terminal allows it, and a file"))


# --- storage and models -----------------------------------------------------------------------------------------


def _storage(workspace: Workspace) -> Iterator[Finding]:
    yield Finding("workspace", str(workspace.root))
    if not os.access(workspace.root, os.W_OK):
        advice = _("it cannot be written: choose another with --workspace DIR")
        yield Finding("workspace", _("read-only"), "missing", advice)
    yield _room("disk", workspace.root)
    yield Finding("HF cache", str(cache_folder()))
    if cache_folder().is_dir():
        yield _room("its disk", cache_folder())


def _room(about: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    value = _("{free} free of {total}").format(free=size_text(usage.free), total=size_text(usage.total))
    if usage.free < _LITTLE_ROOM:
        return Finding(about, value, "note", _("too little for most models and checkpoints: make room"))
    return Finding(about, value)


def _models(workspace: Workspace) -> Iterator[Finding]:
    models = list_models(workspace)
    usable = [model for model in models if not model.problems]
    if not usable:
        yield Finding("models", _("none"), "missing", _("fetch a small one with: finetui models pull default"))
    else:
        names = ", ".join(model.name for model in usable[:5]) + (" …" if len(usable) > 5 else "")
        yield Finding("models", plural("{count} model: ", "{count} models: ", len(usable)) + names)
    for model in models:
        if model.problems:
            yield Finding("models", f"{model.name}: {'; '.join(model.problems)}", "note")
