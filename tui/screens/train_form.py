"""The form of a training. Its plan is found out by the engine, in a process of its own, as one types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import ClassVar

from textual.binding import BindingType

from core.config.load import Settings
from core.errors import Problem
from core.i18n import _
from core.launch.prepare import Prepared, prepare, start
from core.runs.plan import DryStep, Plan, Planning, Refused
from core.runs.rundir import RunDirectory
from tui.actions import bindings
from tui.plan_child import ask_plan
from tui.screens.run_form import RunForm
from tui.training_options import TEXTS, suggested
from tui.widgets.plan_pane import PlanPane


class TrainForm(RunForm[Prepared]):
    """Fills in the options of a training and starts it."""

    TEXTS = TEXTS
    NAME = _("New training")
    SCOPES: ClassVar[tuple[str, ...]] = ("form", "train_form")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("train_form")]

    def suggested(self) -> Mapping[str, Sequence[str]]:
        return suggested(self.workspace)

    def prepared(self, settings: Settings) -> Prepared:
        return prepare(settings, self.workspace)

    def started(self, prepared: Prepared) -> RunDirectory:
        return start(prepared)

    def file_name(self) -> str:
        return f"{self.form.values.get('finetuning_type') or 'train'}.yaml"

    def own_keys(self) -> list[str]:
        return [_("ctrl+t try a batch")]

    async def look(self, prepared: Prepared, *, dry: bool = False) -> None:
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
