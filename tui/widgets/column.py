"""One column of the chat: who answers, and the transcript of what was said.

A chat has one column and shows no head; compare mode has up to four.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from core.chat.session import Column, Conversation, Turn
from core.i18n import _
from core.serve.protocol import Started, Text
from core.untrusted import inert_line
from tui.entries import entry_of, footer, speaker
from tui.exchange import Answered, NotAnswered, Update
from tui.widgets.transcript import Entry, Transcript

PENDING = "pending"
"""The key of the entry whose answer is on its way."""

KEPT_MARK = _("★ kept")


class ColumnView(Vertical):
    """Shows one column of a conversation and the answer that grows in it."""

    DEFAULT_CSS = """
    ColumnView { width: 1fr; height: 1fr; }
    ColumnView .column-head { height: 1; padding: 0 1; background: $surface; color: $text-muted; display: none; }
    ColumnView:focus-within .column-head { background: $panel; color: $text; }
    .compare ColumnView { border-right: vkey $panel; }
    .compare ColumnView:last-of-type { border-right: none; }
    .compare ColumnView .column-head { display: block; }
    """

    def __init__(self, conversation: Conversation, column: Column) -> None:
        super().__init__()
        self.conversation = conversation
        self.column = column
        self._waiting_text = ""
        self._buffer: list[str] = []

    def compose(self) -> ComposeResult:
        yield Static(classes="column-head")
        yield Transcript()

    def on_mount(self) -> None:
        self.rebuild()
        self.tell("")

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def name_shown(self) -> str:
        """Who answers here."""
        return self.column.label or speaker(self.column.model, self.column.adapter)

    def tell(self, text: str) -> None:
        """Say something in the head, beside the number and the name."""
        self.query_one(".column-head", Static).update(
            Content.assemble(
                (f" {self.column.index + 1} ", "bold reverse"),
                " ",
                (inert_line(self.name_shown), "bold"),
                "  ",
                text,
            )
        )

    # --- the conversation ---

    def rebuild(self) -> None:
        """Show the active line of the conversation from its file's truth."""
        transcript = self.transcript
        transcript.clear()
        transcript.extend([entry_of(self.conversation, turn) for turn in self.conversation.line(self.column.index)])

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

    # --- the answer that is on its way ---

    def begin(self, question: Turn, phase: str) -> None:
        """Show a question and make room for its answer."""
        transcript = self.transcript
        if not transcript.has(question.id):
            transcript.append(entry_of(self.conversation, question))
        transcript.append(Entry(key=PENDING, role="assistant", text="", title=self.name_shown, footer=phase))
        transcript.anchor_end()
        self.tell("")

    def wait(self, phase: str) -> None:
        """Tell what the answer waits for."""
        if self.transcript.has(PENDING):
            self.transcript.replace(PENDING, footer=phase)

    def take(self, update: Update) -> None:
        """Take in the next part of the answer; texts are shown by `flush`."""
        match update:
            case Started():
                self._tell_dropped(update)
                self.wait(_("reading {n} tokens…").format(n=update.prompt_tokens - update.reused_tokens))
            case Text():
                self._buffer.append(update.text)
            case Answered():
                self.flush()
                self._settle(update.turn)
            case NotAnswered():
                self.flush()
                self._settle(update.turn)
                self.say_error(update.error.message, update.error.hint)

    def flush(self) -> None:
        """Show the texts taken in since the last time."""
        if self._buffer and self.transcript.has(PENDING):
            self.transcript.stream(PENDING, "".join(self._buffer))
        self._buffer.clear()

    def _settle(self, turn: Turn | None) -> None:
        transcript = self.transcript
        if turn is None:
            transcript.remove(PENDING)
            return
        transcript.finish(PENDING, key=turn.id, footer=footer(turn))
        self.refresh_turn(turn)

    def _tell_dropped(self, started: Started) -> None:
        if started.dropped:
            self.say(
                _("The context is full: the oldest {n} messages were left out of this request.").format(
                    n=len(started.dropped)
                )
            )

    def say(self, text: str) -> None:
        """A note of the app's own, kept out of the conversation."""
        self._aside(Entry(key=self._aside_key(), role="note", text=text, title=""))

    def say_error(self, message: str, hint: str) -> None:
        """An error, where the answer would stand."""
        text = f"{message}\n{hint}" if hint else message
        self._aside(Entry(key=self._aside_key(), role="error", text=text, title=_("error")))

    def _aside_key(self) -> str:
        return f"aside:{len(self.transcript.entries)}:{id(object())}"

    def _aside(self, entry: Entry) -> None:
        before = PENDING if self.transcript.has(PENDING) else None
        self.transcript.append(entry, before=before)
