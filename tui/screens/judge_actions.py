"""From a data set to pairs of answers to its prompts: drawn by a run, then judged here, blind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from textual import work

from core.errors import FinetuiError
from core.i18n import _, plural
from core.serve.remote_address import is_served
from core.untrusted import inert_line
from tui.entries import speaker
from tui.screens.choose import ChooseWord
from tui.screens.data_actions import DataActions
from tui.widgets.dialogs import AskText

if TYPE_CHECKING:
    from core.judging.folder import Judging
    from core.runs.rundir import RunDirectory

_PROMPTS = 50
"""As many as somebody judges in a quarter of an hour."""


class JudgeActions(DataActions):
    """The way to the judging of pairs."""

    def action_judge_pairs(self) -> None:
        """Judge the pairs that are kept under this set's name, else those that one chooses, or have new ones drawn."""
        from core.judging.folder import judgings  # options of models and evaluations, 100 ms: not before it is wanted

        begun, current = judgings(self.workspace), self.current
        name = current.name if current is not None and current.entry is not None else ""
        if name in begun:
            self._judge(name)
            return
        new = _("draw answers to {name}").format(name=inert_line(name)) if name else ""
        if not begun and new:
            self._ask_how_many(name)
        elif begun:
            words = [*begun, *filter(None, [new])]
            self.app.push_screen(ChooseWord(_("Judge the pairs of"), words), lambda word: self._chosen(word, new, name))
        else:
            self.notify(_("A set of prompts has to be entered in dataset_info.json first."), severity="warning")

    def _chosen(self, word: str | None, new: str, name: str) -> None:
        if word is not None and word == new:
            self._ask_how_many(name)
        elif word is not None:
            self._judge(word)

    # --- drawing ---

    def _ask_how_many(self, name: str) -> None:
        question = _("Draw two answers to how many prompts of {name}, with {model}?")
        answering = self._answering()
        who = speaker(answering["model_name_or_path"], next(iter(answering.get("adapter_name_or_path", ())), None))
        title = question.format(name=inert_line(name), model=inert_line(who))
        self.app.push_screen(AskText(title, str(_PROMPTS)), lambda typed: self._draw_as_typed(name, typed))

    def _draw_as_typed(self, name: str, typed: str | None) -> None:
        if typed is not None and typed.isdecimal() and int(typed) > 0:
            self._draw(name, int(typed))
        elif typed is not None:
            self.notify(_("Type a number above 0."), severity="warning")

    @work
    async def _draw(self, name: str, prompts: int) -> None:
        from core.config.load import load
        from core.judging.opening import open_judging
        from core.judging.options import JUDGING

        def begin() -> Judging:
            values = {"dataset": [name], "max_samples": prompts, **self._answering()}
            return open_judging(load(JUDGING, values=values), self.workspace)

        try:
            judging = await asyncio.to_thread(begin)
        except FinetuiError as error:
            self.tell_error(error)
            return
        told = _("Answers are drawn for {name}").format(name=inert_line(judging.name))
        self.notify(_("F3 shows the run; when it has ended, j judges them."), title=told, markup=False)

    def _answering(self) -> dict[str, Any]:
        """Who answers in the chat, where that is a model of this machine; else the default model."""
        chat: Any = getattr(self.app, "chat", None)
        column = chat.conversation.columns[0] if chat is not None else None
        if column is None or not column.model or is_served(column.model):
            return {"model_name_or_path": "default"}
        adapter = {"adapter_name_or_path": [column.adapter]} if column.adapter else {}
        return {"model_name_or_path": column.model, **adapter}

    # --- judging ---

    @work
    async def _judge(self, name: str) -> None:
        from core.judging.drawing import go_on_drawing
        from core.judging.folder import find_judging

        def drawn() -> tuple[Judging, RunDirectory | None]:
            judging = find_judging(name, self.workspace)
            return judging, go_on_drawing(judging)

        try:
            judging, run = await asyncio.to_thread(drawn)
        except FinetuiError as error:
            self.tell_error(error)
            return
        if run is not None:
            told = _("{name}: its answers are being drawn").format(name=inert_line(name))
            self.notify(_("F3 shows the run {run}").format(run=inert_line(run.name)), title=told, markup=False)
        elif not judging.pairs():
            what = _("{name}: no prompt got two answers that differ").format(name=inert_line(name))
            self.notify(what, severity="warning", markup=False)
        else:
            self._open(judging)

    def _open(self, judging: Judging) -> None:
        from core.judging.verdicts import VerdictBook
        from tui.screens.judge import JudgeScreen

        def ended(rows: int | None) -> None:
            if rows is not None:
                counted = plural("{count} row", "{count} rows", rows)
                told = _("{rows} in {name}").format(rows=counted, name=inert_line(judging.name))
                self.notify(told, markup=False)
                self.rescan(judging.name)

        self.app.push_screen(JudgeScreen(judging, VerdictBook(judging.verdicts, judging.seed)), ended)
