"""The one line at the bottom of every screen: who answers, how, and what is left.

It is told, it never asks: nothing here polls, so an idle app writes nothing. When the line is too narrow the least
important parts leave first; nothing wide stands at its right edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from core.i18n import _
from core.untrusted import inert_line


@dataclass(frozen=True, slots=True)
class Status:
    """What the line tells; empty texts are left out."""

    model: str = ""
    adapter: str = ""
    phase: str = ""
    """What the model is busy with: `loading 2.1 s`; empty when it is idle."""
    mode: str = ""
    temperature: float | None = None
    context_used: int = 0
    context_length: int = 0
    memory: str = ""
    runs: str = ""
    """The trainings that go on: `▸ zh-lora 45%`."""
    hint: str = ""


class StatusBar(Widget):
    """Shows a `Status`."""

    DEFAULT_CSS = """
    StatusBar { dock: bottom; height: 1; padding: 0 1; background: $panel; color: $text-muted; }
    """

    status: reactive[Status] = reactive(Status())

    def tell(self, **changes: Any) -> None:
        """Change some of what is shown."""
        self.status = replace(self.status, **changes)

    def render(self) -> Content:
        left = fit(self._parts(), self.size.width - 2 - cell_len(self.status.hint))
        line = Content("  ").join(left)
        gap = max(1, self.size.width - 2 - line.cell_length - cell_len(self.status.hint))
        return Content.assemble(line, " " * gap, (self.status.hint, "dim"))

    def _parts(self) -> list[Content]:
        """The parts, the most important first."""
        status = self.status
        parts = [Content.assemble((inert_line(status.model) or _("no model"), "bold $text"))]
        if status.adapter:
            parts.append(Content.assemble("+ ", (inert_line(status.adapter), "bold $text-accent")))
        if status.phase:
            parts.append(Content.assemble(("● ", "$text-warning"), status.phase))
        if status.runs:
            parts.append(Content.assemble((status.runs, "$text-primary")))
        if status.mode:
            parts.append(Content(status.mode))
        if status.temperature is not None:
            parts.append(Content(_("T {value:g}").format(value=status.temperature)))
        if status.context_length:
            parts.append(self._context_part())
        if status.memory:
            parts.append(Content(status.memory))
        return parts

    def _context_part(self) -> Content:
        used, length = self.status.context_used, self.status.context_length
        text = _("context {used}/{length}").format(used=used, length=length)
        full = used / length
        return Content.assemble((text, "bold $text-error" if full > 0.9 else "$text-warning" if full > 0.7 else ""))


class SharedStatusBar(StatusBar):
    """Says what the line of the screens below says, as that goes on being told."""

    def on_mount(self) -> None:
        for screen in self.app.screen_stack:
            for bar in screen.query(StatusBar) if screen is not self.screen else ():
                self.watch(bar, "status", self._repeat)

    def _repeat(self, status: Status) -> None:
        self.status = status


def fit(parts: list[Content], width: int) -> list[Content]:
    """As many of the parts, from the first on, as fit into a width with two cells between them."""
    kept: list[Content] = []
    for part in parts:
        if kept and sum(p.cell_length + 2 for p in kept) + part.cell_length > width:
            break
        kept.append(part)
    return [part.truncate(max(1, width), ellipsis=True) for part in kept]
