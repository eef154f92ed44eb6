"""Where a judging is kept: a folder of its own below the data sets, so that nothing is asked or drawn twice.

`pairs.yaml` has the options, `NAME-prompts.jsonl` what is asked, `drawing.json` the runs that draw the answers, and
`pairs.jsonl` is put in its place whole when they are drawn; `verdicts.jsonl` grows while somebody judges. The set that
is written out of these lies beside the other data sets, under the same name.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.load import Settings, load
from core.data.dataset_file import replace_file
from core.data.examples import data_folder
from core.errors import DataError, RecordError, did_you_mean
from core.i18n import _
from core.jsonl import dump_line, numbered_lines
from core.judging.options import JUDGING, DrawingOptions, JudgingOptions, PromptOptions
from core.judging.pair import Pair
from core.records import from_record, registry, to_record
from core.untrusted import inert_line
from core.workspace import JUDGINGS, Workspace

_CLASSES = registry(Pair)


@dataclass(frozen=True)
class Judging:
    """Pairs that are drawn and judged under one name."""

    data: Path
    """The folder of data sets."""
    name: str
    settings: Settings
    workspace: Workspace

    @property
    def folder(self) -> Path:
        return judging_folder(self.data, self.name)

    @property
    def seed(self) -> int:
        return self.settings[DrawingOptions].seed

    @property
    def options(self) -> JudgingOptions:
        return self.settings[JudgingOptions]

    @property
    def written(self) -> Path:
        """The data set that the judgements become."""
        return self.data / f"{self.name}.jsonl"

    @property
    def prompts(self) -> Path:
        """What is asked, as a data set of conversations; an `id` is a prompt's number."""
        return self.folder / f"{self.name}-prompts.jsonl"

    @property
    def drawing(self) -> Path:
        """The runs that draw, and how many prompts got no pair."""
        return self.folder / "drawing.json"

    @property
    def pairs_file(self) -> Path:
        return self.folder / "pairs.jsonl"

    @property
    def verdicts(self) -> Path:
        return self.folder / "verdicts.jsonl"

    @property
    def is_drawn(self) -> bool:
        """Whether all answers are there."""
        return self.pairs_file.is_file()

    def pairs(self) -> list[Pair]:
        """The pairs to be judged, in the order of their prompts; none while answers are drawn.

        Raises:
            DataError: the file was changed into something else.
        """
        return list(_read_pairs(self.pairs_file)) if self.is_drawn else []

    def keep_pairs(self, pairs: Sequence[Pair]) -> None:
        """All answers are drawn: put the pairs in their place."""
        replace_file(self.pairs_file, b"".join(dump_line(to_record(pair)) for pair in pairs))


def judging_folder(data: Path, name: str) -> Path:
    """The folder of a judging."""
    return data / JUDGINGS / name


def options_file(folder: Path) -> Path:
    """Its options; where they stand, the judging has begun."""
    return folder / "pairs.yaml"


def judgings(workspace: Workspace) -> list[str]:
    """The names of those in the workspace's own data folder, sorted."""
    folder = workspace.data / JUDGINGS
    with contextlib.suppress(OSError):
        return sorted(child.name for child in folder.iterdir() if options_file(child).is_file())
    return []


def find_judging(name: str, workspace: Workspace, data: Path | None = None) -> Judging:
    """What was begun under a name.

    Raises:
        DataError: nothing was.
    """
    data = data or workspace.data
    path = options_file(judging_folder(data, name))
    if not path.is_file():
        known = judgings(workspace)
        hint = did_you_mean(name, known) or _("draw answers first: finetui data preferences --dataset SET")
        raise DataError(_("no pairs are kept under the name {name}").format(name=inert_line(name)), hint)
    return Judging(data, name, load(JUDGING, file=path), workspace)


def data_folder_of(settings: Settings, workspace: Workspace) -> Path:
    """The folder of data sets that options name."""
    return data_folder(settings[PromptOptions], workspace)


def _read_pairs(path: Path) -> Iterator[Pair]:
    for number, line in numbered_lines(path.read_bytes()):
        try:
            yield from_record(_CLASSES, json.loads(line))
        except (ValueError, RecursionError, RecordError) as error:
            where = f"{inert_line(str(path))}:{number}"
            what = _("{where}: no pair: {problem}").format(where=where, problem=inert_line(str(error)))
            raise DataError(what, _("begin anew with --overwrite")) from error
