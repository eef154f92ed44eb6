"""Blind judging: one prompt, two answers side by side, and a key for the better one.

Nothing here tells who gave which answer: sides are shuffled, names come at the end. Each judgement is on the disk
before the next pair is shown, so leaving costs nothing at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen

from core.errors import FinetuiError
from core.i18n import _, plural
from core.judging.drawing import read_drawing
from core.judging.folder import Judging
from core.judging.pair import Pair, Verdict, swapped
from core.judging.summary import summary, summary_lines
from core.judging.verdicts import VerdictBook
from core.judging.writing import write_preferences
from core.untrusted import inert, inert_line
from tui.actions import bindings
from tui.widgets.fitted_line import FittedLine
from tui.widgets.judged_pair import JudgedAnswer, JudgedPrompt, JudgingSummary

_WIDE = 72


class JudgeScreen(Screen[int | None]):
    """Has the pairs of a judging judged; ends with the number of rows of the data set, None where it is not written.

    Args:
        judging: whose answers are drawn.
        book: where judgements are kept.
    """

    SCOPES: ClassVar[tuple[str, ...]] = ("judge",)
    """Of the actions that the palette offers here."""
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("judge"),
        Binding("up", "scroll_answers(-1)", show=False),
        Binding("down", "scroll_answers(1)", show=False),
        Binding("pageup", "page_answers(-1)", show=False),
        Binding("pagedown,space", "page_answers(1)", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = """
    JudgeScreen #judge-head { background: $panel; }
    JudgeScreen JudgedPrompt { height: 2fr; min-height: 4; background: $surface; }
    JudgeScreen #judge-answers { height: 5fr; }
    JudgeScreen JudgedAnswer { width: 1fr; height: 1fr; }
    JudgeScreen #judge-right { border-left: vkey $panel; }
    JudgeScreen.-narrow #judge-answers { layout: vertical; }
    JudgeScreen.-narrow #judge-right { border-left: none; }
    JudgeScreen JudgingSummary { display: none; height: 1fr; }
    JudgeScreen #judge-keys { background: $panel; color: $text-muted; }
    JudgeScreen.-done JudgedPrompt, JudgeScreen.-done #judge-answers { display: none; }
    JudgeScreen.-done JudgingSummary { display: block; }
    """

    def __init__(self, judging: Judging, book: VerdictBook) -> None:
        super().__init__()
        self._judging, self._book = judging, book
        self._pairs = judging.pairs()
        self._at: int | None = None
        """Which of the pairs is shown; None when all are judged."""
        self._is_written = True
        """Whether the data set says what the journal says."""

    def compose(self) -> ComposeResult:
        yield FittedLine(id="judge-head")
        yield JudgedPrompt()
        with Horizontal(id="judge-answers"):
            yield JudgedAnswer(_("1  left"), id="judge-left")
            yield JudgedAnswer(_("2  right"), id="judge-right")
        yield JudgingSummary()
        yield FittedLine(id="judge-keys")

    def on_mount(self) -> None:
        self._go_on(0)

    @property
    def pair(self) -> Pair | None:
        """What is to be judged now."""
        return self._pairs[self._at] if self._at is not None else None

    # --- judging ---

    def action_judge(self, what: Literal["left", "right", "tie", "bad", "skip"]) -> None:
        """Keep a judgement of the pair that is shown, and show the next."""
        if self.pair is None or self._at is None:
            self.app.bell()
            return
        self._is_written = False
        try:
            self._book.judge(self.pair, self._verdict(self.pair, what))
        except FinetuiError as error:
            self._tell_error(error)
        else:
            self._go_on(self._at + 1)

    def _verdict(self, pair: Pair, what: Literal["left", "right", "tie", "bad", "skip"]) -> Verdict:
        if what in ("tie", "bad", "skip"):
            return what
        return "first" if (what == "left") != swapped(pair.number, self._judging.seed) else "second"

    def action_undo(self) -> None:
        """Take the last judgement back, and show its pair again."""
        self._is_written = False
        try:
            number = self._book.undo()
        except FinetuiError as error:
            self._tell_error(error)
            return
        at = next((at for at, pair in enumerate(self._pairs) if pair.number == number), None)
        if at is None:
            self.app.bell()
        else:
            self._show(at)

    def _go_on(self, start: int) -> None:
        """Show the next pair that is not judged; those before come after the last."""
        order = (*range(start, len(self._pairs)), *range(start))
        self._show(next((at for at in order if self._pairs[at].number not in self._book.latest), None))

    @work(exclusive=True)
    async def action_leave(self) -> None:
        """Write the data set and go, also where it cannot be written: judgements are kept already."""
        rows: int | None
        try:
            rows = await asyncio.to_thread(write_preferences, self._judging, self._book.latest)
            self._is_written = True
        except FinetuiError as error:
            self._tell_error(error)
            rows = None
        self.dismiss(rows)

    def on_unmount(self) -> None:
        """Other ways out, to another screen or out of the app, write it too; who cannot be told any more is not."""
        if not self._is_written:
            with contextlib.suppress(FinetuiError):
                write_preferences(self._judging, self._book.latest)

    def _tell_error(self, error: FinetuiError) -> None:
        """A full disk ends no judging; what is on it stays."""
        self.notify(inert(error.hint), title=inert(error.message), severity="error", markup=False)

    # --- showing ---

    def _show(self, at: int | None) -> None:
        self._at = at
        pair = self.pair
        self.set_class(pair is None, "-done")
        if pair is None:
            found = summary(self._pairs, self._book.latest, self._judging.options.min_margin)
            lines = list(summary_lines(found, read_drawing(self._judging)))
            self.query_one(JudgingSummary).show(lines)
        else:
            left, right = pair.on_sides(self._judging.seed)
            self.query_one(JudgedPrompt).show(pair.messages)
            self.query_one("#judge-left", JudgedAnswer).show(left)
            self.query_one("#judge-right", JudgedAnswer).show(right)
        self._tell()

    def _tell(self) -> None:
        judged = sum(pair.number in self._book.latest for pair in self._pairs)
        counts = _("{judged} of {pairs} judged").format(judged=f"{judged:,}", pairs=f"{len(self._pairs):,}")
        if self.pair is not None:
            place = _("prompt {number}").format(number=f"{self.pair.number + 1:,}")
            counts = f"{counts} · {place}"
        head = Content.assemble((inert_line(self._judging.name), "bold"), "  ", (counts, "$muted"))
        self.query_one("#judge-head", FittedLine).drawn = lambda _width: head
        keys = [_("← → the better one"), _("= both good"), _("0 neither"), _("s skip"), _("u undo"), _("q end")]
        if self.pair is None:
            keys = [plural("{count} pair judged", "{count} pairs judged", judged), _("u undo"), _("q end")]
        line = Content("  ").join(map(Content, keys))
        self.query_one("#judge-keys", FittedLine).drawn = lambda _width: line

    # --- scrolling ---

    def action_scroll_answers(self, rows: int) -> None:
        """Both answers together."""
        for pane in self.query(JudgedAnswer):
            pane.action_scroll_by(rows)

    def action_page_answers(self, pages: int) -> None:
        for pane in self.query(JudgedAnswer):
            pane.action_scroll_page(pages)
