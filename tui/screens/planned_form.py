"""What the texts of a form come to: the mistakes at their rows, and beside them the plan, as one types.

A look at data and models costs a process, or some files that are read: it waits for a rest between two keys, and what
was known before stays until it is known anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from textual import work
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from core.config.load import Settings
from core.errors import ConfigError, FinetuiError, Problem
from core.i18n import _
from core.untrusted import inert
from tui.grouped_form import GroupedForm
from tui.option_texts import OptionTexts, option_of
from tui.widgets.plan_pane import PlanPane

P = TypeVar("P")
_LOOK_SECONDS = 0.7
"""Rest between the last key and the look."""
FIRST = "model_name_or_path"


class PlannedForm(Screen[Path | None], Generic[P]):
    """Tells what a form's options will be. `P` is the run as it is prepared."""

    TEXTS: ClassVar[OptionTexts]

    def __init__(self) -> None:
        super().__init__()
        self._problems: tuple[Problem, ...] = ()
        """What is known to stand against it now."""
        self._found: tuple[Problem, ...] = ()
        """Of these, what the last look at data and models has told."""
        self._stood = False
        """Whether problems stand in the plan's place."""
        self._prepared: P | None = None
        self._timer: Timer | None = None
        self._before_plan: Widget | None = None
        """Where the keyboard was when it went to the plan."""

    @property
    def form(self) -> GroupedForm:
        return self.query_one(GroupedForm)

    def prepared(self, settings: Settings) -> P:
        """The run with everything looked at that it stands on; asked in a thread.

        Raises:
            ConfigError: all that stands against it.
        """
        raise NotImplementedError

    async def look(self, prepared: P) -> None:
        """Tell what it will be."""
        raise NotImplementedError

    # --- what is known ---

    def _consider(self) -> None:
        """Look at what the texts mean, and have it planned when they mean something."""
        self._prepared = None
        self.workers.cancel_group(self, "plan")
        self.rest()
        try:
            self.TEXTS.settings_of(self.form.values)
        except ConfigError as error:
            self._found = ()
            self._show_problems(error.problems)
            return
        # What only a look at data and models can tell stays at its row until they were looked at again.
        self._problems = ()
        self.form.show_problems(self._found)
        self.query_one(PlanPane).say("…", None if self._found else self._nothing_wrong())
        self._timer = self.set_timer(_LOOK_SECONDS, self.plan)

    def rest(self) -> None:
        """Do not look by itself."""
        if self._timer is not None:
            self._timer.stop()

    def _show_problems(self, problems: Sequence[Problem], total: int = 0) -> None:
        """At their rows, and all of them in the plan's place."""
        self._stood = bool(problems)
        self._problems = tuple(replace(problem, where=option_of(problem.where)) for problem in problems)
        self.form.show_problems(self._problems)
        if problems:
            self.query_one(PlanPane).show_problems(problems, total)

    def _nothing_wrong(self) -> Content | None:
        """What takes the place of problems that are mended; None where there were none."""
        stood, self._stood = self._stood, False
        return Content("") if stood else None

    def found_against(self, problems: Sequence[Problem], total: int = 0) -> None:
        """Problems that a look at data and models has told."""
        self._show_problems(problems, total)
        self._found = self._problems

    @work(exclusive=True, group="plan")
    async def plan(self, look: Callable[[P], Awaitable[None]] | None = None) -> None:
        """Look at what it stands on and tell what it will be."""
        pane = self.query_one(PlanPane)
        try:
            prepared = await self._prepare()
            self._found = ()
            self.form.show_problems(())
            pane.say("…", self._nothing_wrong())
            await (look or self.look)(prepared)
        except FinetuiError as error:
            self._tell_no_plan(error)

    def _tell_no_plan(self, error: FinetuiError) -> None:
        if not self.display:
            return
        if isinstance(error, ConfigError):
            self.found_against(error.problems)
        else:
            text = Content(inert(f"{error.message}\n{error.hint}"))
            self.query_one(PlanPane).say(_("not known"), text)

    async def _prepare(self) -> P:
        """The run, with everything looked at that it stands on.

        Raises:
            ConfigError: all that stands against it.
        """
        if self._prepared is None:
            settings = self.TEXTS.settings_of(self.form.values)
            self._prepared = await asyncio.to_thread(self.prepared, settings)
        return self._prepared

    def action_plan(self) -> None:
        """Go to the plan, to scroll in it, and back."""
        pane = self.query_one(PlanPane)
        if pane.has_focus:
            self._leave_plan()
            return
        self._before_plan = self.focused
        pane.can_focus = True
        self.add_class("-plan")
        self.call_after_refresh(pane.focus)

    def _leave_plan(self) -> None:
        pane = self.query_one(PlanPane)
        self.remove_class("-plan")
        self.set_focus(None)
        pane.can_focus = False
        self.call_after_refresh(self._focus_rows)  # they have to be in view again

    def _focus_rows(self) -> None:
        if self._before_plan is not None and self._before_plan.is_attached and self._before_plan.focusable:
            self._before_plan.focus()
        else:
            self.form.go_to(FIRST)
