"""Fetching a model from the Hugging Face hub into its cache, where every other tool finds it too."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import PullFailed
from core.i18n import _
from core.models.child import Ended, run_child
from core.models.figures import size_text
from core.models.hub_cache import cache_folder
from core.models.progress import OnProgress, PullProgress
from core.untrusted import inert_line

_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def hub_command(hub_id: str) -> list[str]:
    """The process that fetches."""
    return [sys.executable, "-P", "-m", "core.models.hub_download", hub_id]


def pull_hub(
    hub_id: str,
    on_progress: OnProgress,
    cancelled: threading.Event,
    command: Callable[[str], list[str]] = hub_command,
) -> None:
    """Fetch what is missing of a model; an interrupted one goes on where it was."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise PullFailed(
            _("{name} is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids fetching it").format(name=hub_id),
            _("unset HF_HUB_OFFLINE, or copy the model folder into the workspace's models/"),
        )
    blobs = cache_folder() / f"models--{hub_id.replace('/', '--')}" / "blobs"
    before = _size(blobs)

    def report(records: list[dict[str, Any]]) -> None:
        total = next((int(record["download_bytes"]) for record in records if "download_bytes" in record), 0)
        what = _("asking the hub for {name}") if not total else _("fetching {name} ({size}) from the hub")
        done = min(_size(blobs) - before, total)
        on_progress(PullProgress("downloading", done, total, what.format(name=hub_id, size=size_text(total))))

    with tempfile.TemporaryDirectory(prefix="finetui-pull-") as scratch:
        ended = run_child(command(hub_id), Path(scratch), cancelled, report, _QUIET)
    if ended.code:
        raise _failure(hub_id, ended)


def _size(blobs: Path) -> int:
    """What is on the disk: blocks, because a file may be made at its full length before it is filled."""
    try:
        return sum(path.stat().st_blocks * 512 for path in blobs.iterdir())
    except OSError:  # not there yet, or a part was just renamed: the next look is a tenth of a second away
        return 0


def _failure(hub_id: str, ended: Ended) -> PullFailed:
    told = next((record for record in reversed(ended.records()) if "error" in record), None)
    if told is not None:
        return PullFailed(inert_line(str(told["error"])), inert_line(str(told.get("hint", ""))))
    reason = inert_line(ended.last_error_line) or _("exit code {n}").format(n=ended.code)
    return PullFailed(
        _("fetching {name} failed: {reason}").format(name=hub_id, reason=reason),
        _("pull again: it goes on where it was"),
    )
