"""The Hugging Face cache as it lies on disk: read without huggingface_hub (0.5 s to import) and without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "models--"


def cache_folder() -> Path:
    """Where huggingface_hub keeps what it fetched, by the same variables that it reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(variable):
            return Path(value).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def cached_models() -> Iterator[tuple[str, Path]]:
    """Yield (id, snapshot folder) of every model in the cache."""
    try:
        repositories = sorted(path for path in cache_folder().iterdir() if path.name.startswith(_PREFIX))
    except OSError:
        return
    for repository in repositories:
        snapshot = _snapshot(repository)
        if snapshot is not None:
            yield repository.name.removeprefix(_PREFIX).replace("--", "/"), snapshot


def cached_snapshot(hub_id: str) -> Path | None:
    """The snapshot of an id such as `org/name`, or None when it is not in the cache."""
    if not is_hub_id(hub_id):
        return None
    return _snapshot(cache_folder() / (_PREFIX + hub_id.replace("/", "--")))


def is_hub_id(name: str) -> bool:
    """Whether a name has the shape of a hub id, `org/name`."""
    parts = name.split("/")
    return len(parts) == 2 and all(part and part.strip(".") and _plain(part) for part in parts)


def _plain(part: str) -> bool:
    return part.isascii() and all(character.isalnum() or character in "._-" for character in part)


def _snapshot(repository: Path) -> Path | None:
    """What `main` points at, else the newest."""
    snapshots = repository / "snapshots"
    try:
        main = snapshots / (repository / "refs" / "main").read_text().strip()
        if main.parent == snapshots and main.is_dir():
            return main
    except (OSError, ValueError):
        pass
    try:
        return max(
            (path for path in snapshots.iterdir() if path.is_dir()), key=lambda p: p.stat().st_mtime, default=None
        )
    except OSError:
        return None
