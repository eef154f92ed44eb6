"""The answers of a report in groups: by class, by kind of error, and which class was answered for which.

Enter on a group shows its rows: what a group says is a filter that one could have typed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _
from core.metrics.metric import ClassScore, Confusion
from core.report.groups import Group, quoted
from core.untrusted import inert_line
from tui.widgets.content_layout import fitted
from tui.widgets.report_columns import value_text
from tui.widgets.report_numbers import face_of
from tui.widgets.set_pages import bar

_FIGURE, _SHORTEST_BAR = 7, 8
_SHORTEST_NAME = 24
_MOST_CLASSES = 300
_MATRIX = 12
"""So many classes at most are drawn as a table of counts."""
_CELL = 5


Fill: TypeAlias = Callable[[int], tuple[Content, Sequence[Content], Sequence[str]]]
"""For so many cells what stands over the lines, the lines, and the filter that each stands for."""


class GroupsPane(Vertical):
    """Groups under a line that says what they are."""

    DEFAULT_CSS = """
    GroupsPane Static { height: auto; padding: 0 1; margin: 1 0 0 0; }
    """

    class Chosen(Message):
        """The rows of a group are wanted."""

        def __init__(self, filter: str) -> None:
            super().__init__()
            self.filter = filter

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._fill: Fill | None = None
        self._filters: Sequence[str] = ()

    def compose(self) -> ComposeResult:
        yield Static(Content(""))
        yield OptionList(markup=False)

    def show(self, fill: Fill) -> None:
        """Show what a function makes for a width; again for another width."""
        self._fill = fill
        self._draw()

    def on_resize(self) -> None:
        """Lay the lines out anew; a pane has no width before it is seen."""
        self._draw()

    def _draw(self) -> None:
        if self._fill is None or not self.size.width:
            return
        title, lines, self._filters = self._fill(max(20, self.size.width - 4))
        self.query_one(Static).update(title)
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        listed.add_options(map(Option, lines))
        listed.highlighted = min(at, len(lines) - 1) if lines else None

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self._filters[event.option_index]))


def group_lines(
    groups: Sequence[tuple[str, Group]], metrics: Sequence[str], width: int
) -> tuple[Content, list[Content]]:
    """The heading over groups, and a line for each: name, rows, mean scores, and a bar of its share.

    Args:
        groups: each with what it is called.
        metrics: those whose means are wanted, as far as they fit.
    """
    heads = [_("rows"), _("share"), *(face_of(metric).title for metric in metrics)]
    while len(heads) > 2 and width - _SHORTEST_NAME - sum(_cells(head) + 1 for head in heads) < _SHORTEST_BAR:
        heads.pop()
    figures = sum(_cells(head) + 1 for head in heads)
    drawn = min(24, max(_SHORTEST_BAR, (width - figures) // 4))
    name = max(8, width - figures - drawn - 1)
    heading = " " * name + "".join(f" {_right(head, _cells(head))}" for head in heads)
    rows = sum(len(group) for _name, group in groups) or 1
    most = max((len(group) for _name, group in groups), default=1)
    lines = []
    for text, group in groups:
        scores = [value_text(group.means.get(metric), percent=face_of(metric).percent) for metric in metrics]
        cells = zip(heads, (f"{len(group):,}", f"{len(group) / rows:.1%}", *scores), strict=False)
        told = "".join(f" {_right(cell, _cells(head))}" for head, cell in cells)
        label = fitted(Content(inert_line(text) or _("(empty)")), name)
        lines.append(Content.assemble(label, (told, "$muted"), " ", (bar(len(group) / most, drawn), "$primary")))
    return Content.styled(heading, "$muted"), lines


def _cells(head: str) -> int:
    return max(_FIGURE, Content(head).cell_length)


def _right(text: str, cells: int) -> str:
    content = Content(text).truncate(cells, ellipsis=True)
    return " " * (cells - content.cell_length) + content.plain


# --- classes against classes -------------------------------------------------------------------------------------


def confusion_lines(confusion: Confusion, width: int) -> tuple[Content, list[Content], list[str]]:
    """What was answered for what: a heading, a line for each class, and the filter that each line stands for."""
    classes = confusion.classes[:_MOST_CLASSES]
    lines = [_class_line(each, confusion.counts.get(each.name, {}), width) for each in classes]
    name = _class_name_cells(width)
    heads = "".join(f" {_right(head, _cells(head))}" for head in _class_heads())
    title = fitted(Content(_("class")), name) + Content(heads + "  " + _("what was answered instead"))
    matrix = _matrix(confusion, width)
    heading = Content("\n").join([*matrix, title.truncate(max(1, width), ellipsis=True).stylize("$muted")])
    return heading, lines, [f"label={quoted(each.name)} wrong" for each in classes]


def _class_heads() -> tuple[str, ...]:
    return _("rows"), _("said"), _("precision"), _("recall"), "F1"


def _class_name_cells(width: int) -> int:
    return max(10, min(36, width // 4))


def _class_line(each: ClassScore, counts: Mapping[str, int], width: int) -> Content:
    percents = [f"{value:.1f}" for value in (each.precision, each.recall, each.f1)]
    cells = zip(_class_heads(), (f"{each.labels:,}", f"{each.predicted:,}", *percents), strict=True)
    figures = "".join(f" {_right(cell, _cells(head))}" for head, cell in cells)
    others = sorted(((name, n) for name, n in counts.items() if name != each.name), key=lambda pair: -pair[1])
    said = ", ".join(f"{inert_line(name) or _('no class')} ×{count}" for name, count in others)
    name = fitted(Content(inert_line(each.name) or _("(empty)")), _class_name_cells(width))
    line = Content.assemble(name, (figures, "$muted"), "  ", (said, "$text-error"))
    return line.truncate(max(1, width), ellipsis=True)


def _matrix(confusion: Confusion, width: int) -> list[Content]:
    """The table of counts, where there are few classes: a row for each reference, a column for each answer."""
    names = [each.name for each in confusion.classes]
    answers = [*names, ""] if any("" in row for row in confusion.counts.values()) and "" not in names else names
    label = min(20, width // 3)
    if not 2 <= len(names) <= _MATRIX or label + _CELL * len(answers) + 2 > width:
        return []
    letters = [chr(ord("A") + at) if name or at < len(names) else "–" for at, name in enumerate(answers)]
    lines = [Content.assemble(" " * (label + 3), ("".join(f"{letter:>{_CELL}}" for letter in letters), "$muted"))]
    for letter, name in zip(letters, names, strict=False):
        row = confusion.counts.get(name, {})
        cells = [_cell(row.get(answer, 0), right=answer == name) for answer in answers]
        head = fitted(Content(inert_line(name) or _("(empty)")), label)
        lines.append(Content.assemble((f"{letter} ", "$muted"), head, " ", *cells))
    return [*lines, Content("")]


def _cell(count: int, *, right: bool) -> tuple[str, str]:
    text = f"{count or '·':>{_CELL}}"
    return text, ("bold $text-success" if right else "$text-error") if count else "$muted"
