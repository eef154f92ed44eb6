"""A pull that runs beside the screens: one at a time, belonging to the app, so that leaving F6 does not end it."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import Any

from textual.app import App
from textual.worker import get_current_worker

from core.errors import FinetuiError
from core.i18n import _
from core.models.pull import PullProgress, pull
from core.untrusted import inert, inert_line
from core.workspace import Workspace

_running: weakref.WeakKeyDictionary[App[Any], Pulling] = weakref.WeakKeyDictionary()


def running_pull(app: App[Any]) -> Pulling | None:
    """The pull that is under way in an app."""
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

    def _pull(self) -> None:
        worker = get_current_worker()

        def note(progress: PullProgress) -> None:
            self.progress = progress
            if worker.is_cancelled:  # the app ends
                self._cancelled.set()

        error: FinetuiError | None = None
        try:
            pull(self.name, self._workspace, note, self._cancelled, accept_license=self._accept_license)
        except FinetuiError as failed:
            error = failed
        finally:
            _running.pop(self._app, None)
        if not worker.is_cancelled:
            with contextlib.suppress(RuntimeError):  # the app ended meanwhile
                self._app.call_from_thread(self._tell, error)

    def _tell(self, error: FinetuiError | None) -> None:
        if error is None:
            self._app.notify(_("{name} is ready.").format(name=inert_line(self.name)), markup=False)
        else:
            self._app.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False, timeout=20)
