"""Where one types to the model: enter sends, ctrl+j is a new line, up and down walk through what was sent.

Everything that enters the text (keys, pastes, a message brought back for editing) is made inert first, so a hostile
paste cannot reach the terminal. A very long text is shown as one short mark and sent whole: wrapping a megabyte
again at every key would take seconds. Keys are taken in `_on_key`, before the bindings of TextArea see them.
"""

from __future__ import annotations

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.widgets.text_area import EditResult, Location

from core.i18n import _
from tui.widgets.completion import Completion
from tui.widgets.inert_inputs import InertTextArea, inert_lines

_REMEMBERED = 500
_MOST_ROWS = 10
_LONGEST_SHOWN = 10_000  # characters
_NEW_LINE_KEYS = {"ctrl+j", "shift+enter", "alt+enter"}
_PAGE_KEYS = {"pageup": "scroll_page(-1)", "pagedown": "scroll_page(1)"}
_END_KEYS = {"ctrl+home": "top", "ctrl+end": "bottom"}


class PromptInput(InertTextArea):
    """An input of one to ten rows.

    A `Completion` beside it in the same parent is driven by its keys: up, down, tab, enter, escape.
    """

    DEFAULT_CSS = """
    PromptInput {
        height: auto;
        min-height: 3;
        border: round $foreground 30%;
        background: $background;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        &:focus { border: round $primary; }
    }
    """

    class Submitted(Message):
        """The user sent a text; the input is empty again."""

        def __init__(self, prompt_input: PromptInput, text: str) -> None:
            super().__init__()
            self.prompt_input = prompt_input
            self.text = text

        @property
        def control(self) -> PromptInput:
            return self.prompt_input

    class Escaped(Message):
        """Escape was pressed, and no completion was open to take it."""

        def __init__(self, prompt_input: PromptInput) -> None:
            super().__init__()
            self.prompt_input = prompt_input

        @property
        def control(self) -> PromptInput:
            return self.prompt_input

    class ScrollKeyPressed(Message):
        """A key that scrolls was pressed, and the input is all in view.

        Attributes:
            action: what a transcript does at it.
        """

        def __init__(self, prompt_input: PromptInput, action: str) -> None:
            super().__init__()
            self.prompt_input = prompt_input
            self.action = action

        @property
        def control(self) -> PromptInput:
            return self.prompt_input

    def __init__(self, text: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(text, placeholder=placeholder, id=id, highlight_cursor_line=False)
        self.sent: list[str] = []
        """What was sent before, oldest first."""
        self._recalled: int | None = None
        self._draft = ""
        self._folded: dict[str, str] = {}

    def on_mount(self) -> None:
        if completion := self.completion:
            completion.taken = self._take

    @property
    def completion(self) -> Completion | None:
        """The list of completions that the keys drive."""
        found = list(self.parent.query_children(Completion)) if self.parent is not None else []
        return found[0] if found else None

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows of text: at most ten, and never more than half of the screen."""
        rows = super().get_content_height(container, viewport, width)
        return min(rows, _MOST_ROWS, max(1, self.screen.size.height // 2 - 2))

    @property
    def full_text(self) -> str:
        """The text with what is folded in it."""
        text = self.text
        for mark, folded in self._folded.items():
            text = text.replace(mark, folded)
        return text

    def _fold(self, text: str) -> str:
        """A short mark for a long text; other texts as they are."""
        if len(text) <= _LONGEST_SHOWN:
            return text
        text = inert_lines(text)
        mark = _("[pasted text {number}: {lines} lines, {characters} characters]").format(
            number=len(self._folded) + 1, lines=text.count("\n") + 1, characters=len(text)
        )
        self._folded[mark] = text
        return mark

    def load_text(self, text: str) -> None:
        """Shows another text, with the cursor at its end."""
        self._folded = {mark: folded for mark, folded in self._folded.items() if mark in text}
        super().load_text(self._fold(text))
        self.move_cursor(self.document.end)

    def continue_from(self, other: PromptInput) -> None:
        """Go on in the place of another input: with its text and what is folded in it, its selection, what it sent."""
        self._folded = dict(other._folded)
        self.text = other.text
        self.selection = other.selection
        self.remember(*other.sent)

    def _replace_via_keyboard(self, insert: str, start: Location, end: Location) -> EditResult | None:
        return super()._replace_via_keyboard(self._fold(insert), start, end)

    def find_matching_bracket(self, bracket: str, search_from: Location) -> None:
        """Prose has no brackets to match, and the search would walk through all of a large paste."""

    # Keys

    async def _on_key(self, event: events.Key) -> None:
        if self._handle(event.key):
            event.stop()
            event.prevent_default()  # else TextArea's own handler follows

    def _handle(self, key: str) -> bool:
        completion = self.completion
        if completion is not None:
            completion.renew(self.text)  # keys can come faster than the news of a change
            if completion.is_open and self._complete(completion, key):
                return True
        if key == "enter":
            self.submit()
        elif key == "tab" and completion is not None and self.text.startswith("/"):
            completion.offer(self.text)  # one that escape closed; in no case the focus leaves a command
        elif key in _NEW_LINE_KEYS:
            self._replace_via_keyboard("\n", *self.selection)
        elif key == "escape":
            self.post_message(self.Escaped(self))
        elif key == "up" and self._row == 0:
            return self._recall(-1)
        elif key == "down" and self._row == self.wrapped_document.height - 1:
            return self._recall(1)
        elif key in _END_KEYS or (key in _PAGE_KEYS and self.wrapped_document.height <= self.content_size.height):
            self.post_message(self.ScrollKeyPressed(self, (_END_KEYS | _PAGE_KEYS)[key]))
        else:
            return False
        return True

    def _complete(self, completion: Completion, key: str) -> bool:
        """What a key does while the list is open."""
        if key in ("up", "down"):
            if self._shows_recalled:
                return False
            completion.move(1 if key == "down" else -1)
        elif key == "escape":
            completion.close()
        elif key == "tab":
            if completion.value == self.text:
                completion.move(1)
            self._take(completion.value)
        elif key == "enter" and completion.value.rstrip() != self.text.rstrip():
            value = completion.value
            self._take(value)
            if not value.endswith(" "):  # a value that ends in a space wants an argument
                self.submit()
        else:
            return False
        return True

    def _take(self, value: str) -> None:
        self.text = value
        if completion := self.completion:
            completion.close()
        self.focus()

    def submit(self) -> None:
        """Sends the text, unless it is blank."""
        text = self.full_text
        if not text.strip():
            return
        self.remember(text)
        if completion := self.completion:
            completion.close()
        self.text = ""
        self.post_message(self.Submitted(self, text))

    # What was sent before

    def remember(self, *texts: str) -> None:
        """Adds texts to those that `up` brings back."""
        for text in texts:
            if not self.sent or self.sent[-1] != text:
                self.sent.append(text)
        del self.sent[:-_REMEMBERED]
        self._recalled = None

    @property
    def _row(self) -> int:
        """The row on the screen that the cursor is in, from the top of the text."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y

    @property
    def _shows_recalled(self) -> bool:
        return self._recalled is not None and self.full_text == self.sent[self._recalled]

    def _recall(self, step: int) -> bool:
        """Brings back the text sent before or after; below the newest stands the draft."""
        at = len(self.sent) if self._recalled is None else self._recalled
        if (self._recalled is None and step > 0) or not 0 <= at + step <= len(self.sent):
            return False
        if self._recalled is None:
            self._draft = self.full_text
        at += step
        self._recalled = at if at < len(self.sent) else None
        self.text = self.sent[at] if at < len(self.sent) else self._draft
        return True
