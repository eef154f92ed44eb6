"""The pages of a report that show groups: which groups, and what is said over them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from core.i18n import _, plural
from core.report.groups import ErrorKind, Group, are_classes, grouped_by_kind, grouped_by_label, kind_text
from core.report.rows import EXACT, OpenReport
from tui.widgets.report_groups import GroupsPane, confusion_lines, group_lines

_MEANS = (EXACT, "bleu-4", "rouge-l", "token_f1", "edit_similarity", "list_f1")
"""The metrics whose means a group shows, as far as they are there and fit."""


def show_groups(pane: GroupsPane, page: str, opened: OpenReport) -> None:
    """Fill a page: `classes`, `kinds` or `confusion`."""
    if page == "confusion":
        _show_confusion(pane, opened)
    elif page == "kinds":
        groups = grouped_by_kind(opened)
        _show(pane, opened, [(kind_text(_kind(group)), group) for group in groups], _("Answers by what is wrong"))
    elif not are_classes(opened):
        told = _("The references hardly repeat here: there are no classes. 3 shows the answers by what is wrong.")
        pane.show(Content.styled(told, "$muted"), [], [])
    else:
        groups = grouped_by_label(opened)
        title = plural("{count} class of references", "{count} classes of references", len(groups))
        _show(pane, opened, [(group.name, group) for group in groups], title)


def _kind(group: Group) -> ErrorKind:
    return group.name  # type: ignore[return-value]  # groups by kind are named after theirs


def _show(pane: GroupsPane, opened: OpenReport, groups: Sequence[tuple[str, Group]], title: str) -> None:
    means = [name for name in _MEANS if name in opened.scores]
    heads, lines = group_lines(groups, means, pane.width)
    said = Content.assemble((title, "bold"), "  ", (_("enter shows the rows of one"), "$muted"))
    pane.show(Content("\n").join([said, Content(""), heads]), lines, [group.filter for _name, group in groups])


def _show_confusion(pane: GroupsPane, opened: OpenReport) -> None:
    confusion = opened.report.confusion
    if confusion is None:
        told = _("The answers are no classes here, or are not scored yet: there is no confusion table.")
        pane.show(Content.styled(told, "$muted"), [], [])
        return
    head, lines, filters = confusion_lines(confusion, pane.width)
    pane.show(head, lines, filters)
