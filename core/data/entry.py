"""A data set as dataset_info.json describes it, in LLaMA-Factory's words and with its meaning.

Its one trap is kept and told by the checks: once `columns` is given, a column that it does not name is not read, so
leaving out `query` drops `input`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from core.data.problems import shown_path
from core.errors import DataError, did_you_mean
from core.i18n import _
from core.jsonl import Json

Formatting: TypeAlias = Literal["alpaca", "sharegpt", "openai"]
FORMATTINGS: tuple[Formatting, ...] = get_args(Formatting)

DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".arrow")

COLUMNS = (
    *("prompt", "query", "response", "history", "messages", "system", "tools"),
    *("images", "videos", "audios", "chosen", "rejected", "kto_tag"),
)
DEFAULT_COLUMNS: Mapping[Formatting, Mapping[str, str]] = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "openai": {"messages": "messages"},
}
_SHAREGPT_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_OPENAI_TAGS = {
    **_SHAREGPT_TAGS,
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
}
DEFAULT_TAGS: Mapping[Formatting, Mapping[str, str]] = {
    "alpaca": {},
    "sharegpt": _SHAREGPT_TAGS,
    "openai": _OPENAI_TAGS,
}
TAGS = tuple(_SHAREGPT_TAGS)

_TEXTS = ("file_name", "hf_hub_url", "subset", "split", "folder", "file_sha1")
_REFUSED = {
    "ms_hub_url": "sets of ModelScope cannot be fetched",
    "om_hub_url": "sets of Modelers cannot be fetched",
    "script_url": "a script is code of somebody else's, which is not run here",
    "cloud_file_name": "files of a cloud cannot be fetched",
}
_KNOWN = (*_TEXTS, *_REFUSED, "formatting", "ranking", "columns", "tags", "num_samples")


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """Where a data set's rows are, and what their columns mean."""

    name: str
    data_dir: Path
    """The folder that `file_name` counts from."""
    file_name: str = ""
    """A file, or a folder of files."""
    hub_name: str = ""
    """The set's id on the Hugging Face hub, where it has no file."""
    formatting: Formatting = "alpaca"
    ranking: bool = False
    columns: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_COLUMNS["alpaca"]))
    """What a column is for, and its name in the rows; only those that are read."""
    columns_given: bool = False
    """Whether the entry names its columns itself."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What keys and roles are called in messages."""
    subset: str | None = None
    split: str | None = None
    folder: str | None = None
    num_samples: int | None = None
    file_sha1: str | None = None
    registered: bool = True
    """Whether it stands in dataset_info.json; else it was guessed."""
    unknown_keys: tuple[str, ...] = ()
    """Keys of the entry that mean nothing, as `columns.promt`."""

    @property
    def path(self) -> Path:
        """The file or folder, whether it is there or not."""
        return self.data_dir / self.file_name

    def data_files(self) -> tuple[Path, ...]:
        """The files of the set, in the order of their names.

        Raises:
            DataError: there are none.
        """
        path = self.path
        if path.is_file():
            return (path,)
        if not path.is_dir():
            names = [found.name for found in _children(path.parent)]
            hint = did_you_mean(path.name, names) or _("put it there, or change file_name in dataset_info.json")
            raise DataError(_("{name}: {path} is missing").format(name=self.name, path=shown_path(path)), hint)
        files = tuple(file for file in _children(path) if is_data_file(file) and file.is_file())
        if not files:
            what = _("{name}: the folder {path} holds no data files").format(name=self.name, path=shown_path(path))
            raise DataError(what, _("finetui reads {names}").format(names=", ".join(DATA_SUFFIXES)))
        return files

    def as_json(self) -> Json:
        """The entry as it is written into dataset_info.json."""
        entry: Json = {"file_name": self.file_name} if self.file_name else {"hf_hub_url": self.hub_name}
        if self.formatting != "alpaca":
            entry["formatting"] = self.formatting
        if self.ranking:
            entry["ranking"] = True
        entry["columns"] = dict(self.columns)
        # All tags: LLaMA-Factory takes a tag that is not given for none at all.
        if self.tags:
            entry["tags"] = dict(self.tags)
        optional = {name: getattr(self, name) for name in ("subset", "split", "folder", "num_samples", "file_sha1")}
        return entry | {name: value for name, value in optional.items() if value is not None}


def is_data_file(path: Path) -> bool:
    """Whether a file's suffix is one of those that are read."""
    return path.suffix.lower() in DATA_SUFFIXES


def read_entry(name: str, entry: object, data_dir: Path) -> DatasetEntry:
    """An entry of dataset_info.json.

    Raises:
        DataError: it says something that cannot be; the message begins with the set's name.
    """
    if not isinstance(entry, dict):
        raise DataError(_("{name}: the entry is no object").format(name=name), _('write {"file_name": "…"}'))
    for key, reason in _REFUSED.items():
        if entry.get(key) and not entry.get("file_name") and not entry.get("hf_hub_url"):
            hint = _("fetch its file yourself and name it with file_name")
            raise DataError(_("{name}: {key}: {reason}").format(name=name, key=key, reason=_(reason)), hint)
    texts = {key: _typed(name, entry, key, str) for key in _TEXTS}
    if not texts["file_name"] and not texts["hf_hub_url"]:
        hint = _("name the set's file with file_name, or its hub with hf_hub_url")
        raise DataError(_("{name}: the entry names no file").format(name=name), hint)
    formatting = _formatting(name, entry)
    columns, tags = _names(name, entry, "columns"), _names(name, entry, "tags")
    return DatasetEntry(
        name,
        data_dir,
        # As in LLaMA-Factory a hub's name goes before a file's.
        file_name="" if texts["hf_hub_url"] else texts["file_name"] or "",
        hub_name=texts["hf_hub_url"] or "",
        formatting=formatting,
        ranking=_typed(name, entry, "ranking", bool) or False,
        columns=_columns(formatting, columns),
        columns_given=columns is not None,
        tags={**DEFAULT_TAGS[formatting], **(tags or {})},
        num_samples=_number(name, entry),
        unknown_keys=tuple(_unknown(entry)),
        **{key: texts[key] for key in ("subset", "split", "folder", "file_sha1")},
    )


def _formatting(name: str, entry: Json) -> Formatting:
    given = entry.get("formatting") or "alpaca"
    for formatting in FORMATTINGS:
        if formatting == given:
            return formatting
    known = _("the formats are {names}").format(names=", ".join(FORMATTINGS))
    hint = did_you_mean(str(given), FORMATTINGS) or known
    raise DataError(_("{name}: there is no formatting {given!r}").format(name=name, given=given), hint)


def _columns(formatting: Formatting, given: Mapping[str, str] | None) -> Mapping[str, str]:
    if given is None:
        return dict(DEFAULT_COLUMNS[formatting])
    given = {role: name for role, name in given.items() if role in COLUMNS}
    if formatting != "alpaca" and "messages" not in given:
        return {**DEFAULT_COLUMNS[formatting], **given}
    return given


def _names(name: str, entry: Json, key: str) -> Mapping[str, str] | None:
    """A mapping of texts; null stands for what a set does not have."""
    given = _typed(name, entry, key, dict)
    if given is None:
        return None
    for inner, value in given.items():
        if value is not None and not isinstance(value, str):
            what = _("{name}: {key}.{inner} is no text").format(name=name, key=key, inner=inner)
            raise DataError(what, _("write the name of a column, or take it out"))
    return {inner: value for inner, value in given.items() if value}


def _number(name: str, entry: Json) -> int | None:
    number: int | None = _typed(name, entry, "num_samples", int)
    if number is not None and number < 1:
        raise DataError(_("{name}: num_samples has to be 1 or more").format(name=name), _("leave it out for all rows"))
    return number


def _typed(name: str, entry: Json, key: str, kind: type) -> Any:
    value = entry.get(key)
    if value is None or type(value) is kind:
        return value
    words = {str: _("a text"), bool: _("true or false"), int: _("a whole number"), dict: _("an object")}
    what = _("{name}: {key} is not {kind}").format(name=name, key=key, kind=words[kind])
    raise DataError(what, _("correct it in dataset_info.json"))


def _unknown(entry: Json) -> list[str]:
    unknown = [key for key in entry if key not in _KNOWN]
    for key, known in (("columns", COLUMNS), ("tags", TAGS)):
        unknown += [f"{key}.{inner}" for inner in entry.get(key) or {} if inner not in known]
    return unknown


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
