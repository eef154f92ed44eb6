"""What of the options this machine can honour. The rest is replaced with a caution, or refused where `strict` says so.

Nothing here asks torch: accelerators are known by their drivers' tools and device files.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.load import Settings
from core.errors import Problem
from core.hardware import accelerators, multiplies_bfloat16
from core.i18n import _
from core.runs.launch_file import Caution

_DEVICE_FILES = ("nvidia[0-9]*", "kfd", "mkfd")
_HALF = ("fp16", "bf16")


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides which options can be honoured."""

    accelerators: int
    """How many there are; one at least where a driver's device file says so and no tool tells more."""
    accelerator: str = "cuda"
    """What torch calls them: `cuda` for all but Apple's."""
    bf16_on_cpu: bool = False
    """Whether the CPU multiplies bfloat16 matrices in hardware (AMX)."""
    bitsandbytes: bool = False


def this_machine() -> Machine:
    """Look at this machine; a tenth of a second where there is an accelerator."""
    found = accelerators()
    files = [path for pattern in _DEVICE_FILES for path in Path("/dev").glob(pattern)]
    return Machine(
        accelerators=len(found) or (1 if files else 0),
        accelerator="mps" if found and found[0].kind == "mps" else "cuda",
        bf16_on_cpu=multiplies_bfloat16(),
        bitsandbytes=importlib.util.find_spec("bitsandbytes") is not None,
    )


def device_of(settings: Settings, machine: Machine) -> str:
    """Where it will compute: `cpu`, `cuda`, `cuda:1`, `mps`."""
    asked = str(settings.values()["device"])
    if asked != "auto":
        return asked
    return machine.accelerator if machine.accelerators else "cpu"


def locks_of(device: str, processes: int) -> tuple[str, ...]:
    """The names of the devices that a run has for itself, by their numbers on this machine."""
    kind, _colon, number = device.partition(":")
    if kind != "cuda":
        return (kind,)
    visible = [item.strip() for item in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if item.strip()]
    first = int(number) if number.isdigit() else 0
    wanted = range(first, first + processes)
    return tuple(f"cuda-{visible[index] if index < len(visible) else index}" for index in wanted)


def replacements(settings: Settings, machine: Machine) -> Iterator[tuple[str, Any, Caution]]:
    """(option, value instead, what to tell) of what this machine cannot do as asked and can do another way."""
    device, values = device_of(settings, machine), settings.values()
    for name in _HALF:
        if not values[name] or device.startswith("cuda"):
            continue
        if name == "bf16" and (machine.bf16_on_cpu or device != "cpu"):
            continue
        told = _("{option}: there is no device here that computes in that format; dtype decides instead")
        yield name, False, Caution(told.format(option=name), _("leave it out, or give --strict to have it refused"))


def refusals(settings: Settings, machine: Machine) -> Iterator[Problem]:
    """What this machine cannot do in any way; `Problem.where` is the option's name."""
    values = settings.values()
    install = _("install it with: pip install 'finetui[quant]'")
    if values["quantization_bit"] and not machine.bitsandbytes:
        yield Problem("quantization_bit", _("needs the package bitsandbytes"), install)
    if values.get("optim") == "adamw_8bit" and not machine.bitsandbytes:
        yield Problem("optim", _("adamw_8bit needs the package bitsandbytes"), install)
    device, processes = device_of(settings, machine), int(values.get("nproc_per_node", 1))
    if device.startswith("cuda") and processes > max(1, machine.accelerators):
        what = _("there are {count} accelerators here").format(count=machine.accelerators)
        yield Problem(
            "nproc_per_node", what, _("one process for each; give {count}").format(count=machine.accelerators)
        )
    if device.startswith("cuda:") and processes > 1:
        yield Problem("device", _("one device cannot hold several processes"), _("leave it out"))
