"""F2: the chat. Conversations on the left, the columns in the middle, the input below, settings on demand."""

from __future__ import annotations

import asyncio
import inspect
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.worker import Worker

from core.chat.message import Message
from core.chat.session import Conversation
from core.chat.store import SessionSummary
from core.errors import FinetuiError
from core.i18n import _
from core.untrusted import inert_line
from core.workspace import Workspace, load_state
from tui.actions import bindings
from tui.exchange import newest_question
from tui.screens.opening import OpeningScreen, make_input, make_status_bar
from tui.screens.picker import Choice
from tui.screens.prompt import PromptScreen
from tui.screens.speakers import Speakers
from tui.slash import Command, Option, complete, parse
from tui.widgets.completion import Completion
from tui.widgets.prompt_input import PromptInput
from tui.widgets.session_list import SessionList
from tui.widgets.transcript import Transcript
from tui.widgets.welcome import Welcome

WIDE = 100
"""From this width on, the side panels stand beside the chat; below, they lie over it."""
WIDE_FOR_COLUMNS = 150
"""From this width on, the list of conversations leaves room for three columns and more."""


class ChatScreen(Speakers):
    """The chat and its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chat"), ("escape", "back")]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable

    VERTICAL_BREAKPOINTS = [(0, "-short"), (15, "-tall")]  # noqa: RUF012

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._list_hidden = False
        """Whether the list of conversations left by itself, for want of room."""
        self._opening: OpeningScreen | None = None
        self._somebody_answers = False
        self._sent_early: list[tuple[str, str]] = []
        """Messages sent before it was known which model answers, and what was typed for each."""

    def take_over(self, opening: OpeningScreen) -> None:
        """Go on from the first frame, with whatever was typed there."""
        self._opening = opening

    def compose(self) -> ComposeResult:
        with Horizontal(id="body"), Vertical(id="chat"):
            yield Horizontal(*self.views, id="columns")
            yield Completion(self._complete)
            yield make_input()
        yield make_status_bar()

    def on_mount(self) -> None:
        self.input.focus()
        if self._opening is not None:
            self.input.continue_from(self._opening.query_one(PromptInput))
            for text in self._opening.sent:
                self.post_message(PromptInput.Submitted(self.input, text))
        self.call_after_refresh(self._start)

    # --- the start ---

    @work
    async def _start(self) -> None:
        """After the first frame: settings, models, the list of conversations."""
        self.single_turn = bool(load_state(self.workspace).get("single_turn"))
        await asyncio.to_thread(self.restore_options)
        self.tell_speaker()
        if self.size.width >= WIDE:
            await self._mount_sessions()
        models = await self.models()
        if not self.query("#columns"):  # the app has ended meanwhile
            return
        if not models and not self.served:
            self.query_one("#columns").display = False
            self.input.display = False
            await self.query_one("#chat").mount(Welcome(self.workspace), before="#columns")
            return
        self.start_with(models)
        self._send_early_messages()

    def on_screen_resume(self) -> None:
        """Back from F6, where a model may have come."""
        for welcome in self.query(Welcome):
            welcome.check()
        if self.known_models:
            self.run_worker(self.models())

    @on(Welcome.Ready)
    async def _welcome_over(self, event: Welcome.Ready) -> None:
        if not self.query(Welcome):
            return
        await self.query_one(Welcome).remove()
        self.query_one("#columns").display = True
        self.input.display = True
        self.input.focus()
        if not self.conversation.columns[0].model:  # else one was chosen on the models screen
            self.use(Choice(event.model))
        self._send_early_messages()

    def _send_early_messages(self) -> None:
        self._somebody_answers = True
        for text, typed in self._sent_early:
            self._send(text, typed)

    # --- typing ---

    @on(PromptInput.Changed)
    def _typed(self) -> None:
        self.query_one(Completion).renew(self.input.text)

    def _complete(self, text: str) -> list[Option]:
        if not text.startswith("/"):
            return []
        from tui.screens.arguments import argument_values  # pydantic, 80 ms: not before the first frame

        model = self.conversation.columns[0].model
        return complete(text, argument_values(self.known_models, model, self.options, self.served))

    @on(PromptInput.ScrollKeyPressed)
    async def _scroll_key_pressed(self, event: PromptInput.ScrollKeyPressed) -> None:
        for view in self.views:
            await self.app.run_action(event.action, view.transcript)

    @on(PromptInput.Submitted)
    async def _submitted(self, event: PromptInput.Submitted) -> None:
        async with self.changing:
            self._take_line(event)

    def _take_line(self, event: PromptInput.Submitted) -> None:
        try:
            line = parse(event.text)
        except FinetuiError as error:
            self.tell_error(error)
            self.give_back(event.text)
            return
        if isinstance(line, Command):
            self.run_worker(self.run_command(line, event.text))
        elif line.strip():
            self._send(line, event.text)

    def _send(self, text: str, typed: str) -> None:
        if not self._somebody_answers:
            self._sent_early.append((text, typed))
            return
        if self.exchange is not None:
            self.notify(_("An answer is being written: esc stops it."), severity="warning")
            self.give_back(typed)
            return
        try:
            self._take_up_edit()
            self.ask(text)
        except FinetuiError as error:
            self.tell_error(error)
            self.give_back(typed)

    def _take_up_edit(self) -> None:
        """The message being sent replaces the questions under edit: step back to before them."""
        for turn in self.editing:
            self.conversation.rewind(turn.parent, turn.column)
        if self.editing:
            self.editing = ()
            for view in self.views:
                view.rebuild()

    async def run_command(self, command: Command, typed: str) -> None:
        """Do what a slash command says: its action, with its argument if it takes one.

        A mistake goes back into the input, to be mended there.
        """
        action = command.action
        if not action.takes_argument():
            await self.app.run_action(action.name, self.app if action.scope == "app" else self)
            return
        try:
            done = getattr(self, f"action_{action.name}")(command.argument)
            if inspect.isawaitable(done) and not isinstance(done, Worker):
                await done
        except FinetuiError as error:
            self.tell_error(error)
            self.give_back(typed)

    @on(Transcript.FocusLeft)
    def _transcript_left(self) -> None:
        self.input.focus()

    @on(PromptInput.Escaped)
    async def action_back(self) -> None:
        """Esc: stop the answer, else leave what one is in, for the input."""
        if self.exchange is not None:
            await self.stop_answer()
        elif self.editing:
            self.editing = ()
            self.input.text = ""
            self.notify(_("The question stays as it was."))
        for view in self.views:
            view.transcript.cursor = None
        self.input.focus()

    async def action_stop(self) -> None:
        await self.stop_answer()

    # --- the conversation ---

    async def action_new(self) -> None:
        """A new conversation with the same who and the same system prompt."""
        await self.show(self.store.create(system=self.conversation.system, columns=self.conversation.columns))
        self.input.focus()

    async def action_clear(self) -> None:
        await self.action_new()
        self.notify(_("History has been removed."))

    async def open(self, summary: SessionSummary) -> None:
        """Open a conversation of the list, with the models that it was held with."""
        if summary.path == self.conversation.path:
            self.input.focus()
            return
        try:
            conversation = self.store.open(summary.path)
        except FinetuiError as error:
            self.tell_error(error)
            return
        if not conversation.columns or not conversation.columns[0].model:
            conversation.set_columns(self.conversation.columns)
        await self.show(conversation)
        self.input.remember(*(turn.content for turn in conversation.line() if turn.role == "user"))
        self.load(conversation.columns)
        self.input.focus()

    @work
    async def action_resume(self, words: str = "") -> None:
        found = self.store.search(words) if words else self.store.list()
        others = [summary for summary in found if summary.path != self.conversation.path]
        if others:
            await self.open(others[0])
        else:
            self.notify(_("There is no such conversation."), severity="warning")

    def action_save(self, title: str) -> None:
        self.conversation.rename(title)
        self.notify(_("The conversation is called “{title}”.").format(title=inert_line(title)), markup=False)
        self._reload_sessions()

    # --- the side panels ---

    async def action_sessions(self) -> None:
        """Show the list of conversations and go there; again: put it away."""
        self._list_hidden = False
        for panel in self.query(SessionList):
            if panel.has_focus_within:
                await panel.remove()
                self.input.focus()
            else:
                panel.focus_list()
            return
        await self._mount_sessions()
        for panel in self.query(SessionList):
            panel.focus_list()

    async def _mount_sessions(self) -> None:
        if not self.query(SessionList):
            panel = SessionList(self.store, self.conversation.path)
            await self.query_one("#body").mount(panel, before="#chat")

    def _reload_sessions(self) -> None:
        for panel in self.query(SessionList):
            panel.tell(self.conversation.path)

    async def show(self, conversation: Conversation) -> None:
        await super().show(conversation)
        self._reload_sessions()
        await self._make_room(self.size.width)

    @on(events.Resize)
    async def _resized(self, event: events.Resize) -> None:
        narrow = event.size.width < WIDE
        if narrow and self.has_class("-wide") and self.query("SessionList:focus-within, SettingsPanel:focus-within"):
            self.input.focus()
        await self._make_room(event.size.width)

    async def _make_room(self, width: int) -> None:
        """Put panels away that would squeeze the chat or lie over it; the list comes back when there is room again."""
        room = width >= (WIDE_FOR_COLUMNS if len(self.conversation.columns) > 2 else WIDE)
        if room and self._list_hidden:
            self._list_hidden = False
            await self._mount_sessions()
        elif not room:
            self._list_hidden = await self._put_away("SessionList") or self._list_hidden
            if width < WIDE:
                await self._put_away("SettingsPanel")

    async def _put_away(self, panels: str) -> bool:
        """Remove panels that the keyboard is not in; whether there were any."""
        unused = [panel for panel in self.query(panels) if not panel.has_focus_within]
        for panel in unused:
            await panel.remove()
        return bool(unused)

    @on(events.DescendantFocus)
    async def _focus_moved(self) -> None:
        """On a narrow screen a panel stays as long as the keyboard is in it: nobody types behind it."""
        if self.has_class("-narrow"):
            await self._put_away("SessionList, SettingsPanel")

    @on(SessionList.Chosen)
    async def _session_chosen(self, event: SessionList.Chosen) -> None:
        if self.has_class("-narrow"):  # what is wrong with it would stand behind the list
            self.input.focus()
        try:
            await self.open(event.summary)
        finally:
            self._reload_sessions()

    @on(SessionList.Renamed)
    def _session_renamed(self, event: SessionList.Renamed) -> None:
        mine = event.summary.path == self.conversation.path
        try:
            conversation = self.conversation if mine else self.store.open(event.summary.path)
            conversation.rename(event.title)
        finally:
            self._reload_sessions()

    @on(SessionList.Gone)
    async def _session_gone(self, event: SessionList.Gone) -> None:
        if event.summary.path == self.conversation.path:
            await self.show(self.store.create(columns=self.conversation.columns))

    @on(SessionList.Restored)
    async def _session_restored(self, event: SessionList.Restored) -> None:
        """It was open when it was deleted: show it again, and leave the keyboard where it is."""
        await self.open(event.summary)
        for panel in self.query(SessionList):
            panel.focus_list()

    @on(SessionList.Left)
    def _sessions_left(self) -> None:
        self.input.focus()

    def answered(self) -> None:
        self._reload_sessions()

    # --- the exact prompt ---

    @work
    async def action_tokens(self) -> None:
        column = self.view.column
        messages = self.conversation.messages(column.index)
        if self.input.text and not self.input.text.startswith("/"):
            messages = (*messages, Message("user", self.input.full_text))
        if messages and self.single_turn:
            messages = newest_question(messages)
        if not messages:
            self.notify(_("Type a message first: there is no prompt yet."))
            return
        try:
            asks = messages[-1].role == "user"
            rendered = await self.driver.render(
                column.model,
                messages,
                add_generation_prompt=asks,
                enable_thinking=self.options.enable_thinking,
                max_new_tokens=self.options.max_new_tokens if asks else 0,
                adapter=column.adapter,
            )
        except FinetuiError as error:
            self.tell_error(error)
            return
        await self.app.push_screen(PromptScreen(rendered, self.view.name_shown if self.comparing else ""))
