"""The questions that a report asks: where an export goes, and what of a row goes into a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from core.data.dataset_file import check_name
from core.errors import FinetuiError
from core.i18n import _, plural
from core.untrusted import inert_line
from tui.widgets.dialogs import Dialog
from tui.widgets.inert_inputs import InertInput, InertTextArea


class ExportDialog(Dialog[str | None]):
    """Asks for a file; its ending says what is written. Up and down change the ending.

    Args:
        rows: how many will be written.
        name: the file that is proposed.
        endings: what can be written, without the dot.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss(None)"),
        Binding("down", "ending(1)", show=False),
        Binding("up", "ending(-1)", show=False),
    ]
    DEFAULT_CSS = """
    ExportDialog #export-told { height: 2; margin-top: 1; }
    """

    def __init__(self, rows: int, name: str, endings: Sequence[str]) -> None:
        super().__init__()
        self._rows, self._file, self._endings = rows, name, list(endings)

    def compose(self) -> ComposeResult:
        title = plural("Export {count:,} row", "Export {count:,} rows", self._rows)
        with Vertical(classes="dialog-box"):
            yield Static(Content(title), classes="dialog-title")
            yield InertInput(self._file, select_on_focus=False)
            yield Static(Content(""), id="export-told")
            keys = _("up, down: {endings} · enter writes · esc leaves").format(endings=" ".join(self._endings))
            yield Static(Content(keys), classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @property
    def _ending(self) -> str:
        return Path(self.query_one(Input).value.strip()).suffix.removeprefix(".").lower()

    def action_ending(self, step: int) -> None:
        """Take the next ending."""
        at = self._endings.index(self._ending) if self._ending in self._endings else -step
        ending = self._endings[(at + step) % len(self._endings)]
        line = self.query_one(Input)
        path = Path(line.value.strip() or self._file)
        known = path.suffix.removeprefix(".").lower() in self._endings
        line.value = str(path.with_suffix(f".{ending}") if known else Path(f"{path}.{ending}"))
        line.cursor_position = len(line.value)

    @on(Input.Changed)
    def _tell(self, event: Input.Changed) -> None:
        event.stop()
        words = {
            "csv": _("a table for a spreadsheet"),
            "jsonl": _("one row a line, with everything known of it"),
            "md": _("Markdown, for an issue or a note"),
            "html": _("a page for a browser, with everything about the report"),
            "json": _("everything as JSON"),
        }
        told = words.get(self._ending, "") if self._ending in self._endings else ""
        unknown = Content.styled(
            _("the file has to end in .{endings}").format(endings=", .".join(self._endings)), "$text-error"
        )
        self.query_one("#export-told", Static).update(Content.styled(told, "$muted") if told else unknown)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._ending in self._endings:
            self.dismiss(event.value.strip())
        else:
            self.app.bell()


@dataclass(frozen=True, slots=True)
class RowForSet:
    """What is to become a row of which set."""

    dataset: str
    answer: str


class AddRow(Dialog[RowForSet | None]):
    """Asks which answer goes into which set: the reference, the model's, or one that is written here.

    Args:
        question: what was asked, told above.
        reference: the reference answer.
        predict: the model's.
        sets: those that there are, to choose from with up and down.
        name: the set that is proposed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss(None)"),
        Binding("ctrl+s", "keep", show=False, priority=True),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (15, "-low"), (30, "-tall")]  # noqa: RUF012
    DEFAULT_CSS = """
    AddRow .dialog-box { width: 84; }
    AddRow Horizontal { height: 1; }
    AddRow .add-label { width: 12; color: $text-muted; }
    AddRow Input { width: 1fr; }
    AddRow #add-answer { height: 6; border: none; background: $panel; margin: 1 0 0 0; }
    AddRow OptionList, AddRow OptionList:focus { height: 2; margin: 1 0 0 0; }
    AddRow #add-told { height: auto; min-height: 1; margin: 1 0 0 0; }
    AddRow .dialog-title { max-height: 3; }
    AddRow.-low #add-answer, AddRow.-short #add-answer { height: 3; }
    AddRow.-low .dialog-box { padding: 0 2; }
    AddRow.-low .dialog-title { margin: 0; }
    AddRow.-short #add-answer, AddRow.-short OptionList, AddRow.-short #add-told { margin: 0; }
    """

    def __init__(self, question: str, reference: str, predict: str, sets: Sequence[str], name: str) -> None:
        super().__init__()
        self._question, self._answers = question, (reference, predict)
        self._sets, self._dataset = list(sets), name

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            title = Content(_("Add to a data set: {question}").format(question=inert_line(self._question)))
            yield Static(title.truncate(240, ellipsis=True), classes="dialog-title")
            with Horizontal():
                yield Static(Content(_("data set")), classes="add-label")
                yield InertInput(self._dataset, id="add-set", select_on_focus=True)
            yield OptionList(
                Option(Content(_("the reference as the answer"))),
                Option(Content(_("the model's answer as the answer"))),
                markup=False,
            )
            yield InertTextArea(self._answers[0], id="add-answer", show_line_numbers=False)
            yield Static(Content(""), id="add-told")
            keys = _("up, down: other sets · tab next · enter or ctrl+s adds · esc leaves")
            yield Static(Content(keys), classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0
        self.query_one("#add-set").focus()
        self._tell()

    def on_key(self, event: events.Key) -> None:
        """Up and down in the name go through the sets that there are."""
        line = self.query_one("#add-set", Input)
        if event.key not in ("up", "down") or not line.has_focus or not self._sets:
            return
        event.stop()
        step = 1 if event.key == "down" else -1
        at = self._sets.index(line.value) if line.value in self._sets else -step if step < 0 else -1
        line.value = self._sets[(at + step) % len(self._sets)]
        line.cursor_position = len(line.value)

    @on(OptionList.OptionHighlighted)
    def _chosen(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.query_one(TextArea).text = self._answers[event.option_index]

    @on(OptionList.OptionSelected)
    def _taken(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_keep()

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _tell(self) -> None:
        if self.is_mounted:
            problem = self._problem()
            self.query_one("#add-told", Static).update(
                Content.styled(problem or self._said(), "$text-error" if problem else "$muted")
            )

    def _said(self) -> str:
        name = self.query_one("#add-set", Input).value.strip()
        known = name in self._sets
        told = _("one more row in {name}") if known else _("{name} is a new set, in the format of messages")
        return told.format(name=inert_line(name))

    def _problem(self) -> str:
        name = self.query_one("#add-set", Input).value.strip()
        if not name:
            return _("Which set?")
        try:
            check_name(name)
        except FinetuiError as error:
            return inert_line(str(error))
        return "" if self.query_one(TextArea).text.strip() else _("The answer is empty.")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        """Have the row added."""
        if self._problem():
            self.app.bell()
            return
        text = self.query_one(TextArea).text
        shown = next((answer for answer in self._answers if inert_line(answer) == inert_line(text)), text)
        self.dismiss(RowForSet(self.query_one("#add-set", Input).value.strip(), shown))
