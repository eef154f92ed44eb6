"""Who answers what: every model with every test set is a part, with a folder of its own where there are several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.engine.evaluating.test_set import TestRow, TestSet
from core.errors import ReportError
from core.i18n import _
from core.report.layout import PartFiles, PlannedPart
from core.report.store import read_parts
from core.runs.rundir import RunDirectory

_PLAIN = re.compile(r"[^\w.@+-]+")
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Part:
    """A model's answers to a test set: `repeats` to each of its rows."""

    planned: PlannedPart
    files: PartFiles
    tests: TestSet
    repeats: int = 1

    @property
    def name(self) -> str:
        return self.planned.name

    def wanted(self) -> Iterator[tuple[TestRow, int]]:
        """Every row as often as it is asked, with the number of the time."""
        for row in self.tests.rows:
            for repeat in range(self.times):
                yield row, repeat

    @property
    def times(self) -> int:
        """Of what is not drawn, once."""
        return 1 if self.tests.is_asked_once else self.repeats


def plan_parts(
    run: RunDirectory, subjects: Mapping[str, str], tests: Sequence[TestSet], repeats: int
) -> dict[str, list[Part]]:
    """The parts of an evaluation by the name of who answers, in the order in which they are gone through.

    Args:
        subjects: who answers, by name; the hash of each one's weights, empty where nobody knows them.
    """
    folders, asked = _folders(list(subjects), tests), {one.name: one.asked() for one in tests}
    parts: dict[str, list[Part]] = {}
    for subject, weights in subjects.items():
        for one in tests:
            folder = folders[subject, one.name]
            times = 1 if one.is_asked_once else repeats
            name, rows = f"{subject} · {one.name}", len(one.rows) * times
            planned = PlannedPart(name, folder, subject, one.name, rows, asked[one.name], weights)
            files = PartFiles(run.path / folder)
            parts.setdefault(subject, []).append(Part(planned, files, one, repeats))
    return parts


def refuse_changed(run: RunDirectory, parts: Sequence[Part]) -> None:
    """Raises ReportError where a part has answers of an earlier segment, to other rows or by other weights."""
    before = {part.folder: part for part in read_parts(run.path)}
    for part in parts:
        then, now = before.get(part.planned.folder), part.planned
        if then is None or not (part.files.journal.exists() or part.files.report.exists()):
            continue
        if then.asked not in ("", now.asked):
            what = _("{name}: the answers so far are to other rows than the test set has now")
            hint = _("the file was changed meanwhile; evaluate anew: --overwrite_output_dir")
            raise ReportError(what.format(name=part.name), hint)
        if then.weights not in ("", now.weights):
            what = _("{name}: the answers so far are by other weights than lie there now")
            hint = _("it was trained anew meanwhile; evaluate anew: --overwrite_output_dir")
            raise ReportError(what.format(name=part.name), hint)


def _folders(subjects: Sequence[str], tests: Sequence[TestSet]) -> dict[tuple[str, str], str]:
    pairs = [(subject, one.name) for subject in subjects for one in tests]
    if len(pairs) == 1:
        return {pairs[0]: "."}
    found: dict[tuple[str, str], str] = {}
    for subject, name in pairs:
        words = [subject] if len(tests) == 1 else [name] if len(subjects) == 1 else [subject, name]
        plain = _PLAIN.sub("-", "--".join(words)).strip("-.")[:_LONGEST_NAME] or "part"
        taken, count = {folder.casefold() for folder in found.values()}, 1
        folder = f"parts/{plain}"
        while folder.casefold() in taken:
            count += 1
            folder = f"parts/{plain}-{count}"
        found[subject, name] = folder
    return found
