"""A run's output as it comes: the end of it, with search. It is anything that a process prints, so it is shown inert.

Only the last thousands of lines are held, only what is in view is drawn. Of a progress bar that redraws itself its last
state is shown, as a terminal would.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.untrusted import inert_line

_MOST_LINES = 5000
_MOST_BYTES = 512 << 10
_COLOURS = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")
_BAD = re.compile(r"\b(error|errors|traceback|exception|failed|killed|nan)\b|Error\b", re.IGNORECASE)
_WARNING = re.compile(r"\bwarn(ing)?s?\b", re.IGNORECASE)


class LogTail:
    """The last lines of a file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._offset = 0
        self._rest = b""

    def read_on(self) -> bool:
        """Take in what came; whether anything did."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:
                    self.lines, self._offset, self._rest = [], 0, b""
                if size == self._offset:
                    return False
                skipped = max(self._offset, size - _MOST_BYTES)
                if skipped > self._offset:
                    self._rest = b""
                file.seek(skipped)
                data = file.read(_MOST_BYTES)
        except OSError:
            return False
        self._offset = skipped + len(data)
        if self._rest and self.lines:
            self.lines.pop()  # the line that was not whole
        *whole, self._rest = (self._rest + data).split(b"\n")
        texts = [_shown(line) for line in (*whole, self._rest)]
        self.lines = [*self.lines, *(texts if self._rest else texts[:-1])][-_MOST_LINES:]
        return True


def _shown(line: bytes) -> str:
    """A line as a terminal would have left it, without its colours."""
    text = _COLOURS.sub("", line.decode(errors="replace")).rstrip("\r")
    return inert_line(text.rpartition("\r")[2])


class LogView(ScrollView, can_focus=True):
    """Shows a `LogTail`, following its end while that is in view."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--bad", "log--warning", "log--match", "log--current"}
    DEFAULT_CSS = """
    LogView {
        height: 1fr; background: $background; color: $foreground; overflow-x: auto; scrollbar-size-horizontal: 1;
    }
    LogView .log--bad { color: $text-error; }
    LogView .log--warning { color: $text-warning; }
    LogView .log--match { background: $warning 40%; color: $text; }
    LogView .log--current { background: $warning; color: $background; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._tail: LogTail | None = None
        self._words = ""
        self._current = -1
        self._styles: dict[str, Style] = {}

    def show(self, path: Path) -> None:
        """Show the end of this file."""
        if self._tail is None or self._tail.path != path:
            self._tail = LogTail(path)
            self._current = -1
            self.read_on(to_end=True)

    def read_on(self, *, to_end: bool = False) -> None:
        """Take in what was written meanwhile."""
        if self._tail is None:
            return
        at_end = to_end or self.scroll_offset.y >= self.max_scroll_y
        if self._tail.read_on() or to_end:
            self._lay_out()
            if at_end:
                self.call_after_refresh(self.scroll_end, animate=False, immediate=True)
            self.refresh()

    def _lay_out(self) -> None:
        lines = self.lines
        self.virtual_size = Size(max((len(line) for line in lines), default=0), len(lines))

    @property
    def lines(self) -> list[str]:
        return self._tail.lines if self._tail is not None else []

    # --- search ---

    def search(self, words: str) -> int:
        """Mark what has these words and go to the last of them; how many lines there are."""
        self._words = words.casefold()
        self._current = -1
        found = self._matches()
        if found:
            self._go_to(found[-1])
        self.refresh()
        return len(found)

    def _matches(self) -> list[int]:
        if not self._words:
            return []
        return [number for number, line in enumerate(self.lines) if self._words in line.casefold()]

    def next_match(self, way: int) -> None:
        """Go to the match above (-1) or below (1)."""
        found = self._matches()
        others = [number for number in found if (number < self._current if way < 0 else number > self._current)]
        if others:
            self._go_to(others[-1] if way < 0 else others[0])

    def _go_to(self, line: int) -> None:
        self._current = line
        self.scroll_to(y=max(0, line - self.size.height // 2), animate=False, immediate=True)
        self.refresh()

    # --- drawing ---

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(f"log--{name}") if name else self.rich_style
        return self._styles[name]

    def render_line(self, y: int) -> Strip:
        across, down = self.scroll_offset
        number = down + y
        width = self.scrollable_content_region.width
        if number >= len(self.lines):
            return Strip.blank(width, self._style(""))
        line = self.lines[number]
        base = self._style("bad" if _BAD.search(line) else "warning" if _WARNING.search(line) else "")
        strip = Strip(list(self._segments(line, base, number)))
        return strip.crop_extend(across, across + width, self._style(""))

    def _segments(self, line: str, base: Style, number: int) -> list[Segment]:
        folded = line.casefold()
        if not self._words or self._words not in folded or len(folded) != len(line):
            return [Segment(line, base)]
        mark = self._style("current" if number == self._current else "match")
        segments, at = [], 0
        while (found := folded.find(self._words, at)) >= 0:
            segments += [Segment(line[at:found], base), Segment(line[found : found + len(self._words)], mark)]
            at = found + len(self._words)
        return [*segments, Segment(line[at:], base)]
