"""What can be done with evaluations and their reports: start them, stop, go on, read, compare, write down, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from core.i18n import _, plural
from core.report.catalog import holds_answers
from core.report.export import export_reports
from core.report.html import write_html
from core.runs.events import CheckpointSaved
from core.untrusted import inert, inert_line
from tui import clipboard
from tui.evaluation_table import Listed
from tui.run_watcher import Watched
from tui.screens.report_dialogs import ExportDialog
from tui.screens.run_actions import RunActions
from tui.screens.writing import write_file

_FORMATS = {"csv": "csv", "md": "markdown", "jsonl": "jsonl"}
"""By a file's ending."""

if TYPE_CHECKING:
    from tui.screens.evaluate_form import EvaluationForm


class EvaluateActions(RunActions):
    """The actions on the current report."""

    @property
    def row(self) -> Listed | None:
        """The report that the keys act on."""
        raise NotImplementedError

    @property
    def shown_rows(self) -> list[Listed]:
        """What the table shows, in its order."""
        raise NotImplementedError

    @property
    def every_row(self) -> list[Listed]:
        """All reports, filtered or not."""
        raise NotImplementedError

    @property
    def metrics(self) -> tuple[str, ...]:
        """The columns of numbers."""
        raise NotImplementedError

    @property
    def marked(self) -> list[Path]:
        """The reports that are to be compared, by folder."""
        raise NotImplementedError

    @property
    def current(self) -> Watched | None:
        return self.row.watched if self.row is not None else None

    @property
    def checkpoint(self) -> CheckpointSaved | None:
        return None

    def _show_run(self) -> None:
        """There is no page of a run here."""

    # --- reading ---

    def action_open_report(self) -> None:
        """The rows behind the numbers; of an evaluation without any, its log."""
        row = self.row
        if row is None:
            return
        if row.summary.problem:
            self.notify(inert(row.summary.problem), severity="error", markup=False)
        if row.summary.problem or not holds_answers(row.key):
            self.action_run_page("log")
            return
        from tui.screens.report import ReportScreen

        self.app.push_screen(ReportScreen(self.workspace, row.key))

    def action_run_page(self, page: str) -> None:
        """The log and the facts of the evaluation."""
        watched = self.current
        if watched is None:
            self.tell(_("Another tool wrote this report: there is no log."), severity="warning")
            return
        from tui.screens.evaluate_run import EvaluationRunScreen

        self.watcher.want(watched.run.path)
        self.app.push_screen(EvaluationRunScreen(self.workspace, watched.run.path, page))

    def action_compare_reports(self) -> None:
        """Compare the marked reports, or with one mark that one and the current one."""
        folders = list(self.marked)
        if self.row is not None and len(folders) < 2 and self.row.key not in folders:
            folders.append(self.row.key)
        by_itself = {row.key for row in self.every_row if not row.adapter}
        folders.sort(key=lambda folder: folder not in by_itself)  # a base is what the others are compared with
        if len(folders) < 2:
            self.tell(_("Mark two reports of one test set with space, then c compares them."), severity="warning")
            return
        from tui.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen(self.workspace, folders))

    # --- starting ---

    def action_new_evaluation(self) -> None:
        self.open_form()

    def action_duplicate(self) -> None:
        watched = self.current
        if watched is None:
            self.tell(_("Another tool wrote this report: there is nothing to begin with."), severity="warning")
            return
        self.open_form(watched.run.config)

    def open_form(self, config: Path | None = None, *, given: Mapping[str, str] | None = None) -> None:
        from tui.screens.evaluate_form import EvaluationForm  # pydantic, 80 ms: not before it is wanted

        form: EvaluationForm = EvaluationForm(self.workspace, config, given=given)
        self.app.push_screen(form, self._started)

    async def action_copy_command(self) -> None:
        """The command that evaluates the same."""
        watched = self.current
        if watched is None:
            self.tell(_("Another tool wrote this report: there is no command."), severity="warning")
            return
        from tui.evaluation_options import TEXTS  # pydantic, 80 ms

        texts = await asyncio.to_thread(TEXTS.file_texts, watched.run.config)
        await clipboard.copy(self.app, TEXTS.command_of(texts), self.workspace.state)

    # --- writing down ---

    def action_delete(self) -> None:
        if self.row is not None and self.current is None:
            self.tell(_("Another tool wrote this folder: delete it by hand."), severity="warning")
            return
        super().action_delete()

    def _lost_with(self, watched: Watched) -> str:
        parts = sum(row.watched is watched for row in self.every_row)
        return plural("{count} report in", "{count} reports in", parts) + " " + super()._lost_with(watched)

    def action_export_table(self) -> None:
        """Write the table as it is shown into a file."""
        summaries = [row.summary for row in self.shown_rows]
        if not summaries:
            self.tell(_("There is no report to write."), severity="warning")
            return

        def named(name: str | None) -> None:
            if name:
                path = self.workspace.root / Path(name).expanduser()
                form = _FORMATS[path.suffix.removeprefix(".").lower()]
                write_file(self, path, export_reports(summaries, form, self.metrics))

        self.app.push_screen(ExportDialog(len(summaries), "reports.csv", tuple(_FORMATS)), named)

    @work
    async def action_html(self) -> None:
        """A page with everything, beside the report."""
        row = self.row
        if row is None or not row.scored:
            self.tell(_("There is no number yet to be written down."), severity="warning")
            return
        path = await asyncio.to_thread(write_html, row.key, self.workspace)
        self.notify(_("Written: {path}").format(path=inert_line(str(path))), markup=False, timeout=12)
