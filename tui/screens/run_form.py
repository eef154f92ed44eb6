"""The form of something that is started as a run: presets first, then the options in groups, and beside them what it
will be, as one types.

The form knows texts; `core.config` says what they mean, `core.launch` whether this machine can do it. Each mistake
stands at its row. Nothing is started before ctrl+r. Trainings and evaluations differ in their options and in what is
told of them, and in nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.errors import ConfigError
from core.i18n import _, plural
from core.runs.rundir import RunDirectory
from core.untrusted import inert, inert_line
from core.workspace import Workspace
from tui import clipboard
from tui.actions import bindings
from tui.forms import OptionForm
from tui.grouped_form import GroupedForm
from tui.option_texts import usual_model
from tui.screens.choose import ChooseWord, ChooseWords
from tui.screens.planned_form import FIRST, P, PlannedForm
from tui.screens.writing import write_file
from tui.widgets.dialogs import AskText, Confirm
from tui.widgets.plan_pane import PlanPane
from tui.widgets.preset_list import PresetList
from tui.widgets.status_bar import SharedStatusBar

_WIDE, _PLAN = 100, 44


class RunForm(PlannedForm[P]):
    """Fills in options and starts a run; its folder, or None when nothing was started.

    `P` is the run as it is prepared. What a form of a kind says of itself are its class variables.

    Args:
        workspace: where data, models and runs lie.
        config: a run's `config.yaml` to begin with.
        given: texts that are in it whichever preset is chosen.
    """

    NAME: ClassVar[str]
    """`New training`."""
    SCOPES: ClassVar[tuple[str, ...]] = ("form",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form"), Binding("escape", "back", _("Back"), show=False)]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = f"""
    RunForm #form-title {{ height: 1; padding: 0 1; }}
    RunForm #form-body {{ height: 1fr; }}
    RunForm #form-rows {{ width: 1fr; scrollbar-size-vertical: 1; }}
    RunForm GroupedForm {{ height: auto; overflow-y: hidden; }}
    RunForm PlanPane {{ width: {_PLAN}; border-left: solid $panel; }}
    RunForm PlanPane:focus {{ border-left: solid $primary; }}
    RunForm #form-keys {{ height: 1; padding: 0 1; background: $panel; color: $text-muted; }}
    RunForm.-narrow PlanPane {{ display: none; }}
    RunForm.-narrow.-plan PlanPane {{ display: block; width: 1fr; border-left: none; }}
    RunForm.-narrow.-plan #form-rows {{ display: none; }}
    """

    def __init__(
        self, workspace: Workspace, config: Path | None = None, *, given: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.workspace = workspace
        self._config = config
        self._given = dict(given or {})
        usual = {**self.TEXTS.defaults(), FIRST: usual_model(workspace)}
        self._begun: Mapping[str, str] = {**usual, **self._given}
        self._starting = False

    # --- what a form of a kind knows ---

    def suggested(self) -> Mapping[str, Sequence[str]]:
        """What there is for options that name something; asked in a thread."""
        raise NotImplementedError

    def started(self, prepared: P) -> RunDirectory:
        """Start it; asked in a thread."""
        raise NotImplementedError

    def file_name(self) -> str:
        """What a file with these options is called unless one says otherwise."""
        return f"{self.TEXTS.command}.yaml"

    def own_keys(self) -> list[str]:
        """Keys that only this form has, for the line of keys."""
        return []

    # --- the form ---

    def compose(self) -> ComposeResult:
        told = _("{name}: begin with a preset, or with the rows below it").format(name=self.NAME)
        yield Static(Content(told), id="form-title")
        with Horizontal(id="form-body"):
            yield VerticalScroll(id="form-rows", can_focus=False)
            yield PlanPane(id="form-plan")
        yield Static(Content(""), id="form-keys")
        yield SharedStatusBar()

    async def on_mount(self) -> None:
        words = await asyncio.to_thread(self.suggested)
        rows, texts = self.query_one("#form-rows"), self.TEXTS
        form = GroupedForm(texts.specs, self._begun, basic=texts.basic, relevant=texts.relevant, suggested=words)
        listed = PresetList(texts.presets())
        if self._config is None:
            await rows.mount(listed)
        await rows.mount(form)
        self._tell_keys()
        if self._config is None:
            listed.options.focus()
        else:
            self._begin_with_file(self._config)
        self._consider()

    def _tell_keys(self) -> None:
        keys = [
            _("ctrl+r start"),
            _("enter lists"),
            _("ctrl+f find"),
            _("ctrl+l all options"),
            *([_("ctrl+g plan")] if self.has_class("-narrow") else []),
            *self.own_keys(),
            _("ctrl+s save"),
            _("ctrl+y command"),
            _("esc back"),
        ]
        line = Content("  ").join(map(Content, keys)).truncate(max(1, self.size.width - 2), ellipsis=True)
        self.query_one("#form-keys", Static).update(line)

    def on_resize(self) -> None:
        self._tell_keys()

    # --- what it begins with ---

    @on(PresetList.Chosen)
    def _preset_chosen(self, event: PresetList.Chosen) -> None:
        before, usual = self.form.values, self.TEXTS.defaults()
        texts = self.TEXTS.preset_texts(event.preset.name)
        if texts[FIRST] == usual[FIRST]:
            texts[FIRST] = before[FIRST]
        self._begin({**texts, **self._given}, event.preset.name)
        self.form.go_to(FIRST)

    def _begin_with_file(self, config: Path) -> None:
        try:
            self._begin(self.TEXTS.file_texts(config), _("as {name}").format(name=inert_line(config.parent.name)))
        except ConfigError as error:
            self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)
        self.form.go_to(FIRST)

    def _begin(self, texts: Mapping[str, str], name: str) -> None:
        self._begun = texts
        self.form.tell(texts)
        title = Content.assemble((self.NAME, "bold"), f"  {name}")
        self.query_one("#form-title", Static).update(title)
        self._consider()

    # --- rows ---

    @on(GroupedForm.Asked)
    def _list_words(self, event: GroupedForm.Asked) -> None:
        row = event.row

        def chosen(word: str | None) -> None:
            if word is not None:
                row.tell(word)

        name, now, separator = row.spec.name, row.input.value, row.spec.separator
        if separator:
            self.app.push_screen(ChooseWords(name, row.words, now, separator=separator), chosen)
        else:
            self.app.push_screen(ChooseWord(name, row.words, now), chosen)

    @on(OptionForm.Edited)
    def _edited(self, event: OptionForm.Edited) -> None:
        event.stop()
        self._consider()

    def action_unfold(self) -> None:
        self.form.unfold()

    def action_find_option(self) -> None:
        """Go to an option by its name, wherever it is folded away."""

        def chosen(name: str | None) -> None:
            if name is not None:
                self.form.reveal(name)

        self.app.push_screen(ChooseWord(_("Which option?"), self.form.names), chosen)

    # --- what becomes of it ---

    def problems_stand(self) -> bool:
        """Whether something stands against it; if so, go there."""
        if not self._problems:
            return False
        count = len(self._problems)
        told = plural("{count} problem stands against it.", "{count} problems stand against it.", count)
        self.notify(told, severity="warning")
        self.remove_class("-plan")
        any(self.form.go_to(problem.where) for problem in self._problems)
        return True

    def action_start_run(self) -> None:
        """Start, unless something stands against it."""
        if not self._starting and not self.problems_stand():
            self._start()

    @work
    async def _start(self) -> None:
        self._starting = True
        try:
            prepared = await self._prepare()
            run = await asyncio.to_thread(self.started, prepared)
        except ConfigError as error:
            self.found_against(error.problems)
            self.problems_stand()
            return
        finally:
            self._starting = False
        self.notify(_("{name} has started.").format(name=inert_line(run.name)), markup=False)
        self.dismiss(run.path)

    def action_save_yaml(self) -> None:
        """Ask for a file, and write all options into it."""
        try:
            settings = self.TEXTS.settings_of(self.form.values)
        except ConfigError:
            self.problems_stand()
            return

        def named(name: str | None) -> None:
            if name:
                write_file(self, self.workspace.root / Path(name).expanduser(), self.TEXTS.yaml_of(settings))

        self.app.push_screen(AskText(_("Save the options in which file?"), self.file_name()), named)

    async def action_copy_command(self) -> None:
        await clipboard.copy(self.app, self.TEXTS.command_of(self.form.values), self.workspace.state)

    def action_back(self) -> None:
        """One step: out of the plan, out of the form; what was filled in is asked about."""
        if self.query_one(PlanPane).has_focus:
            self._leave_plan()
        elif self.TEXTS.said(self.form.values) == self.TEXTS.said(self._begun):
            self.dismiss(None)
        else:
            question = _("Leave the form? What you changed is lost.")
            self.app.push_screen(Confirm(question, _("ctrl+s keeps it in a file")), self._left)

    def _left(self, confirmed: bool | None) -> None:
        if confirmed:
            self.dismiss(None)
