"""The app: screens by function key, themes, the command palette, and a clean way out.

Whatever ends it (a key, SIGTERM, a closed SSH connection), the parts of unfinished answers are written, the workers
end with their input, and the terminal is as it was.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import events, work
from textual.app import App, ScreenError
from textual.binding import Binding, BindingType
from textual.css.query import QueryError
from textual.dom import DOMNode
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import MountError
from textual.widgets import Input, TextArea
from textual.worker import WorkerFailed

from core.errors import FinetuiError
from core.i18n import _
from core.untrusted import inert, inert_line
from core.workspace import Workspace, find_workspace, load_state, save_state
from tui import clipboard
from tui.actions import bindings
from tui.app_log import log_defect
from tui.messages import ComparisonChosen, ModelChosen
from tui.screens.opening import OpeningScreen
from tui.terminal import read_alt_digits

if TYPE_CHECKING:
    from tui.run_watcher import Alarm, RunWatcher
    from tui.screens.chat import ChatScreen

DARK = Theme(
    name="finetui-dark",
    primary="#7aa2f7",
    secondary="#7dcfff",
    accent="#bb9af7",
    foreground="#c8d0e8",
    background="#16171f",
    surface="#1b1d27",
    panel="#262a38",
    boost="#20222e",
    success="#9ece6a",
    warning="#e0af68",
    error="#f7768e",
    dark=True,
    variables={"muted": "#7d86a5"},
)
LIGHT = Theme(
    name="finetui-light",
    primary="#2e5cb8",
    secondary="#0f6c81",
    accent="#7847bd",
    foreground="#22283a",
    background="#fafaf7",
    surface="#f1f1ec",
    panel="#e3e4de",
    boost="#ecece6",
    success="#38761d",
    warning="#8a5a00",
    error="#b3263a",
    dark=False,
    variables={"muted": "#626a7d"},
)

_SCREENS = {
    "train": ("tui.screens.train", "TrainScreen"),
    "evaluate": ("tui.screens.evaluate", "EvaluateScreen"),
    "data": ("tui.screens.data", "DataScreen"),
    "models": ("tui.screens.models", "ModelsScreen"),
}
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_NO_LONGER_THERE = (QueryError, MountError, ScreenError)
"""What befalls the last messages of a screen that has lost its widgets: Textual takes those down first."""


class FinetuiApp(App[None]):
    """finetui on a terminal."""

    TITLE = "finetui"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[Any]] = {lambda: _palette_provider()}
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("app"),
        Binding("ctrl+c", "copy_or_stop", show=False, priority=True),
        Binding("ctrl+o", "chord", show=False, priority=True),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._defect, self._defect_log = "", cast("Path | None", None)
        self.chat: ChatScreen | None = None
        """The chat, once it has been imported."""
        self.watcher: RunWatcher | None = None
        """Who knows the trainings, from then on."""
        self._mode_wanted = ""
        """The screen that was asked for before there was a chat to leave."""
        self._held: list[events.Event] | None = []
        """What is typed before there is an input with the focus: at the start, and while the chat takes over."""
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = LIGHT.name if load_state(workspace).get("theme") == "light" else DARK.name

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """What shines through the screen on top. Textual counts the one below an opaque screen, too, and would paint
        the whole terminal anew for each change there: each token of an answer, each point of a run while F3 is open."""
        return [] if self._screen_stack and self.screen.styles.background.a == 1 else super()._background_screens

    def get_default_screen(self) -> Screen[Any]:
        return OpeningScreen()

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, self.leave, 128 + number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING_SIGNALS)
        self.call_after_refresh(self._open_chat)

    @work
    async def _open_chat(self) -> None:
        """The first frame stands: import the chat (130 ms) and go on in it."""
        self.call_later(self._release_keys)
        module = await asyncio.to_thread(importlib.import_module, "tui.screens.chat")
        chat: ChatScreen = module.ChatScreen(self.workspace)
        await self._watch_runs()
        opening = self.screen_stack[0]
        assert isinstance(opening, OpeningScreen)
        chat.take_over(opening)
        self.chat = chat
        self._held = []
        await self.push_screen(chat)
        self.call_later(self._release_keys)  # behind the call that gives the input its focus
        if self._mode_wanted:
            self.call_later(self.action_mode, self._mode_wanted)

    async def on_event(self, event: events.Event) -> None:
        """Keys that come before an input can take them wait for it; no letter is lost at the start."""
        if self._held is not None and isinstance(event, events.Key | events.Paste):
            self._held.append(event)
        else:
            await super().on_event(event)

    async def _release_keys(self) -> None:
        held, self._held = self._held or [], None
        for event in held:
            await super().on_event(event)

    async def on_unmount(self) -> None:
        if self.chat is not None:
            await self.chat.driver.close()

    def on_app_focus(self) -> None:
        """Another window may have gone on with the conversation meanwhile."""
        if self.chat is not None:
            self.chat.catch_up()

    # --- runs ---

    async def _watch_runs(self) -> None:
        """Not before the first frame: the events of runs cost 20 ms to import."""
        line = await asyncio.to_thread(importlib.import_module, "tui.run_line")
        watching = importlib.import_module("tui.run_watcher")  # came with the line
        watcher: RunWatcher = watching.RunWatcher(self.workspace, alarm=self._alarm)
        self.watcher = watcher

        def tell_runs(_listed: bool) -> None:
            if self.chat is not None:
                self.chat.tell_status(runs=line.runs_text(watcher.active))

        watcher.subscribe(tell_runs)
        self.run_worker(watcher.watch(), name="runs")

    def _alarm(self, alarm: Alarm) -> None:
        """A run ended or diverges: a bell for who looks elsewhere, and what it is."""
        self.bell()
        title = alarm.title.format(name=inert_line(alarm.name))
        self.notify(inert(alarm.detail), title=title, severity=alarm.severity, markup=False, timeout=12)

    def leave(self, return_code: int = 0) -> None:
        """End the app; what has been generated of unfinished answers is kept, or it is said why not."""
        lost: Text | None = None
        try:
            if self.chat is not None:
                self.chat.keep_parts()
        except FinetuiError as error:  # a full disk must not keep anybody in here
            lost = Text(inert(str(error)))
        self.exit(return_code=return_code, message=lost)

    # --- actions ---

    async def run_action(self, action: Any, default_namespace: DOMNode | None = None, namespaces: Any = None) -> bool:
        """Run an action; an error that is the user's is told, not a crash."""
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except FinetuiError as error:
            self.tell(error)
            return True

    def _handle_exception(self, error: Exception) -> None:
        """What a worker could not do is told; only a defect of ours ends the app."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        if self._exit and isinstance(cause, _NO_LONGER_THERE):
            return
        if isinstance(cause, FinetuiError):
            self.tell(cause)
        else:
            self._defect_log = log_defect(self.workspace, cause)
            self._defect = f"{type(cause).__name__}: {cause}"
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """A defect of ours: one line to the terminal, the traceback into a file."""
        told = _("finetui ended by a defect of its own: {error}").format(error=inert(self._defect))
        if self._defect_log is not None:
            told += "\n" + _("details for a report: {path}").format(path=inert(str(self._defect_log)))
        self._exit_renderables.append(Text(told))
        self._close_messages_no_wait()

    def tell(self, error: FinetuiError) -> None:
        """Show an error over whatever screen there is."""
        self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)

    async def action_quit(self) -> None:
        self.leave()

    def action_copy_or_stop(self) -> None:
        """ctrl+c: copy what is selected, else stop the answer, else say how to leave."""
        focused = self.focused
        selected = focused.selected_text if isinstance(focused, (TextArea, Input)) else ""
        selected = selected or self.screen.get_selected_text() or ""
        if selected:
            self.run_worker(clipboard.copy(self, selected, self.workspace.state))
            self.screen.clear_selection()
        elif self.chat is not None and self.chat.exchange is not None:
            self.run_worker(self.chat.stop_answer())
        else:
            self.notify(_("ctrl+q ends finetui"))

    def action_help(self) -> None:
        from tui.screens.help import HelpScreen

        if isinstance(self.screen, HelpScreen):  # the key that brought it takes it away
            self.pop_screen()
        else:
            self.push_screen(HelpScreen())

    def action_theme(self) -> None:
        """Switch between light and dark."""
        light = self.theme == DARK.name
        self.theme = LIGHT.name if light else DARK.name
        save_state(self.workspace, theme="light" if light else "dark")

    def action_mode(self, mode: str) -> None:
        """Go to one of the main screens."""
        if self.chat is None or self.chat not in self.screen_stack:
            self._mode_wanted = mode
            return
        if mode in _SCREENS and type(self.screen).__name__ == _SCREENS[mode][1]:
            return
        while self.screen is not self.chat:
            self.pop_screen()
        if mode in _SCREENS:
            module, name = _SCREENS[mode]  # not imported before it is wanted, for the first frame's sake
            self.push_screen(getattr(importlib.import_module(module), name)(self.workspace))

    def action_chord(self) -> None:
        """ctrl+o, then a letter: the screens where function keys do not arrive."""
        from tui.widgets.dialogs import Chord

        if isinstance(self.screen, Chord):
            self.pop_screen()
            return
        self.push_screen(Chord(), lambda mode: self.action_mode(mode) if mode else None)

    def on_comparison_chosen(self, event: ComparisonChosen) -> None:
        self.action_mode("chat")
        if self.chat is not None:
            self.chat.post_message(event)

    def on_model_chosen(self, event: ModelChosen) -> None:
        self.action_mode("chat")
        if self.chat is not None:
            self.chat.post_message(event)


def _palette_provider() -> Any:
    from tui.palette_commands import Actions  # Textual's fuzzy search, only when the palette opens

    return Actions


def run(workspace: Path | None = None) -> int:
    """Run the app; returns the process's exit code."""
    read_alt_digits()
    app = FinetuiApp(find_workspace(workspace))
    # They wait for their handlers: Textual takes the terminal over earlier, and a death between would leave it so.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    app.run()
    return app.return_code or 0
