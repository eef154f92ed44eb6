"""One column of the chat: who answers, and the transcript of what was said.

A chat has one column and shows no head; compare mode has up to four.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content

from core.chat.session import Column, Conversation, Turn
from core.errors import FinetuiError
from core.i18n import _
from core.serve.protocol import Started, Text
from core.untrusted import inert_line
from tui.actions import bindings
from tui.entries import entry_of, footer, speaker
from tui.exchange import Answered, NotAnswered, Update
from tui.widgets.content_layout import tail
from tui.widgets.entry import Entry
from tui.widgets.fitted_line import FittedLine
from tui.widgets.prompt_input import PromptInput
from tui.widgets.transcript import Transcript

_NAME_CELLS = 8


class ColumnTranscript(Transcript):
    """A transcript with the keys for the message under its cursor. What else one types is for the input."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("message")

    def on_key(self, event: events.Key) -> None:
        """Hand a character that means nothing here to the input, and what came right behind it before it was there."""
        stays = not event.is_printable or event.key in self.screen.active_bindings
        if self.screen.focused is self and stays:
            return
        event.stop()
        self._hand_to_input(events.Key(event.key, event.character))

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self._hand_to_input(events.Paste(event.text))

    def _hand_to_input(self, event: events.Event) -> None:
        prompt_input = self.screen.query_one(PromptInput)
        self.screen.set_focus(prompt_input)
        prompt_input._forward_event(event)  # as the app would have; merely posted, a paste comes round twice


class ColumnView(Vertical):
    """Shows one column of a conversation and the answer that grows in it."""

    DEFAULT_CSS = """
    ColumnView { width: 1fr; height: 1fr; }
    ColumnView .column-head { height: 1; padding: 0 1; background: $surface; color: $text-muted; display: none; }
    """

    def __init__(self, conversation: Conversation, column: Column) -> None:
        super().__init__()
        self.conversation = conversation
        self.column = column
        self.transcript: Transcript = ColumnTranscript(self._entries())
        self._head = FittedLine(classes="column-head")
        self._keys = itertools.count()
        self._pending: str | None = None
        self._buffer: list[str] = []

    def compose(self) -> ComposeResult:
        yield self._head
        yield self.transcript

    def on_mount(self) -> None:
        self.tell("")

    @property
    def name_shown(self) -> str:
        """Who answers here; beside others in a short form."""
        if len(self.conversation.columns) > 1:
            return self.column.label or self.column.adapter or speaker(self.column.model, None)
        return self.column.label or speaker(self.column.model, self.column.adapter)

    def tell(self, text: str) -> None:
        """Say something in the head, between the number and the name."""
        number = Content.assemble((f" {self.column.index + 1} ", "bold reverse"), " ")
        told = Content.styled(f"{text}  " if text else "", "$text-success")
        name = inert_line(self.name_shown)

        def drawn(width: int) -> Content:
            room = width - number.cell_length
            short = tail(name, max(room - told.cell_length, _NAME_CELLS))
            return Content.assemble(number, told.truncate(max(0, room - cell_len(short))), (short, "bold"))

        self._head.drawn = drawn

    # --- the conversation ---

    def rebuild(self) -> None:
        """Show the active line of the conversation as its file has it."""
        self.transcript.clear()
        self.transcript.extend(self._entries())

    def _entries(self) -> list[Entry]:
        line = self.conversation.line(self.column.index)
        name = self.name_shown if len(self.conversation.columns) > 1 else ""
        return [entry_of(self.conversation, turn, name) for turn in line]

    def refresh_turn(self, turn: Turn) -> None:
        """Show a turn's changed rating or branches."""
        entry = entry_of(self.conversation, turn)
        self.transcript.replace(turn.id, badge=entry.badge, footer=entry.footer)

    def turn_at_cursor(self) -> Turn | None:
        """The turn that the cursor is at."""
        entry = self.transcript.cursor_entry
        turns = {turn.id: turn for turn in self.conversation.line(self.column.index)}
        return turns.get(entry.key) if entry else None

    def last_answer(self) -> Turn | None:
        """The newest turn of the model, if the conversation ends in one."""
        line = self.conversation.line(self.column.index)
        return line[-1] if line and line[-1].role == "assistant" else None

    def code_of(self, turn: Turn) -> str:
        """The code blocks of a turn, an empty line between them."""
        return "\n\n".join(self.transcript.code_blocks(turn.id))

    # --- the answer that is on its way ---

    @property
    def expects_text(self) -> bool:
        """Whether nothing of the answer is shown yet."""
        return self._pending is not None and not self.transcript.text_of(self._pending) and not self._buffer

    def begin(self, question: Turn, phase: str) -> None:
        """Show a question, if it is new, and make room for its answer."""
        transcript = self.transcript
        if not transcript.has(question.id):
            transcript.append(entry_of(self.conversation, question))
        self._pending = f"pending:{next(self._keys)}"
        transcript.append(Entry(self._pending, "assistant", title=self.name_shown, footer=phase, streaming=True))
        transcript.anchor_end()
        self.tell("")

    def wait(self, phase: str) -> None:
        """Tell what the answer waits for, while nothing of it is there."""
        if self._pending is not None and self.expects_text:
            self.transcript.replace(self._pending, footer=phase)

    def take(self, update: Update) -> None:
        """Take in the next part of the answer; texts are shown by `flush`."""
        match update:
            case Started():
                if update.dropped:
                    self.say(dropped_text(len(update.dropped)))
                self.wait(_("reading {n} tokens…").format(n=update.prompt_tokens - update.reused_tokens))
            case Text():
                self._buffer.append(update.text)
            case Answered():
                self._settle(update.turn)
            case NotAnswered():
                self._settle(update.turn)
                self.say_error(update.error.message, update.error.hint)

    def flush(self) -> None:
        """Show the texts taken in since the last time."""
        if self._buffer and self._pending is not None:
            if not self.transcript.text_of(self._pending):
                self.transcript.replace(self._pending, footer="")
            self.transcript.stream(self._pending, "".join(self._buffer))
            self._buffer.clear()

    def drop_pending(self, note: str) -> None:
        """The answer will not come."""
        self._settle(None)
        self.say(note)

    def abandon(self, error: FinetuiError) -> None:
        """The answer could not be kept: it stays on the screen, with the reason."""
        self.flush()
        if self._pending is not None:
            self.transcript.finish(self._pending, footer=_("not kept"))
            self._pending = None
        self.say_error(error.message, error.hint)

    def _settle(self, turn: Turn | None) -> None:
        """The growing answer is this turn now, or nothing."""
        self.flush()
        pending, self._pending = self._pending, None
        if pending is None:
            return
        if turn is None:
            self.transcript.discard(pending)
        else:
            self.transcript.finish(pending, key=turn.id, footer=footer(turn))
            self.refresh_turn(turn)

    # --- what the app itself says ---

    def say(self, text: str) -> None:
        """A note of the app's own, kept out of the conversation."""
        self._aside(Entry(f"note:{next(self._keys)}", "note", text))

    def say_error(self, message: str, hint: str) -> None:
        """An error, where the answer would stand."""
        self._aside(Entry(f"error:{next(self._keys)}", "error", f"{message}\n{hint}" if hint else message))

    def _aside(self, entry: Entry) -> None:
        """At the end, but above an answer that is still growing."""
        self.transcript.append(entry, before=self._pending)


def dropped_text(count: int) -> str:
    """Which messages did not fit."""
    return _("The context is full: the oldest {n} messages were left out of this request.").format(n=count)


KEPT_MARK = _("★ kept")
