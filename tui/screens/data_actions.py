"""What can be done with a data set: check, count, search, enter, split it, train on it. Long work goes on in a thread.

A thread that is no longer wanted ends at the next rows that it tells of, so that looking at another set never waits.
"""

from __future__ import annotations

import asyncio
import dataclasses
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from textual import work
from textual.screen import Screen
from textual.worker import get_current_worker

from core.data.catalog import register
from core.data.checks import Report, check
from core.data.search import search
from core.data.statistics import Statistics, class_of_each, statistics
from core.data.subsets import Subset, part_stem, split_dataset
from core.errors import FinetuiError
from core.i18n import _, plural
from core.untrusted import inert, inert_line
from core.workspace import Workspace
from tui.screens.evaluate_start import open_evaluation_form
from tui.widgets.dialogs import AskText
from tui.widgets.row_view import ReadRows, read_row
from tui.widgets.set_rows import DataSet, OpenSet
from tui.widgets.split_dialog import SplitDialog, SplitWanted

Result = TypeVar("Result")
OnProgress = Callable[[int, int], None]

_TOLD_EVERY = 20_000
_JUDGED_BY = 1_000


class Unwanted(Exception):
    """Nobody waits for this work any more."""


class DataActions(Screen[None]):
    """The actions on the current set."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.counted: dict[str, Statistics] = {}
        self.reports: dict[str, Report] = {}
        self.busy = ""
        """What goes on just now, for the line above the pages."""

    # --- what the screen gives ---

    @property
    def current(self) -> DataSet | None:
        raise NotImplementedError

    @property
    def opened(self) -> OpenSet | None:
        raise NotImplementedError

    @property
    def all_sets(self) -> Sequence[DataSet]:
        raise NotImplementedError

    def show_again(self) -> None:
        """Draw what is known of the current set anew."""
        raise NotImplementedError

    def found(self, matches: Sequence[int], text: str) -> None:
        """Rows have been found."""
        raise NotImplementedError

    def rescan(self, name: str = "") -> None:
        """Look at the folder again, and highlight a set."""
        raise NotImplementedError

    # --- long work ---

    async def in_thread(self, what: str, function: Callable[[OnProgress], Result]) -> Result:
        """Run something long while the screen tells how far it is.

        Raises:
            Unwanted: the worker that waits for it was cancelled.
        """
        worker = get_current_worker()
        self._tell_busy(what)

        def progress(done: int, rows: int) -> None:
            if worker.is_cancelled:
                raise Unwanted
            if rows:
                self.app.call_from_thread(self._tell_busy, f"{what} {done / rows:.0%}")

        try:
            return await asyncio.to_thread(function, progress)
        finally:
            if not worker.is_cancelled:
                self._tell_busy("")

    def _tell_busy(self, what: str) -> None:
        self.busy = what
        if self.is_mounted:
            self.show_again()

    def tell_error(self, error: FinetuiError) -> None:
        self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)

    @work(exclusive=True, group="count")
    async def count(self, opened: OpenSet) -> None:
        """Lengths and classes of a set."""
        rows = ReadRows(opened.rows, opened.shape)
        try:
            found = await self.in_thread(_("counting"), lambda progress: statistics(rows, progress))
        except Unwanted:
            return
        self.counted[opened.entry.name] = found
        self.show_again()

    @work(exclusive=True, group="check")
    async def check(self, data_set: DataSet) -> None:
        """All problems of a set; rows of its test sets are looked for in it."""
        name = str(data_set.file) if data_set.file is not None else data_set.name
        against = self._tests_of(data_set.name)
        try:
            report = await self.in_thread(
                _("checking"),
                lambda progress: check([name], None, self.workspace, against=against, on_progress=progress),
            )
        except Unwanted:
            return
        except FinetuiError as error:
            self.tell_error(error)
            return
        self.reports[data_set.name] = report
        self.show_again()

    def _tests_of(self, name: str) -> list[str]:
        """The sets that are kept for testing what is learnt from this one."""
        stem = part_stem(name)
        if stem == name or f"{stem}_test" in name:
            return []
        return [each.name for each in self.all_sets if each.entry and each.name.startswith(f"{stem}_test")]

    # --- search ---

    @work(exclusive=True, group="search")
    async def search(self, opened: OpenSet, text: str) -> None:
        """Find the rows with a text, all of them."""

        def collect(progress: OnProgress) -> array[int]:
            matches = array("q")
            for number in search(opened.rows, text):
                if not len(matches) % _TOLD_EVERY:
                    progress(number, len(opened.rows))
                matches.append(number)
            return matches

        try:
            matches = await self.in_thread(_("searching"), collect)
        except Unwanted:
            return
        if self.opened is opened:
            self.found(matches, text)

    # --- entering ---

    def action_register(self) -> None:
        """Enter an unregistered file in dataset_info.json, as it was guessed; ask for a name where it is taken."""
        data_set, opened = self.current, self.opened
        if data_set is None or data_set.file is None:
            self.notify(_("It is entered already; + marks the files that are not."))
        elif opened is None:
            self.notify(inert(data_set.problem), title=_("It cannot be entered"), severity="warning", markup=False)
        elif opened.entry.name in {each.name for each in self.all_sets if each.file is None}:
            question = _("Another set has this name. Enter it as")
            self.app.push_screen(AskText(question, inert_line(opened.entry.name)), self._enter_as)
        else:
            self._enter_as(opened.entry.name)

    def _enter_as(self, name: str | None) -> None:
        if name and self.opened is not None:
            self._enter(self.opened, name)

    @work
    async def _enter(self, opened: OpenSet, name: str) -> None:
        entry = dataclasses.replace(opened.entry, name=name)
        try:
            await asyncio.to_thread(register, self.workspace.data, entry)
        except FinetuiError as error:
            self.tell_error(error)
            return
        columns = ", ".join(f"{role}: {column}" for role, column in entry.columns.items())
        told = _("{formatting}, {columns}").format(formatting=entry.formatting, columns=columns)
        self.notify(inert(told), title=_("{name} is entered").format(name=inert_line(name)), markup=False)
        self.rescan(name)

    # --- training ---

    def action_train_on(self) -> None:
        """Open the form of a training with this set in it; a run that is started there is gone to."""
        data_set = self.current
        if data_set is None or data_set.entry is None:
            self.notify(_("A set has to be entered in dataset_info.json first: a enters it."), severity="warning")
            return
        from tui.screens.train import TrainScreen
        from tui.screens.train_form import TrainForm  # pydantic, 80 ms: not before it is wanted

        async def started(run: Path | None) -> None:
            if run is not None:
                await self.app.run_action("mode('train')", self.app)
                if isinstance(self.app.screen, TrainScreen):
                    self.app.screen.go_to_run(run)

        self.app.push_screen(TrainForm(self.workspace, given={"dataset": data_set.name}), started)

    def action_test_on(self) -> None:
        """Open the form of an evaluation with this set in it."""
        data_set = self.current
        if data_set is None:
            return
        name = data_set.name if data_set.entry is not None else str(data_set.file)
        open_evaluation_form(self.app, self.workspace, {"dataset": name})

    # --- splitting ---

    def action_split(self) -> None:
        """Ask how the set is to be split, and write the parts."""
        data_set, opened = self.current, self.opened
        if data_set is None or opened is None or len(opened.rows) < 2:
            self.notify(_("A set of two rows or more can be split."), severity="warning")
            return
        first = (read_row(opened.rows, opened.shape, number) for number in range(min(len(opened.rows), _JUDGED_BY)))
        by, _classes = class_of_each(reading.messages[-1].content for reading in first if reading.messages)
        name = str(data_set.file) if data_set.file is not None else data_set.name

        def split(wanted: SplitWanted | None) -> None:
            if wanted is not None:
                self._split(name, wanted)

        taken = {each.name for each in self.all_sets}
        dialog = SplitDialog(data_set.name, len(opened.rows), part_stem(opened.entry.name), by != "none", taken)
        self.app.push_screen(dialog, split)

    @work
    async def _split(self, name: str, wanted: SplitWanted) -> None:
        def write() -> tuple[Subset, ...]:
            return split_dataset(
                name,
                self.workspace,
                train=wanted.train,
                test=wanted.test,
                stratify=wanted.stratify,
                seed=wanted.seed,
                stem=wanted.stem,
            )

        self._tell_busy(_("splitting"))
        try:
            parts = await asyncio.to_thread(write)
        except FinetuiError as error:
            self.tell_error(error)
            return
        finally:
            self._tell_busy("")
        told = [inert_line(part.entry.name) for part in parts]
        kept = parts[0].classes
        said = plural("the shares of {count} class are kept", "the shares of {count} classes are kept", kept)
        self.notify(said if kept else _("drawn by chance"), title=_(", ").join(told), markup=False)
        self.rescan(parts[0].entry.name)
