"""The chat's machinery: a conversation in one or more columns, and the answers that grow in them.

What a key or a slash command means is told in `tui.screens.chat`; here is what happens then. One question is under
way at a time. It lives in an `Exchange`, which keeps question and answers in the conversation's file; the columns
only show.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import work
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import WorkerCancelled

from core.chat.session import Column, Conversation
from core.chat.store import SessionStore
from core.errors import FinetuiError, PromptTooLong, WorkerDied
from core.i18n import _
from core.serve.protocol import PhaseChanged, Sampling, Text
from core.serve.remote_address import shown_name
from core.untrusted import inert, inert_line
from core.workspace import Workspace, load_state, save_state
from tui.chat_driver import ChatDriver
from tui.entries import speaker
from tui.exchange import Answered, Exchange, NotAnswered, Update
from tui.widgets.column import ColumnView
from tui.widgets.prompt_input import PromptInput
from tui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from core.config.generation import GenerationOptions

FLUSHES_PER_SECOND = 8

_PHASES = {
    "importing": _("starting the engine"),
    "reading": _("reading the model's files"),
    "loading": _("loading the weights"),
    "ready": _("ready"),
}


class Conversing(Screen[None]):
    """A conversation on the screen, and the models that answer in it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.store = SessionStore(workspace.sessions)
        self.conversation = self.store.create(columns=[Column(0, "", None, "")])
        self.views = self._make_views()
        """The columns on the screen, from the moment that they are to be there."""
        self.driver = ChatDriver(workspace, on_phase=self._on_phase, on_death=self._on_death)
        self.exchange: Exchange | None = None
        self.changing = asyncio.Lock()
        """Held while one conversation takes the place of another: questions wait for columns that stand."""
        self.single_turn = False
        self._options: GenerationOptions | None = None
        self._forgetful = False
        """Whether it was said that the workspace remembers nothing."""
        self._phases: dict[str, tuple[PhaseChanged, float]] = {}
        """What models that are being loaded are busy with, and since when."""
        self._phase_timer: Timer | None = None

    async def _dispatch_message(self, message: Message) -> None:
        """Handle a message; an error that is the user's is told and ends nothing."""
        try:
            await super()._dispatch_message(message)
        except FinetuiError as error:
            self.tell_error(error)

    def tell_error(self, error: FinetuiError) -> None:
        """Show an error where the conversation is."""
        self.view.say_error(error.message, error.hint)

    # --- what is on the screen ---

    @property
    def view(self) -> ColumnView:
        """The column that the keyboard is in, else the first."""
        return next((view for view in self.views if view.has_focus_within), self.views[0])

    @property
    def input(self) -> PromptInput:
        return self.query_one(PromptInput)

    def tell_status(self, **changes: Any) -> None:
        """Show something in the line at the bottom, which is gone already when the app is leaving."""
        for bar in self.query(StatusBar):
            bar.tell(**changes)

    @property
    def comparing(self) -> bool:
        return len(self.conversation.columns) > 1

    async def show(self, conversation: Conversation) -> None:
        """Put a conversation on the screen in place of the one before."""
        async with self.changing:
            await self.end_answer()
            self.conversation = conversation
            await self.show_columns()
        for problem in conversation.problems:
            self.views[0].say(problem)

    async def show_columns(self) -> None:
        """Lay out the columns of the conversation anew."""
        columns = self.query_one("#columns", Horizontal)
        columns.set_class(self.comparing, "compare")
        self.views = self._make_views()
        async with self.batch():
            await columns.remove_children()
            await columns.mount_all(self.views)
        self.tell_speaker()

    def _make_views(self) -> list[ColumnView]:
        return [ColumnView(self.conversation, column) for column in self.conversation.columns]

    def tell_speaker(self) -> None:
        """Show in the status bar who answers, and how."""
        first = self.conversation.columns[0]
        self.tell_status(
            model=_("comparing {n}").format(n=len(self.conversation.columns))
            if self.comparing
            else shown_name(first.model),
            adapter="" if self.comparing else first.adapter or "",
            mode=_("single turn") if self.single_turn else _("multi turn"),
            temperature=self._options and (0.0 if self._options.greedy else self._options.temperature),
        )
        self.tell_context()

    def tell_context(self) -> None:
        """Show how much of the context the last answer left."""
        engine = self.driver.loaded(self.conversation.columns[0].model)
        usages = [turn.usage for turn in self.conversation.line(0) if turn.usage]
        used = usages[-1].prompt_tokens + usages[-1].answer_tokens if usages else 0
        self.tell_status(context_used=used, context_length=engine.loaded.context_length if engine else 0)

    def catch_up(self) -> None:
        """Show what another app said in this conversation meanwhile."""
        if self.exchange is None and self.conversation.refresh():
            for view in self.views:
                view.rebuild()

    # --- questions and answers ---

    def ask(self, text: str) -> None:
        """Put a question to every column."""
        for column in self.conversation.columns:
            self.conversation.append("user", text, column=column.index)
        self.answer(self.views)

    def answer(self, views: Sequence[ColumnView]) -> None:
        """Have the columns answer the questions at their ends."""
        if any(not view.column.model for view in views):
            self.notify(_("Choose a model first: ctrl+g."), severity="warning")
            return
        columns = [view.column for view in views]
        self.exchange = exchange = Exchange(self.conversation, columns, single_turn=self.single_turn)
        for view in views:
            view.begin(exchange.question(view.column.index), self._waiting_for(view.column.model))
        self._answer(exchange, {view.column.index: view for view in views})
        self._tell_phases()

    @work(group="answer")
    async def _answer(self, exchange: Exchange, by_column: Mapping[int, ColumnView]) -> None:
        views = list(by_column.values())
        ticker = self.set_interval(1 / FLUSHES_PER_SECOND, partial(_flush, views))
        try:
            async for column, update in exchange.run(
                self.driver, self.request_sampling(), self.options.enable_thinking
            ):
                self._take(by_column[column], update)
        except FinetuiError as error:  # the file takes nothing more: what came stays on the screen
            for view in views:
                view.abandon(error)
        finally:
            ticker.stop()
            if self.exchange is exchange:  # one that was stopped at once may have a successor already
                self.exchange = None
            self._tell_phases()
        if self.comparing:
            for view in views:
                view.tell(_("alt+{n} keeps it").format(n=view.column.index + 1))
        self._tell_memory()

    @property
    def options(self) -> GenerationOptions:
        """How answers are made; as they were kept by the last app that ran here."""
        return self._options or self.restore_options()

    def restore_options(self) -> GenerationOptions:
        """Read how answers are made from the workspace's memory."""
        from tui.parameters import restored  # pydantic, 80 ms: not before the first frame

        kept = load_state(self.workspace).get("generation")
        self._options = restored(kept if isinstance(kept, dict) else {})
        return self._options

    def use_options(self, options: GenerationOptions) -> None:
        """Make answers like this from the next question on."""
        from tui.parameters import texts

        self._options = options
        self.remember(generation=texts(options))
        self.tell_speaker()

    def remember(self, **changes: Any) -> None:
        """Keep something in the workspace's memory; where nothing can be written, it counts for this app only."""
        try:
            save_state(self.workspace, **changes)
        except FinetuiError as error:
            if not self._forgetful:
                self._forgetful = True
                self.notify(inert(error.hint), title=inert(error.message), severity="warning", markup=False)

    def request_sampling(self) -> Sampling:
        """What is sent with the next question: a fresh seed where none is set, the same for all its columns."""
        from tui.parameters import sampling_of

        sampling = sampling_of(self.options)
        return sampling if sampling.seed else replace(sampling, seed=random.randrange(1, 1 << 31))

    def _waiting_for(self, model: str) -> str:
        return "…" if self.driver.loaded(model) else _("waiting for the model…")

    def _take(self, view: ColumnView, update: Update) -> None:
        first_text = isinstance(update, Text) and view.expects_text
        view.take(update)
        if first_text:
            view.flush()
        match update:
            case Answered():
                self.tell_context()
                self.answered()
            case NotAnswered(PromptTooLong(), None):
                self._take_back(view)
            case _other:
                pass

    def answered(self) -> None:
        """An answer is in the file."""

    def _take_back(self, view: ColumnView) -> None:
        """A question that cannot be answered goes back into the input."""
        question = self.conversation.line(view.column.index)[-1]
        self.conversation.withdraw(question.id)
        view.transcript.discard(question.id)
        if question.content not in self.input.full_text:  # else another column gave it back already
            self.give_back(question.content)

    def give_back(self, typed: str) -> None:
        """Put what could not be sent into the input again, before what was typed meanwhile."""
        self.input.text = "\n".join(filter(None, (typed, self.input.full_text)))

    async def stop_answer(self) -> None:
        """End the answers under way; their parts are kept."""
        if self.exchange is None:
            return
        if self.exchange.started:
            await self.driver.stop()
        else:
            self.workers.cancel_group(self, "answer")
            self.exchange = None  # a task cancelled before its first step does not get to do that
            for view in self.views:
                view.drop_pending(_("stopped before the answer began"))

    async def end_answer(self) -> None:
        """Stop, and wait until everything is in the file."""
        if self.exchange is None:
            return
        answering = [worker for worker in self.workers if worker.group == "answer" and not worker.is_finished]
        await self.stop_answer()
        if answering:  # no workers would mean all workers
            with contextlib.suppress(WorkerCancelled):
                await self.workers.wait_for_complete(answering)

    def keep_parts(self) -> None:
        """The app has to leave now: write what there is of the answers."""
        if self.exchange is not None:
            self.exchange.keep_parts()

    # --- models ---

    @work(group="load")
    async def load(self, columns: Sequence[Column]) -> None:
        """Load who answers, in the background, so that the first question need not wait."""
        for column in columns:
            try:
                engine = await self.driver.engine(column.model)
                said = await self.driver.adapter(engine, column.adapter) if column.adapter else ()
                if self._still_there(column):
                    for warning in (*engine.loaded.warnings, *said):
                        self._view_of(column).say(warning)
            except FinetuiError as error:
                if self.exchange is None and self._still_there(column):  # else the answer says it, or nobody asks
                    self._view_of(column).say_error(error.message, error.hint)
        self.tell_context()
        self._tell_memory()

    def _still_there(self, column: Column) -> bool:
        return column in self.conversation.columns

    def _view_of(self, column: Column) -> ColumnView:
        return next((view for view in self.views if view.column == column), self.views[0])

    def _on_phase(self, model: str, phase: PhaseChanged | None) -> None:
        """A model got on with being loaded; None: that is over, however it ended."""
        if phase is None or phase.phase == "ready":
            self._phases.pop(model, None)
            for view in self.views:
                if view.column.model == model:
                    view.wait("…")
        else:
            since = self._phases[model][1] if model in self._phases else time.monotonic() - phase.seconds
            self._phases[model] = phase, since
        self._tell_phases()

    def _tell_phases(self) -> None:
        """Twice a second while something is loading, and only then."""
        texts = {model: _phase_text(phase, since) for model, (phase, since) in self._phases.items()}
        answering = _("answering, esc stops it") if self.exchange is not None else ""
        self.tell_status(phase=next(iter(texts.values()), answering))
        for view in self.views:
            if view.column.model in texts:
                view.wait(texts[view.column.model])
        if not texts and self._phase_timer is not None:
            self._phase_timer.stop()
            self._phase_timer = None
        elif texts and self._phase_timer is None:
            self._phase_timer = self.set_interval(0.5, self._tell_phases)

    def _on_death(self, model: str, death: WorkerDied) -> None:
        if self.exchange is None:
            self.notify(
                _("{model}: {message}. It is started again with the next question.").format(
                    model=inert_line(speaker(model, None)), message=inert(death.message)
                ),
                severity="warning",
                markup=False,
            )

    @work(exclusive=True, group="memory")
    async def _tell_memory(self) -> None:
        engine = self.driver.loaded(self.conversation.columns[0].model)
        if engine is None:
            return
        try:
            report = await engine.client.status()
        except FinetuiError:
            return
        self.tell_status(memory=memory_text(report.device_bytes, report.device_total_bytes, report.resident_bytes))


def _phase_text(phase: PhaseChanged, since: float) -> str:
    return _("{phase} {seconds:.0f} s").format(phase=_PHASES[phase.phase], seconds=time.monotonic() - since)


def _flush(views: Sequence[ColumnView]) -> None:
    for view in views:
        view.flush()


def memory_text(device: int, device_total: int, resident: int) -> str:
    """The accelerator's memory where there is one, else the worker's."""
    if device_total:
        return _("{used:.1f}/{total:.0f} GB").format(used=device / 1e9, total=device_total / 1e9)
    return _("{used:.1f} GB").format(used=resident / 1e9) if resident else ""
