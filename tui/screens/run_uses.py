"""What is done with the weights that a run has made: asked beside what they were made of, evaluated, merged.

A policy has many checkpoints, of which an early one may be the best, so it is asked which one is meant. A reward model
answers nothing: it scores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual import work
from textual.screen import Screen

from core.errors import FinetuiError, RunError
from core.i18n import _
from core.models.adapters import is_adapter_folder
from core.models.catalog import resolve_model
from core.models.info import is_model_folder
from core.runs.events import CheckpointSaved
from core.untrusted import inert, inert_line
from core.workspace import Workspace, save_state
from tui.messages import ComparisonChosen
from tui.pulling import Exporting, running_pull
from tui.run_steps import answering_step, tested_step
from tui.run_subjects import Subjects, saved_folders, short_name, subjects_of
from tui.run_watcher import RunWatcher, Watched
from tui.screens.choose import ChooseWord
from tui.screens.evaluate_start import go_to_evaluation, open_evaluation_form
from tui.widgets.dialogs import Confirm


class UsedRuns(Screen[None]):
    """Uses the weights of the current run."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    @property
    def watcher(self) -> RunWatcher:
        raise NotImplementedError

    @property
    def current(self) -> Watched | None:
        raise NotImplementedError

    @property
    def checkpoint(self) -> CheckpointSaved | None:
        raise NotImplementedError

    # --- telling ---

    def tell_error(self, error: FinetuiError) -> None:
        self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)

    def tell(self, text: str, *, name: str = "", **options: Any) -> None:
        self.notify(text.format(name=inert_line(name)), markup=False, **options)

    def remember(self, **changes: Any) -> None:
        """Keep something in the workspace's memory, where that can be written."""
        try:
            save_state(self.workspace, **changes)
        except FinetuiError as error:
            self.tell_error(error)

    # --- which weights ---

    def _folder(self, watched: Watched) -> Path:
        """Where the weights lie that are meant: the highlighted checkpoint, else the end, the best, the newest."""
        run, history = watched.run, watched.history
        if self.checkpoint is not None:
            return run.path / self.checkpoint.path
        saved = [each for each in history.checkpoints if (run.path / each.path).is_dir()] if history else []
        best = [each for each in saved if each.best]
        found = [run.path, *(run.path / each.path for each in [*best, *reversed(saved)])]
        for folder in found:
            if is_adapter_folder(folder) or is_model_folder(folder):
                return folder
        raise _nothing_saved(watched)

    def _meant(self) -> Watched | None:
        """The run whose weights are meant: the current one, of a pipeline the one that its last training made.

        Raises:
            RunError: no step of a pipeline has saved anything that answers.
        """
        watched = self.current
        if watched is None or not watched.is_pipeline:
            return watched
        step = answering_step(watched, self.watcher.runs)
        if step is None:
            what = _("{name} is a pipeline, of which no step has saved a model that answers")
            raise RunError(what.format(name=inert_line(watched.name)), _("1 shows how far its steps are"))
        return step

    def _chosen_folder(self, watched: Watched, use: Callable[[Path], Any]) -> None:
        """Use the weights that are meant; where a policy has several, they are asked for first."""
        folder = self._folder(watched)
        saved = dict(saved_folders(watched.run, watched.history, watched.stage))
        if watched.stage not in ("dpo", "ppo") or self.checkpoint is not None or len(saved) < 2:
            use(folder)
            return

        def chosen(word: str | None) -> None:
            if word is not None:
                use(saved[word])

        now = next((word for word, path in saved.items() if path == folder), "")
        title = _("Which checkpoint of {name}?").format(name=inert_line(watched.name))
        self.app.push_screen(ChooseWord(title, list(saved), now), chosen)

    async def _subjects(self, watched: Watched, folder: Path) -> Subjects:
        model = watched.summary.model
        found = await asyncio.to_thread(subjects_of, watched.run, model, folder, self.workspace)
        if watched.stage in ("dpo", "ppo") and found.is_adapter and not found.start:
            self.tell(_("{name} went on from no adapter that is still there."), name=watched.name)
        return found

    # --- chat ---

    @work
    async def action_chat_run(self) -> None:
        """The base, what the training went on from, and what was trained, side by side in the chat."""
        watched = self._meant()
        if watched is None:
            return
        if watched.stage == "rm":
            told = _("{name} is a reward model: it scores answers and writes none. t has it score pairs or answers.")
            self.tell(told, name=watched.name, severity="warning")
            return
        self._chosen_folder(watched, lambda folder: self._chat(watched, folder))

    @work
    async def _chat(self, watched: Watched, folder: Path) -> None:
        self.app.post_message(ComparisonChosen((await self._subjects(watched, folder)).speakers))

    # --- evaluation ---

    @work
    async def action_test_run(self) -> None:
        """The form of an evaluation: of what was trained beside what it was made of; of a reward model, or with it.

        Of a pipeline what it has tested itself is shown, where it has.
        """
        tested = tested_step(self.current, self.watcher.runs) if self.current is not None else None
        if tested is not None:
            await go_to_evaluation(self.app, tested.run.path)
            return
        watched = self._meant()
        if watched is None:
            return
        if watched.stage == "rm":
            self._ask_what_it_scores(watched, self._folder(watched))
        else:
            self._chosen_folder(watched, lambda folder: self._test(watched, folder))

    @work
    async def _test(self, watched: Watched, folder: Path) -> None:
        open_evaluation_form(self.app, self.workspace, (await self._subjects(watched, folder)).evaluated)

    def _ask_what_it_scores(self, watched: Watched, folder: Path) -> None:
        pairs, answers = _("pairs, of which it tells the better answer"), _("the answers of a model")

        def chosen(word: str | None) -> None:
            if word is not None:
                self._score(watched, folder, pairs=word == pairs)

        title = _("What is {name} to score?").format(name=inert_line(watched.name))
        self.app.push_screen(ChooseWord(title, [pairs, answers], pairs), chosen)

    @work
    async def _score(self, watched: Watched, folder: Path, *, pairs: bool) -> None:
        base = (await asyncio.to_thread(resolve_model, watched.summary.model, self.workspace)).name
        name = short_name(folder, self.workspace)
        if not pairs:
            given = {"model_name_or_path": base, "reward_model": name}
        elif is_adapter_folder(folder):
            given = {"model_name_or_path": base, "adapter_name_or_path": name, "task": "comparisons"}
        else:
            given = {"adapter_name_or_path": str(folder), "task": "comparisons"}
        open_evaluation_form(self.app, self.workspace, given)

    # --- a model of its own ---

    def action_export_run(self) -> None:
        """Merge what was trained into its base, as a new model, after a question."""
        watched = self._meant()
        if watched is None:
            return
        if watched.stage == "rm":
            told = _("{name} is a reward model: merged into its base, it would lose the head that scores.")
            self.tell(told, name=watched.name, severity="warning")
            return
        if running_pull(self.app) is not None:
            self.tell(_("Another model is being made: one at a time."), severity="warning")
            return
        self._ask_export(short_name(self._folder(watched), self.workspace))

    def _ask_export(self, name: str) -> None:
        def answered(confirmed: bool | None) -> None:
            if confirmed:
                Exporting(self.app, self.workspace, name).start()
                self.tell(_("{name} is being merged; it is told when that is done."), name=name)

        question = _("Merge {name} into its model, as a new model?").format(name=inert_line(name))
        self.app.push_screen(Confirm(question, _("finetui export does the same.")), answered)


def _nothing_saved(watched: Watched) -> RunError:
    """Why there are no weights, and how to come by some."""
    name = inert_line(watched.name)
    if watched.active:
        return RunError(_("{name} has saved nothing yet").format(name=name), _("w saves a checkpoint now"))
    if watched.history is not None and watched.history.checkpoints:
        return RunError(_("what {name} saved is not there any more").format(name=name), _("c makes such a run again"))
    told = _("{name} has saved nothing: it ended before its first checkpoint").format(name=name)
    return RunError(told, _("c makes another of it: give that a smaller save_steps"))
