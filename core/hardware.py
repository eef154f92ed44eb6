"""What this machine has: cores, memory, accelerators. Found out without torch, in milliseconds.

Accelerators are asked for with the tools that come with their drivers (nvidia-smi, rocm-smi, hy-smi), each with a time
limit: a hanging driver must not hang the app. Limits of a container or a scheduler (cpuset, cgroup) count, not what
the metal has.
"""

from __future__ import annotations

import csv
import io
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")
_TOOL_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory in bytes: all that this process may use, and what of it is free now."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A device that models can be put on."""

    index: int
    name: str
    kind: str
    """`cuda`, `rocm`, `dcu` or `mps`."""
    total_bytes: int = 0
    free_bytes: int = 0


# --- cores ------------------------------------------------------------------------------------------------------


def physical_cores() -> int:
    """Cores this process may run on; two hardware threads of one core count once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in usable}
    return max(1, min(len(cores), _cgroup_cpus() or len(cores)))


def free_physical_cores() -> int:
    """Physical cores that nothing else keeps busy, at least one.

    Computing threads beyond these do not help: they wait for one another. Busy is the smaller of the last minute's
    load and what runs at this instant, so that neither a peak just now nor one just over counts.
    """
    try:
        load = os.getloadavg()[0]
    except OSError:
        return physical_cores()
    running = _running_tasks()
    busy = load if running is None else min(load, running)
    return max(1, physical_cores() - round(busy))


def _siblings(cpu: int) -> str:
    try:
        return (_CPU / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _cgroup_cpus() -> int | None:
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return None


def _running_tasks() -> int | None:
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0, running - 1)  # this process is one of them


@cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has matrix units for bfloat16 (AMX); without them that format is slower than float32."""
    try:
        return re.search(r"^flags.*\bamx_bf16\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE) is not None
    except OSError:
        return False


# --- memory -----------------------------------------------------------------------------------------------------


def memory() -> Memory:
    """Main memory; zeros where the system does not say."""
    try:
        fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
        total, free = int(fields["MemTotal"]) * 1024, int(fields["MemAvailable"]) * 1024
    except (OSError, KeyError):
        return _memory_by_sysconf()
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is not None and limit < total:
        total, free = limit, min(free, max(0, limit - (used or 0)))
    return Memory(total, free)


def _memory_by_sysconf() -> Memory:
    try:
        return Memory(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 0)
    except (ValueError, OSError):
        return Memory(0, 0)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


# --- accelerators -----------------------------------------------------------------------------------------------


def accelerators() -> tuple[Accelerator, ...]:
    """The devices that the drivers' own tools name; none when there is no tool, or it fails."""
    found = [device for tool, parse in _TOOLS.items() for device in _ask(tool, parse)]
    if not found and platform.system() == "Darwin" and platform.machine() == "arm64":
        return (Accelerator(0, "Apple GPU", "mps", total_bytes=memory().total),)
    return tuple(found)


def _ask(tool: tuple[str, ...], parse: Callable[[str], list[Accelerator]]) -> list[Accelerator]:
    if shutil.which(tool[0]) is None:
        return []
    try:
        done = subprocess.run(
            tool, capture_output=True, text=True, errors="replace", timeout=_TOOL_TIMEOUT_SECONDS, check=True
        )
        return parse(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError, LookupError):
        return []


def parse_nvidia(output: str) -> list[Accelerator]:
    """The devices in nvidia-smi's CSV of index, name, total and free memory in MiB."""
    rows = csv.reader(io.StringIO(output), skipinitialspace=True)
    return [
        Accelerator(int(index), name, "cuda", _mebibytes(total), _mebibytes(free))
        for index, name, total, free in (row for row in rows if len(row) == 4)
    ]


def _mebibytes(text: str) -> int:
    return int(text) << 20 if text.isdigit() else 0  # "[N/A]" where memory is shared with the host


def parse_rocm(output: str) -> list[Accelerator]:
    """The devices in rocm-smi's CSV of memory and product name, whose columns are told apart by their titles."""
    rows = list(csv.DictReader(io.StringIO(output.strip())))
    return [_rocm_device(row) for row in rows if (row.get("device") or "").startswith("card")]


def _rocm_device(row: dict[str, str]) -> Accelerator:
    def column(*words: str) -> str:
        return next((row[title] for title in row if title and all(word in title.lower() for word in words)), "")

    total = int(column("total memory (b)") or 0)
    used = int(column("used memory (b)") or 0)
    name = column("card", "series") or column("product") or column("card", "model") or "AMD GPU"
    return Accelerator(int(row["device"].removeprefix("card")), name, "rocm", total, max(0, total - used))


def parse_hy(output: str) -> list[Accelerator]:
    """The devices in hy-smi's table: one line a device, opening with its number; memory only as a share."""
    return [Accelerator(int(number), "Hygon DCU", "dcu") for number in re.findall(r"^\s*(\d+)\s+\S+C\s", output, re.M)]


_TOOLS: dict[tuple[str, ...], Callable[[str], list[Accelerator]]] = {
    (
        "nvidia-smi",
        "--query-gpu=index,name,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ): parse_nvidia,
    ("rocm-smi", "--showmeminfo", "vram", "--showproductname", "--csv"): parse_rocm,
    ("hy-smi",): parse_hy,
}
