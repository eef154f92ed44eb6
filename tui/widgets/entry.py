"""One message of a transcript: what is shown of it, and its rows for a width.

Rows are made when they are first looked at and can be dropped again; text that arrives is handed on to the documents
that draw it, which keep what is finished.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from core.i18n import _, plural
from core.untrusted import inert, inert_line
from tui.widgets.lines import BLANK, Line, PlainDocument, wrap
from tui.widgets.palette import Palette

if TYPE_CHECKING:
    from tui.widgets.markdown import MarkdownDocument

EntryRole: TypeAlias = Literal["user", "assistant", "system", "note", "error"]

_THINK, _END_THINK = "<think>", "</think>"
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3]|[^\W\u2e80-\u9fff\uac00-\ud7a3]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a transcript shows of a message.

    Attributes:
        key: names the entry; unique in a transcript.
        role: who speaks; `note` is the app itself.
        text: the message, untrusted; Markdown where an assistant wrote it.
        title: the label above, empty for the role's own.
        badge: a few words beside the label, such as a branch or a rating.
        footer: one dim line below.
        streaming: more text is coming.
    """

    key: str
    role: EntryRole
    text: str = ""
    title: str = ""
    badge: str = ""
    footer: str = ""
    streaming: bool = False


@dataclass(frozen=True)
class Frame:
    """What the rows of all entries depend on besides the entries."""

    width: int
    palette: Palette
    raw: bool = False


class EntryView:
    """An entry, its rows for one frame, and its height: estimated until somebody looks."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.height = 1
        self.measured = False
        self.thinking_shown = False
        self._frame: Frame | None = None
        self._thought: PlainDocument | None = None
        self._body: PlainDocument | MarkdownDocument | None = None
        self._fed_thought = self._fed_body = 0
        self._rows: list[Line] | None = None
        self.painted: list[Line] = []
        """The rows as they were last drawn."""
        self.fold_row: int | None = None

    def change(self, entry: Entry) -> None:
        """Shows another state of the entry; text that only grew keeps its finished rows."""
        grew = entry.role == self.entry.role and entry.text.startswith(self.entry.text)
        self.entry = entry
        if grew:
            self.redraw()
        else:
            self.drop()
            self.measured = False

    def redraw(self) -> None:
        """Makes the rows again from the documents when they are next looked at."""
        self._rows = None
        self.measured = False

    def drop(self) -> None:
        """Forgets the rows; the height stays."""
        self._rows = self._thought = self._body = None
        self.painted = []
        self._fed_thought = self._fed_body = 0

    def estimate(self, width: int) -> None:
        """Guesses the height without drawing: bytes beyond ASCII stand for wide characters."""
        text = self.entry.text
        if self.entry.role == "assistant":
            text = text[thinking_in(text, False).answer :]
        cells = (len(text) + len(text.encode(errors="replace"))) // 2
        self.height = 2 + bool(self.entry.footer) + text.count("\n") + cells // max(1, width)
        self.measured = False

    def rows(self, frame: Frame) -> list[Line]:
        """The rows, drawn now if they are not; sets `height`."""
        if frame != self._frame:
            self.drop()
            self._frame = frame
        if self._rows is None:
            self._rows = self.painted = self._draw(frame)
            self.height = len(self._rows)
            self.measured = True
        return self._rows

    def _draw(self, frame: Frame) -> list[Line]:
        rows = self._header(frame)
        self.fold_row = None
        if frame.raw or self.entry.role != "assistant":
            rows += self._plain(frame)
        else:
            rows += self._answer(frame, len(rows))
        if self.entry.footer:
            rows += wrap([(inert_line(self.entry.footer), frame.palette.muted)], frame.width)
        return [*rows, BLANK]

    def _header(self, frame: Frame) -> list[Line]:
        title = self.entry.title or _role_title(self.entry.role)
        if not title and not self.entry.badge:
            return []
        badge = f"  {inert_line(self.entry.badge)}" if self.entry.badge else ""
        style = getattr(frame.palette, f"by_{self.entry.role}")
        return wrap([(inert_line(title), style), (badge, frame.palette.muted)], frame.width)

    def _plain(self, frame: Frame) -> list[Line]:
        styles = {"note": frame.palette.muted, "system": frame.palette.muted, "error": frame.palette.error}
        if not isinstance(self._body, PlainDocument):
            self._body = PlainDocument(frame.width, styles.get(self.entry.role, frame.palette.body))
        end = self._settled_end()
        self._body.feed(inert(self.entry.text[self._fed_body : end]))
        self._fed_body = end
        return self._body.lines if self.entry.text else []

    def _settled_end(self) -> int:
        """How much of the text can be drawn: a carriage return at the end may yet become a line's end."""
        text = self.entry.text
        return len(text) - (self.entry.streaming and text.endswith("\r"))

    def _answer(self, frame: Frame, row: int) -> list[Line]:
        # 40 ms for the parser: paid at the first answer, not before the first frame.
        from tui.widgets.markdown import MarkdownDocument

        thinking = thinking_in(self.entry.text, self.entry.streaming)
        rows = self._thinking(frame, thinking, row)
        if not isinstance(self._body, MarkdownDocument):
            self._body = MarkdownDocument(frame.width, frame.palette)
        begin, end = max(thinking.answer, self._fed_body), self._settled_end()
        if not self._fed_body:
            begin += len(self.entry.text[begin:end]) - len(self.entry.text[begin:end].lstrip("\r\n"))
        if end > begin:
            self._body.feed(self.entry.text[begin:end])
            self._fed_body = end
        answer = self._body.lines if self._fed_body else []
        return [*rows, BLANK, *answer] if rows and answer else [*rows, *answer]

    def _thinking(self, frame: Frame, thinking: Thinking, row: int) -> list[Line]:
        start, end = thinking.start, thinking.end
        if not self.entry.text[start:end].strip():
            return []
        shown = self.thinking_shown or thinking.open
        label = _("thinking…") if thinking.open else self._thought_label(start, end)
        self.fold_row = row
        rows = wrap([(("▾ " if shown else "▸ ") + label, frame.palette.muted)], frame.width)
        if not shown:
            return rows
        if self._thought is None:
            self._thought = PlainDocument(frame.width, frame.palette.thinking)
            self._fed_thought = end - len(self.entry.text[start:end].lstrip())
        self._thought.feed(inert(self.entry.text[self._fed_thought : end]))
        self._fed_thought = end
        thought = self._thought.lines
        while thought and not thought[-1].text.strip():
            thought.pop()
        return [*rows, *thought]

    def _thought_label(self, start: int, end: int) -> str:
        words = sum(1 for _word in _WORD.finditer(self.entry.text, start, end))
        return plural("thought for {count} word", "thought for {count} words", words)


class Thinking(NamedTuple):
    """Where the thinking at the start of an answer begins and ends, where the answer begins; open: it goes on."""

    start: int
    end: int
    answer: int
    open: bool = False


def thinking_in(text: str, streaming: bool) -> Thinking:
    """Finds the thinking; while text is streaming, the beginning of a tag may become one."""
    opening = len(text) - len(text.lstrip())
    if streaming and len(text) - opening < len(_THINK) and _THINK.startswith(text[opening:]):
        return Thinking(len(text), len(text), len(text))
    if not text.startswith(_THINK, opening):
        return Thinking(0, 0, 0)
    start = opening + len(_THINK)
    end = text.find(_END_THINK, start)
    if end >= 0:
        return Thinking(start, end, end + len(_END_THINK))
    return Thinking(start, _half_tag(text, start) if streaming else len(text), len(text), streaming)


def _half_tag(text: str, start: int) -> int:
    """The end of the text without the beginnings of an end tag."""
    at = text.rfind("<", max(start, len(text) - len(_END_THINK)))
    return at if at >= 0 and _END_THINK.startswith(text[at:]) else len(text)


def _role_title(role: EntryRole) -> str:
    titles = {"user": _("You"), "assistant": _("Assistant"), "system": _("System"), "error": _("Error"), "note": ""}
    return titles[role]


def changed(entry: Entry, **changes: object) -> Entry:
    """The entry with other values."""
    return replace(entry, **changes)  # type: ignore[arg-type]
