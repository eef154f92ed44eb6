"""What the machine is said to have."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core import hardware
from core.hardware import Accelerator, accelerators, free_physical_cores, memory, parse_hy, parse_rocm, physical_cores

MEBI = 1 << 20


def _tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all there is on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_cores_are_between_one_and_what_may_be_used() -> None:
    assert 1 <= free_physical_cores() <= physical_cores() <= (os.cpu_count() or 1)


def test_busy_cores_are_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "physical_cores", lambda: 8)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.2, 0, 0))
    monkeypatch.setattr(hardware, "_running_tasks", lambda: 6)
    assert free_physical_cores() == 5
    monkeypatch.setattr(hardware, "_running_tasks", lambda: 1)  # the load is of a minute that is over
    assert free_physical_cores() == 7
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0, 0))
    monkeypatch.setattr(hardware, "_running_tasks", lambda: 99)
    assert free_physical_cores() == 1


def test_hardware_threads_of_one_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(hardware, "_siblings", lambda cpu: {0: "0,2", 2: "0,2", 1: "1,3", 3: "1,3"}[cpu])
    monkeypatch.setattr(hardware, "_cgroup_cpus", lambda: None)
    assert physical_cores() == 2
    monkeypatch.setattr(hardware, "_cgroup_cpus", lambda: 1)
    assert physical_cores() == 1


def test_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 <= memory().free <= memory().total
    (tmp_path / "memory.max").write_text(f"{100 * MEBI}\n")
    (tmp_path / "memory.current").write_text(f"{30 * MEBI}\n")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    assert memory() == hardware.Memory(100 * MEBI, 70 * MEBI)


def test_nvidia_devices(tools: Path) -> None:
    _tool(tools, "nvidia-smi", "echo '0, NVIDIA A100, 40960, 40000'; echo '1, GB10, [N/A], [N/A]'")
    assert accelerators() == (
        Accelerator(0, "NVIDIA A100", "cuda", 40960 * MEBI, 40000 * MEBI),
        Accelerator(1, "GB10", "cuda", 0, 0),
    )


@pytest.mark.parametrize("script", ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo 'x, y, z, w'", "echo"])
def test_tool_that_fails_means_no_device(tools: Path, script: str) -> None:
    _tool(tools, "nvidia-smi", script)
    assert accelerators() == ()


def test_tool_that_hangs_is_left(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tools, "nvidia-smi", "exec /bin/sleep 60")
    monkeypatch.setattr(hardware, "_TOOL_TIMEOUT_SECONDS", 0.1)
    assert accelerators() == ()


def test_rocm_devices_by_the_titles_of_their_columns() -> None:
    output = (
        "device,VRAM Total Memory (B),VRAM Total Used Memory (B),Card series,Card model\n"
        "card0,68702699520,10,AMD Instinct MI210,0x0c34\n"
        "card1,68702699520,20,AMD Instinct MI210,0x0c34\n\n"
    )
    assert parse_rocm(output) == [
        Accelerator(0, "AMD Instinct MI210", "rocm", 68702699520, 68702699510),
        Accelerator(1, "AMD Instinct MI210", "rocm", 68702699520, 68702699500),
    ]


def test_hygon_devices() -> None:
    output = "HCU     Temp     AvgPwr     Perf\n0       49.0C    87.0W      auto\n1       50.0C    90.0W      auto\n"
    assert [device.index for device in parse_hy(output)] == [0, 1]
