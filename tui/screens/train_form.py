"""The form of a training. Its plan is found out by the engine, in a process of its own, as one types."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import BindingType

from core.config.load import Settings
from core.errors import Problem
from core.i18n import _
from core.launch.prepare import PreparedTraining, prepare
from core.launch.start import start
from core.runs.plan import DryStep, Plan, Planning, Refused
from core.runs.quantities import QUANTITIES
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from tui.actions import bindings
from tui.plan_child import ask_plan
from tui.screens.run_form import RunForm
from tui.training_options import TEXTS, suggested
from tui.widgets.plan_pane import PlanPane


class TrainForm(RunForm[PreparedTraining]):
    """Fills in the options of a training and starts it."""

    TEXTS = TEXTS
    NAME = _("New training")
    SCOPES: ClassVar[tuple[str, ...]] = ("form", "train_form")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("train_form")]

    def __init__(
        self, workspace: Workspace, config: Path | None = None, *, given: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(workspace, config, given=given)
        self._stage = self._begun["stage"]
        """For which names are offered: sets of pairs, or of answers."""

    def suggested(self) -> Mapping[str, Sequence[str]]:
        return suggested(self.workspace, self._stage)

    def _consider(self) -> None:
        super()._consider()
        stage = self.form.values["stage"].strip() or "sft"
        if stage in QUANTITIES and stage != self._stage:
            self._stage = stage
            self._offer()

    @work(exclusive=True, group="words")
    async def _offer(self) -> None:
        """Offer what this stage can use."""
        words = await asyncio.to_thread(self.suggested)
        if self.display:  # else the form is being left
            self.form.suggest(words)

    def prepared(self, settings: Settings) -> PreparedTraining:
        return prepare(settings, self.workspace)

    def started(self, prepared: PreparedTraining) -> RunDirectory:
        return start(prepared)

    def file_name(self) -> str:
        values = self.form.values
        return f"{values['finetuning_type'] if self._stage == 'sft' else self._stage}.yaml"

    def own_keys(self) -> list[str]:
        return [_("ctrl+t try a batch")]

    async def look(self, prepared: PreparedTraining, *, dry: bool = False) -> None:
        """What the engine finds out."""
        pane = self.query_one(PlanPane)
        cautions = [Problem("", caution.message, caution.hint) for caution in prepared.cautions]
        async with aclosing(ask_plan(prepared.config, prepared.workspace, dry=dry)) as records:
            async for record in records:
                if not self.display:  # the form is being left, its rows may be gone already
                    return
                match record:
                    case Planning(fraction=fraction):
                        pane.say(_("rows become tokens {share:.0%}").format(share=fraction))
                    case Refused(problems=problems, total=total):
                        self.found_against(problems, total)
                    case Plan():
                        pane.show_plan(record, cautions)
                        if dry:
                            pane.say(_("trying the longest batch…"))
                    case DryStep():
                        pane.show_dry(record)

    def action_try_batch(self) -> None:
        """Load the model and measure an update with the longest batch."""
        if self.problems_stand():
            return
        self.rest()
        self.query_one(PlanPane).say(_("planning…"))
        self.plan(partial(self.look, dry=True))
