"""The rows of a data set over the one under the cursor, in full: as text, as the exact prompt, or as tokens.

Prompt and tokens are asked for where the widget was told to ask; while one scrolls, only the row that one stays at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.chat.message import Message
from core.errors import FinetuiError
from core.i18n import _, plural
from core.serve.protocol import Rendered
from core.untrusted import inert, inert_line
from tui.widgets.fitted_line import FittedLine
from tui.widgets.row_view import Reading, reading_content
from tui.widgets.rows_list import RowsList
from tui.widgets.set_rows import OpenSet
from tui.widgets.token_view import of_last_answer, token_content

Render: TypeAlias = Callable[[Sequence[Message]], Awaitable[tuple[Rendered, str]]]
"""What a training makes of a conversation, and the name of the model whose tokenizer was asked."""

_DELAY = 0.15
_MOST_TOKENS = 4000


class RowPane(Vertical):
    """Shows the rows of an `OpenSet`."""

    DEFAULT_CSS = """
    RowPane RowsList { height: 3fr; }
    RowPane .place { background: $boost; color: $text-muted; }
    RowPane VerticalScroll { height: 4fr; padding: 0 1; scrollbar-size-vertical: 1; }
    RowPane VerticalScroll Static { width: 100%; height: auto; }
    """

    def __init__(self, render: Render) -> None:
        super().__init__()
        self._ask = render
        self._view = "text"

    def compose(self) -> ComposeResult:
        yield RowsList()
        yield FittedLine(classes="place")
        with VerticalScroll():
            yield Static(Content(""))

    @property
    def rows(self) -> RowsList:
        return self.query_one(RowsList)

    @property
    def _row(self) -> Static:
        return self.query_one("VerticalScroll Static", Static)

    def show(self, opened: OpenSet | None) -> None:
        """Show a set from its first row on."""
        self.rows.show(opened)
        self.show_row()

    def show_nothing(self, why: str) -> None:
        """Say why there is no row."""
        self.show(None)
        self._row.update(Content.styled(inert(why), "$text-warning"))

    def view(self, name: str) -> None:
        """Show rows as `text`, `prompt` or `tokens`."""
        if name != self._view:
            self._view = name
            self.show_row()

    @on(RowsList.Moved)
    def _moved(self) -> None:
        self.query_one(VerticalScroll).scroll_home(animate=False)
        self.show_row()

    def show_row(self) -> None:
        """Show the row under the cursor."""
        self.workers.cancel_node(self)
        reading = self.rows.current
        if reading is None:
            self._row.update(Content(""))
            self._tell()
        elif self._view == "text" or reading.faults:
            self._row.update(reading_content(reading))
            self._tell()
        else:
            self._render_row(reading)

    def _tell(self, *facts: str) -> None:
        """The line above the row: which it is, and where it stands."""
        line = Content("")
        reading = self.rows.current
        if reading is not None:
            number = _("row {row:,} of {rows:,}").format(row=self.rows.cursor + 1, rows=len(self.rows))
            where = f"{reading.place.file.name}:{reading.place.line}"
            line = Content(inert_line(" · ".join((number, *facts, where))))
        self.query_one(FittedLine).drawn = lambda _width: line

    @work(exclusive=True)
    async def _render_row(self, reading: Reading) -> None:
        self._tell(_("rendering…"))
        await asyncio.sleep(_DELAY)
        try:
            found = [(name, *await self._ask(messages)) for name, messages in reading.conversations]
        except FinetuiError as error:
            self._row.update(Content.styled(inert(str(error)), "$text-warning"))
            self._tell()
            return
        parts, counts = list[Content](), list[tuple[int, int]]()
        for name, rendered, _model in found:
            tokens = of_last_answer(rendered.tokens) if name else rendered.tokens
            parts += [Content.styled(inert_line(warning), "$text-warning") for warning in rendered.warnings]
            parts += [Content.styled(f"▎{name}", "bold $text-success")] if name else []
            is_token = self._view == "tokens"
            parts.append(token_content(tokens[:_MOST_TOKENS]) if is_token else Content(inert(rendered.text)))
            counts.append((len(tokens), sum(token.trained for token in tokens)))
        self._row.update(Content("\n").join(parts))
        _name, rendered, model = found[0]
        self._tell(*_counted(counts), model, _("template: {name}").format(name=rendered.template))


def _counted(counts: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """Tokens, and those with loss; of a pair the better answer's and the worse one's."""
    tokens, trained = (" + ".join(map(str, column)) for column in zip(*counts, strict=True))
    if len(counts) == 1:
        tokens = plural("{count} token", "{count} tokens", counts[0][0])
    else:
        tokens = _("{counts} tokens").format(counts=tokens)
    return tokens, _("{count} trained").format(count=trained)
