"""The judging screen by itself, for a command that has drawn answers: the app without chat, models and runs."""

from __future__ import annotations

from textual.app import App

from core.judging.folder import Judging
from core.judging.verdicts import VerdictBook
from core.workspace import load_state
from tui.app import DARK, LIGHT
from tui.screens.judge import JudgeScreen


class JudgeApp(App[None]):
    """Judges until its person ends it."""

    TITLE = "finetui"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, judging: Judging, book: VerdictBook) -> None:
        super().__init__()
        self._judging, self._book = judging, book
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = LIGHT.name if load_state(judging.workspace).get("theme") == "light" else DARK.name

    def on_mount(self) -> None:
        self.push_screen(JudgeScreen(self._judging, self._book), lambda _ended: self.exit())


def judge(judging: Judging, book: VerdictBook) -> None:
    """Have a person judge, on this terminal."""
    JudgeApp(judging, book).run()
