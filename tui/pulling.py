"""A pull or an export that runs beside the screens: one at a time, belonging to the app, so that leaving F6 does not
end it."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import Any

from textual.app import App
from textual.worker import get_current_worker

from core.errors import FinetuiError
from core.i18n import _
from core.models.export import export
from core.models.packaged import packaged_model
from core.models.progress import OnProgress, Stage
from core.models.pull import PullProgress, pull
from core.untrusted import inert, inert_line
from core.workspace import Workspace

_STAGES: tuple[Stage, ...] = ("downloading", "checking", "converting")
"""Of a model that comes in packages; one of the hub is only downloaded."""

_running: weakref.WeakKeyDictionary[App[Any], Pulling] = weakref.WeakKeyDictionary()


def running_pull(app: App[Any]) -> Pulling | None:
    """The pull or export that is under way in an app."""
    return _running.get(app)


class Pulling:
    """One pull in a thread; `progress` is the newest of what it told, None before the first."""

    def __init__(self, app: App[Any], workspace: Workspace, name: str, *, accept_license: bool = False) -> None:
        self.name = name
        self.progress: PullProgress | None = None
        self._app = app
        self._workspace = workspace
        self._accept_license = accept_license
        self._cancelled = threading.Event()

    def start(self) -> None:
        """Begin. The app tells how it ended, whatever screen is shown then."""
        _running[self._app] = self
        self._app.run_worker(self._pull, name=f"pull {self.name}", thread=True, exit_on_error=False)

    def cancel(self) -> None:
        """End it; nothing half is left."""
        self._cancelled.set()

    @property
    def step(self) -> str:
        """Which of several steps it is at: the bar starts anew with each. Empty where there is one only."""
        if self.progress is None or self.progress.stage not in _STAGES or packaged_model(self.name) is None:
            return ""
        return _("step {n} of {all}").format(n=_STAGES.index(self.progress.stage) + 1, all=len(_STAGES))

    def _pull(self) -> None:
        worker = get_current_worker()

        def note(progress: PullProgress) -> None:
            self.progress = progress
            if worker.is_cancelled:  # the app ends
                self._cancelled.set()

        error: FinetuiError | None = None
        try:
            self._work(note)
        except FinetuiError as failed:
            error = failed
        finally:
            _running.pop(self._app, None)
        if not worker.is_cancelled:
            with contextlib.suppress(RuntimeError):  # the app ended meanwhile
                self._app.call_from_thread(self._tell, error)

    def _work(self, note: OnProgress) -> None:
        model = pull(self.name, self._workspace, note, self._cancelled, accept_license=self._accept_license)
        self.name = model.name  # `default` is no name to tell

    def _tell(self, error: FinetuiError | None) -> None:
        if error is None:
            self._app.notify(self._told(), markup=False, timeout=20)
        else:
            self._app.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False, timeout=20)

    def _told(self) -> str:
        return _("{name} is ready.").format(name=inert_line(self.name))


class Exporting(Pulling):
    """An adapter that is merged into its base."""

    def _work(self, note: OnProgress) -> None:
        def on_stage(stage: str) -> None:
            note(PullProgress("converting", 0, 0, f"{self.name}: {stage}"))

        self._exported = export([self.name], self._workspace, on_stage=on_stage, cancelled=self._cancelled)

    def _told(self) -> str:
        told = _(
            "{name} is merged: {path}. Largest difference of logits: {merging:.2g} merged, {stored:.2g} as written."
        )
        return told.format(
            name=inert_line(self.name),
            path=inert_line(str(self._exported.path)),
            merging=self._exported.merging.difference,
            stored=self._exported.stored.difference,
        )
