"""What can be done with a run: stop it, ask it for something, go on with it, use what it made, delete it.

Everything goes through the run's folder and its supervisor; this screen starts and kills nothing itself.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from core.errors import RunError
from core.i18n import _
from core.launch.local import remove, resume
from core.launch.stopping import stop, terminate
from core.models.figures import size_text
from core.runs.events import CheckpointSaved
from core.runs.rundir import Wish
from core.untrusted import inert_line
from tui.run_watcher import Watched
from tui.screens.run_uses import UsedRuns
from tui.widgets.dialogs import Confirm

if TYPE_CHECKING:
    from tui.screens.train_form import TrainForm


class RunActions(UsedRuns):
    """The actions on the current run."""

    def _active(self) -> Watched | None:
        """The current run, if it goes on; else that is said."""
        watched = self.current
        if watched is None:
            return None
        if not watched.active:
            self.tell(_("{name} does not run."), name=watched.name, severity="warning")
            return None
        return watched

    # --- while it runs ---

    def action_stop_run(self) -> None:
        """Ask it to save and end; when it was asked already, tell it to end now."""
        watched = self._active()
        if watched is None:
            return
        name = inert_line(watched.name)
        asked = "stop" in watched.run.wishes()
        if asked:
            question = _("{name} was asked to stop. End it now?").format(name=name)
            detail = _("It saves what it has; after a minute without an end it is killed.")
        else:
            question = _("Stop {name}?").format(name=name)
            detail = _when_it_ends(watched)

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._stop(watched, now=asked)

        self.app.push_screen(Confirm(question, detail), answered)

    @work
    async def _stop(self, watched: Watched, *, now: bool) -> None:
        await asyncio.to_thread(terminate if now else stop, watched.run)
        told = _("{name} ends after its current step.")
        if watched.evaluates:
            told = _("{name} ends after the rows at hand.")
        elif watched.stage == "ppo" and not watched.is_pipeline:
            told = _("{name} ends now, or when it has learnt from the answers of its step.")
        self.tell(told, name=watched.name)

    def action_wish(self, what: Wish) -> None:
        """Ask it to save or to evaluate."""
        watched = self._active()
        if watched is None:
            return
        if watched.history is None or watched.history.step is None:
            self.tell(_("{name} has not trained a step yet."), name=watched.name, severity="warning")
            return
        try:
            watched.run.wish(what)
        except OSError as error:
            raise RunError(_("cannot write {path}").format(path=watched.run.control), error.strerror or "") from error
        told = _("{name} saves after its current step.") if what == "save" else _("{name} evaluates after its step.")
        self.tell(told, name=watched.name)

    # --- afterwards ---

    @work
    async def action_resume_run(self) -> None:
        """Go on from the newest checkpoint, or on their page from the highlighted one."""
        watched, checkpoint = self.current, self.checkpoint
        if watched is None:
            return
        if watched.state == "finished" and checkpoint is None:
            told = _("{name} has done all its steps. c makes a longer one of it; 4, then r goes on from a checkpoint.")
            if watched.evaluates:
                told = _("{name} has all its answers.")
            self.tell(told, name=watched.name, severity="warning")
            return
        name = Path(checkpoint.path).name if checkpoint is not None and checkpoint.path != "." else None
        await asyncio.to_thread(resume, watched.run, name)
        self.tell(_("{name} goes on."), name=watched.name)
        self.watcher.look_again()

    def action_new_run(self) -> None:
        self._open_form()

    def action_duplicate(self) -> None:
        watched = self.current
        if watched is not None and watched.is_pipeline:
            self.tell(
                _("{name} is a pipeline: change its file, and start that."), name=watched.name, severity="warning"
            )
        elif watched is not None:
            self._open_form(watched.run.config)

    def _open_form(self, config: Path | None = None) -> None:
        from tui.screens.train_form import TrainForm  # pydantic, 80 ms: not before it is wanted

        form: TrainForm = TrainForm(self.workspace, config)
        self.app.push_screen(form, self._started)

    def _started(self, run: Path | None) -> None:
        if run is not None:
            self.go_to_run(run)
            self.watcher.look_again()

    def go_to_run(self, run: Path) -> None:
        """Highlight a run, as soon as it is listed."""
        raise NotImplementedError

    # --- deleting ---

    def action_delete(self) -> None:
        """Delete the highlighted checkpoint on their page, else the run; after a question."""
        watched, checkpoint = self.current, self.checkpoint
        if watched is None:
            return
        if watched.active:
            self.tell(_("{name} is still going on: x stops it."), name=watched.name, severity="warning")
        elif checkpoint is not None and checkpoint.path != ".":
            self._ask_delete_checkpoint(watched, checkpoint)
        else:
            self._ask_delete_run(watched)

    def _ask_delete_run(self, watched: Watched) -> None:
        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._delete_run(watched)

        question = _("Delete the run {name} with all that it wrote?").format(name=inert_line(watched.name))
        self.app.push_screen(Confirm(question, self._lost_with(watched)), answered)

    def _lost_with(self, watched: Watched) -> str:
        """What is deleted with a run."""
        return inert_line(str(watched.run.path))

    @work
    async def _delete_run(self, watched: Watched) -> None:
        await asyncio.to_thread(remove, watched.run, self.workspace)
        self.tell(_("{name} is deleted."), name=watched.name)
        self.watcher.look_again()

    def _ask_delete_checkpoint(self, watched: Watched, checkpoint: CheckpointSaved) -> None:
        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._delete_checkpoint(watched, checkpoint)

        name = inert_line(Path(checkpoint.path).name)
        question = _("Delete the checkpoint {name}?").format(name=name)
        self.app.push_screen(Confirm(question, size_text(checkpoint.bytes)), answered)

    @work
    async def _delete_checkpoint(self, watched: Watched, checkpoint: CheckpointSaved) -> None:
        path = watched.run.path / checkpoint.path
        if path.parent != watched.run.checkpoints:  # what a run's file says is no reason to delete something else
            raise RunError(_("{path} is no checkpoint of this run").format(path=inert_line(str(path))))
        try:
            await asyncio.to_thread(shutil.rmtree, path)
        except OSError as error:
            told = _("cannot delete {path}").format(path=inert_line(str(path)))
            raise RunError(told, error.strerror or "") from error
        self.tell(_("{name} is deleted."), name=path.name)
        self._show_run()

    def _show_run(self) -> None:
        raise NotImplementedError


def _when_it_ends(watched: Watched) -> str:
    """What becomes of a run that is asked to stop."""
    if watched.evaluates:
        return _("It keeps the answers that it has and ends; r goes on with it later.")
    if watched.stage == "ppo" and not watched.is_pipeline:
        return _("Answers that it only collects are given up, a step that it learns from is finished; r goes on later.")
    return _("It saves after its current step and ends; r goes on with it later.")
