"""Which data sets there are: dataset_info.json as LLaMA-Factory reads it, and the files beside it.

The file belongs to the user and to other programs. One bad entry hides no other: it is told, and told again when it is
asked for. A file instead of a name is a set too, whose columns are guessed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.data import dataset_file
from core.data.dataset_file import INFO, check_name, locked, read_info
from core.data.encoding import decode
from core.data.entry import DatasetEntry, is_data_file, read_entry
from core.data.guess import Guess, guess
from core.data.hub import open_hub_rows
from core.data.problems import DataProblem, shown_path
from core.data.rows import open_rows
from core.errors import DataError, did_you_mean
from core.i18n import _
from core.jsonl import Json
from core.models.info import typed_path

__all__ = ["Catalog", "DatasetEntry", "guess_entry", "read_catalog", "register"]

ONLINE = "ONLINE"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The data sets of a folder."""

    folder: Path
    entries: Mapping[str, DatasetEntry] = field(default_factory=dict)
    """In the order of the file."""
    problems: Mapping[str, DataProblem] = field(default_factory=dict)
    """Entries that cannot be used."""
    online: bool = False
    """Names are ids of the hub."""

    def entry(self, name: str) -> DatasetEntry:
        """The set of a name, or of a file or folder.

        Raises:
            DataError: there is none, its entry is wrong, or a file's columns cannot be guessed.
        """
        if name in self.entries:
            return self.entries[name]
        if name in self.problems:
            problem = self.problems[name]
            raise DataError(f"{problem.where}: {problem.what}", problem.hint)
        path = self.file_of(name)
        if path is not None:
            same = (entry for entry in self.entries.values() if entry.file_name and entry.path.absolute() == path)
            return next(same, None) or guess_entry(path, self.folder)
        if self.online:
            return _guessed_online(name, self.folder)
        if Path(name).suffix or len(Path(name).parts) > 1:
            what = _("there is no data set and no data file {name!r}").format(name=name)
        else:
            what = _("{info} has no data set {name!r}").format(info=shown_path(self.folder / INFO), name=name)
        raise DataError(what, self._advice(name))

    def unregistered(self) -> list[Path]:
        """Data files of the folder that no entry names."""
        named = {entry.path for entry in self.entries.values() if entry.file_name}
        files = (path for path in _files(self.folder) if is_data_file(path) and path.name != INFO)
        return [path for path in files if path not in named and not named & set(path.parents)]

    def _advice(self, name: str) -> str:
        longer = [entry for entry in self.entries if name and entry.startswith(name)]
        near = did_you_mean(name, [*self.entries, *(file.name for file in self.unregistered())])
        if near and len(longer) < 2:
            return near
        return _("there are: {names}").format(names=", ".join(longer or self.entries) or _("none"))

    def file_of(self, name: str) -> Path | None:
        """The file or folder that a name which is not entered may mean; None where there is none."""
        typed = typed_path(name)
        candidates = [typed, self.folder / typed]
        found = next((path for path in candidates if path.is_file() or (len(typed.parts) > 1 and path.is_dir())), None)
        guessed = (self.folder / f"{name}{suffix}" for suffix in (".jsonl", ".json"))
        path = found or next((path for path in guessed if path.is_file()), None)
        return path.absolute() if path is not None else None


def read_catalog(data_dir: Path | str) -> Catalog:
    """The data sets of a folder; none where there is no dataset_info.json.

    Raises:
        DataError: dataset_info.json is no JSON object; the message has the line.
    """
    folder = Path(data_dir)
    if folder.name == ONLINE and not folder.exists():
        return Catalog(folder.parent, online=True)
    if any(part.startswith("REMOTE:") for part in folder.parts):
        raise DataError(
            _("dataset_dir {name}: folders of a hub cannot be read").format(name=folder),
            _("fetch the folder, and name it with dataset_dir"),
        )
    entries: dict[str, DatasetEntry] = {}
    problems: dict[str, DataProblem] = {}
    for name, entry in _read_info(folder / INFO).items():
        try:
            entries[name] = read_entry(name, entry, folder)
        except DataError as error:
            problems[name] = DataProblem(shown_path(folder / INFO), "entry", error.message, error.hint)
    return Catalog(folder, entries, problems)


def guess_entry(path: Path, data_dir: Path) -> DatasetEntry:
    """A file, or a folder of files, as a data set of its name; the path counts from `data_dir` where it lies below."""
    below = path.is_relative_to(data_dir.absolute())
    file_name = path.relative_to(data_dir.absolute()).as_posix() if below else str(path)
    entry = DatasetEntry(path.stem, data_dir, file_name, registered=False)
    rows = open_rows(entry)
    try:
        return _with(entry, guess(rows))
    except DataError as error:
        raise DataError(f"{shown_path(path)}: {error.message}", error.hint) from error


def register(data_dir: Path, entry: DatasetEntry) -> DatasetEntry:
    """Enter a set in dataset_info.json, leaving every other byte of the file as it is.

    Returns:
        The entry as it now stands there.

    Raises:
        DataError: the name is taken, or cannot be one.
        WorkspaceError: the file cannot be written.
    """
    check_name(entry.name)
    with locked(data_dir):
        if entry.name in read_info(data_dir):
            raise DataError(
                _("{info} has a data set {name!r} already").format(info=shown_path(data_dir / INFO), name=entry.name),
                _("give another name with --name, or take that entry out"),
            )
        dataset_file.register(data_dir, entry.name, entry.as_json())
    return dataclasses.replace(entry, registered=True, columns_given=True)


def _read_info(path: Path) -> Json:
    try:
        text, _encoding = decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(
            _("{path} cannot be read: {reason}").format(path=shown_path(path), reason=error.strerror),
            _("look at its permissions"),
        ) from error
    try:
        info = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        what = _("{path}:{line}: broken JSON: {problem}")
        raise DataError(
            what.format(path=shown_path(path), line=error.lineno, problem=error.msg),
            _("mend the file: often a comma is missing or too many, in this line or the one before"),
        ) from None
    except RecursionError:
        raise DataError(_("{path}: JSON that is nested too deeply").format(path=shown_path(path))) from None
    if not isinstance(info, dict):
        what = _("{path}: expected an object with one object for each data set").format(path=shown_path(path))
        raise DataError(what, _('write {"NAME": {"file_name": "…"}}'))
    return info


def _guessed_online(name: str, folder: Path) -> DatasetEntry:
    entry = DatasetEntry(name, folder, hub_name=name, registered=False)
    return _with(entry, guess(open_hub_rows(entry)))


def _with(entry: DatasetEntry, guessed: Guess) -> DatasetEntry:
    return dataclasses.replace(
        entry,
        formatting=guessed.formatting,
        columns=guessed.columns,
        columns_given=True,
        tags=guessed.tags,
        ranking=guessed.ranking,
    )


def _files(folder: Path) -> Iterator[Path]:
    try:
        children = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    for child in children:
        if child.is_file():
            yield child
