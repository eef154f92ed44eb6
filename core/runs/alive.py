"""Whether a process that was noted down still lives: the same pid, started at the same instant, and no zombie.

A pid alone is used again after a while; with the instant of its start it names one process until the machine is
started anew.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def this_host() -> str:
    """How this machine calls itself; pids mean something on it alone."""
    return os.uname().nodename


def start_time(pid: int) -> float | None:
    """When a living process started, in the system's own count of seconds; None for a dead one and for a zombie."""
    if Path("/proc/self/stat").exists():
        return _from_proc(pid)
    return _from_ps(pid)


def is_alive(pid: int, started: float) -> bool:
    """Whether the process that had this pid and this start still runs."""
    return pid > 0 and start_time(pid) == started


def _from_proc(pid: int) -> float | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, *fields = stat[stat.rfind(b")") + 2 :].split()  # the name before it may hold anything
    if state in (b"Z", b"X"):
        return None
    return int(fields[18]) / os.sysconf("SC_CLK_TCK")


def _from_ps(pid: int) -> float | None:
    """Where there is no /proc: macOS, BSD."""
    import subprocess  # 5 ms that a supervisor on Linux does not need before its first word

    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", **os.environ})
    state, _space, started = done.stdout.strip().partition(" ")
    if not started or state.startswith("Z"):
        return None
    return time.mktime(time.strptime(started.strip()))
