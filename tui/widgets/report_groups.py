"""The answers of a report in groups: by class, by kind of error, and which class was answered for which.

Enter on a group shows its rows: what a group says is a filter that one could have typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

_FIGURE = 8
_SHORTEST_NAME = 24
_MOST_CLASSES = 300
_MATRIX = 12
"""So many classes at most are drawn as a table of counts."""
_CELL = 5


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
        self._filters: Sequence[str] = ()

    def compose(self) -> ComposeResult:
        yield Static(Content(""))
        yield OptionList(markup=False)

    @property
    def width(self) -> int:
        """Cells of a line; a pane has none before it is seen."""
        return max(20, self.size.width - 4)

    def show(self, title: Content, lines: Sequence[Content], filters: Sequence[str]) -> None:
        """Show lines, and keep the filter that each stands for."""
        self.query_one(Static).update(title)
        self._filters = filters
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
    shown = list(metrics)
    while shown and width - _SHORTEST_NAME - (_FIGURE + 1) * (len(shown) + 2) < 12:
        shown.pop()
    figures = (_FIGURE + 1) * (len(shown) + 2)
    drawn = min(24, max(8, (width - figures) // 4))
    name = max(8, width - figures - drawn - 1)
    heads = [_("rows"), _("share"), *(face_of(metric).title for metric in shown)]
    heading = Content("").join([fitted(Content(""), name), *(Content(f" {_right(head)}") for head in heads)])
    rows = sum(len(group) for _name, group in groups) or 1
    most = max((len(group) for _name, group in groups), default=1)
    lines = []
    for text, group in groups:
        scores = [value_text(group.means.get(metric), percent=face_of(metric).percent) for metric in shown]
        cells = [f"{len(group):,}", f"{len(group) / rows:.1%}", *scores]
        told = "".join(f" {_right(cell)}" for cell in cells)
        label = fitted(Content(inert_line(text) or _("(empty)")), name)
        lines.append(Content.assemble(label, (told, "$muted"), " ", (bar(len(group) / most, drawn), "$primary")))
    return heading.stylize("$muted"), lines


def _right(text: str) -> str:
    content = Content(text).truncate(_FIGURE, ellipsis=True)
    return " " * (_FIGURE - content.cell_length) + content.plain


# --- classes against classes -------------------------------------------------------------------------------------


def confusion_lines(confusion: Confusion, width: int) -> tuple[Content, list[Content], list[str]]:
    """What was answered for what: a heading, a line for each class, and the filter that each line stands for."""
    classes = confusion.classes[:_MOST_CLASSES]
    lines = [_class_line(each, confusion.counts.get(each.name, {}), width) for each in classes]
    name = _class_name_cells(width)
    heads = "".join(f" {_right(head)}" for head in (_("rows"), _("said"), _("precision"), _("recall"), "F1"))
    title = fitted(Content(_("class")), name) + Content(heads + "  " + _("what was answered instead"))
    matrix = _matrix(confusion, width)
    heading = Content("\n").join([*matrix, title.truncate(max(1, width), ellipsis=True).stylize("$muted")])
    return heading, lines, [f"label={quoted(each.name)} wrong" for each in classes]


def _class_name_cells(width: int) -> int:
    return max(10, min(36, width // 4))


def _class_line(each: ClassScore, counts: Mapping[str, int], width: int) -> Content:
    percents = [f"{value:.1f}" for value in (each.precision, each.recall, each.f1)]
    figures = "".join(f" {_right(cell)}" for cell in (f"{each.labels:,}", f"{each.predicted:,}", *percents))
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
