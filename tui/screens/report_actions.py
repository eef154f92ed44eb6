"""What can be done with the rows of a report: judge, note something, ask again in the chat, learn from them, export.

Verdicts and notes lie beside the report and are written at once; the row that they belong to is meant by its own id, so
they outlive a resume and a new scoring.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual import on, work
from textual.screen import Screen
from textual.widgets import Input

from core.chat.export import append_to_dataset
from core.chat.message import Message
from core.data.dataset_file import read_info
from core.errors import FinetuiError, ReportError
from core.i18n import _
from core.models.adapters import is_adapter_folder, resolve_adapter
from core.models.catalog import resolve_model
from core.models.info import typed_path
from core.report.asked import AskedRows
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.report.report import Subject
from core.report.review import Review, Verdict
from core.report.rows import OpenReport
from core.serve.remote_address import Server, is_served
from core.untrusted import inert, inert_line
from core.workspace import Workspace, load_state, save_state
from tui import clipboard
from tui.messages import ComparisonChosen
from tui.screens.report_dialogs import AddRow, ExportDialog, RowForSet
from tui.screens.report_exports import ENDINGS, export_text
from tui.screens.writing import write_file
from tui.widgets.dialogs import AskText

_DEFAULT_SET = "reviewed"
_STATE = "report"


class ReportActions(Screen[None]):
    """The actions on the current row."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.opened: OpenReport | None = None
        self.asked: AskedRows | None = None
        remembered = load_state(workspace).get(_STATE)
        self._remembered: dict[str, Any] = remembered if isinstance(remembered, dict) else {}

    # --- what the screen gives ---

    @property
    def current(self) -> int | None:
        """The number of the row that the keys act on."""
        raise NotImplementedError

    @property
    def order(self) -> Sequence[int]:
        """The rows shown now."""
        raise NotImplementedError

    def judged(self, *, go_on: bool) -> None:
        """A verdict or a note has been written."""
        raise NotImplementedError

    # --- telling ---

    def tell_error(self, error: FinetuiError) -> None:
        self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)

    def remember(self, **changes: Any) -> None:
        """Keep something in the workspace's memory, where that can be written."""
        self._remembered.update(changes)
        try:
            save_state(self.workspace, **{_STATE: changes})
        except FinetuiError as error:
            self.tell_error(error)

    @property
    def advances(self) -> bool:
        """Whether a verdict goes on to the next row."""
        return self._remembered.get("advance") is not False

    @property
    def row(self) -> Prediction | None:
        """The row that the keys act on."""
        return self.opened.predictions[self.current] if self.opened is not None and self.current is not None else None

    @property
    def review(self) -> Review | None:
        """What was said of it."""
        row = self.row
        return self.opened.review.of(row) if self.opened is not None and row is not None else None

    # --- judging ---

    def action_judge(self, verdict: Verdict) -> None:
        """Judge the current row; the same verdict again takes it back."""
        row, review = self.row, self.review
        if self.opened is None or row is None or review is None:
            return
        again = review.verdict == verdict
        self.opened.review.put(row, verdict="" if again else verdict)
        self.judged(go_on=self.advances and not again)

    def action_advance(self) -> None:
        """Choose whether a verdict goes on to the next row."""
        self.remember(advance=not self.advances)
        self.notify(
            _("A verdict goes on to the next row.") if self.advances else _("A verdict stays on its row."), timeout=3
        )

    def action_note(self) -> None:
        """Write a note to the current row; an empty one takes it away."""
        row, review = self.row, self.review
        if self.opened is None or row is None or review is None:
            return
        opened, before = self.opened, review.note

        def noted(note: str | None) -> None:
            if note is not None and note != before:
                try:
                    opened.review.put(row, note=note)
                except FinetuiError as error:
                    self.tell_error(error)
                self.judged(go_on=False)

        title = _("Note to row {n}").format(n=row.row + 1)
        self.app.push_screen(AskNote(title, inert_line(before)), noted)

    # --- asking again ---

    def exchange(self, row: Prediction) -> Sequence[Message]:
        """The conversation up to the question: from the data set, else the question as far as the prompt tells it."""
        found = self.asked.messages(row) if self.asked is not None else ()
        return found or (Message("user", question_text(row.prompt)),)

    def _asked(self) -> Sequence[Message]:
        """What the current row was asked; where the report does not have it, that is said."""
        asked = self.exchange(self.row) if self.row is not None else ()
        if asked and not asked[-1].content.strip():
            self.notify(_("This report does not have the questions."), severity="warning")
            return ()
        return asked

    @work
    async def action_chat_row(self) -> None:
        """Ask the question again: by the base and by the adapter, side by side."""
        asked = self._asked()
        if asked and self.opened is not None:
            speakers = await asyncio.to_thread(_speakers, self.opened.report.subject, self.workspace)
            self.app.post_message(ComparisonChosen(speakers, asked))

    async def action_copy_row(self) -> None:
        """Copy question, reference and answer."""
        row = self.row
        if row is None:
            return
        question = self.exchange(row)[-1].content
        parts = ((_("question"), question), (_("reference"), row.label), (_("answer"), row.predict))
        text = "\n\n".join(f"{title}:\n{text}" for title, text in parts)
        await clipboard.copy(self.app, text, self.workspace.state)

    # --- learning from it ---

    @work
    async def action_add_row(self) -> None:
        """Put the current row into a data set, with the reference, the answer, or another one."""
        row, messages = self.row, self._asked()
        if row is None or not messages:
            return
        info = await asyncio.to_thread(read_info, self.workspace.data)
        sets = [name for name, entry in info.items() if not entry.get("ranking")]
        name = str(self._remembered.get("dataset") or _DEFAULT_SET)
        dialog = AddRow(messages[-1].content, row.label, row.predict, sets, inert_line(name))
        wanted = await self.app.push_screen_wait(dialog)
        if wanted is not None:
            await self._add(messages, wanted)

    async def _add(self, messages: Sequence[Message], wanted: RowForSet) -> None:
        exchange = [*messages, Message("assistant", wanted.answer)]
        path = await asyncio.to_thread(append_to_dataset, self.workspace.data, wanted.dataset, exchange)
        self.remember(dataset=wanted.dataset)
        told = _("appended to the data set {name}: {path}")
        self.notify(told.format(name=inert_line(wanted.dataset), path=inert_line(str(path))), markup=False)

    # --- exporting ---

    def action_export_rows(self) -> None:
        """Write the rows shown now into a file."""
        opened, order = self.opened, list(self.order)
        if opened is None or not order:
            self.notify(_("There is no row to export."), severity="warning")
            return
        stem = re.sub(r"[^\w.\-]+", "-", inert_line(f"{opened.report.subject.name}-{opened.report.data.name}")).strip(
            "-"
        )
        ending = self._remembered.get("ending")
        name = f"{stem or 'report'}.{ending if ending in ENDINGS else ENDINGS[0]}"

        def named(file: str | None) -> None:
            if file:
                self._export(opened, order, typed_path(file).absolute())

        self.app.push_screen(ExportDialog(len(order), name, ENDINGS), named)

    @work
    async def _export(self, opened: OpenReport, order: Sequence[int], path: Path) -> None:
        ending = path.suffix.removeprefix(".").lower()
        text = await asyncio.to_thread(export_text, opened, order, ending, self.workspace)
        self.remember(ending=ending)
        write_file(self, path, text)


class AskNote(AskText):
    """Asks for a note; an empty one is an answer too."""

    @on(Input.Submitted)
    def _noted(self, event: Input.Submitted) -> None:
        event.prevent_default()
        self.dismiss(event.value.strip())


def _speakers(subject: Subject, workspace: Workspace) -> list[tuple[str, str | None]]:
    """Who is to answer: the model that was evaluated, beside its base where it is an adapter.

    Raises:
        FinetuiError: it is not here.
    """
    if is_served(subject.path):
        return [(Server(subject.path, subject.model).name, None)]
    if not subject.model:
        raise ReportError(
            _("this report does not say which model answered"),
            _("finetui eval makes reports that do; ctrl+y in the chat has the question"),
        )
    base = resolve_model(subject.model, workspace).name
    if not subject.adapter:
        return [(base, None)]
    folder = Path(subject.path)
    if not is_adapter_folder(folder):
        return [(base, None), (base, resolve_adapter(subject.adapter, workspace).name)]
    return [(base, None), (base, _short(folder, subject.adapter, workspace))]


def _short(folder: Path, typed: str, workspace: Workspace) -> str:
    """What the chat calls the adapter: as it was typed where that still means this folder, else the folder."""
    try:
        found = resolve_adapter(typed, workspace)
    except FinetuiError:
        return str(folder)
    return found.name if found.path.resolve() == folder.resolve() else str(folder)
