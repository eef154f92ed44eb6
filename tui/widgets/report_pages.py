"""The pages of a report that show groups: which groups, and what is said over them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from core.i18n import _, plural
from core.metrics.classes import confusion
from core.report.groups import ErrorKind, Group, are_classes, grouped_by_kind, grouped_by_label, kind_text
from core.report.measured import pair_of
from core.report.rows import EXACT, OpenReport
from tui.widgets.content_layout import wrapped
from tui.widgets.report_groups import Fill, confusion_lines, group_lines

_MEANS = (EXACT, "margin", "bleu-4", "rouge-l", "token_f1", "edit_similarity", "list_f1")
"""The metrics whose means a group shows, as far as they are there and fit."""


def page_fill(page: str, opened: OpenReport) -> Fill:
    """What a page shows: `classes`, `kinds` or `confusion`. Groups are made once, lines for each width."""
    if page == "confusion":
        return _confusion(opened)
    if page == "kinds":
        groups = grouped_by_kind(opened)
        return _grouped(opened, [(kind_text(_kind(group)), group) for group in groups], _("Answers by what is wrong"))
    if not are_classes(opened):
        told = _("The references hardly repeat here: there are no classes. 3 shows the answers by what is wrong.")
        return _nothing(told)
    groups = grouped_by_label(opened)
    title = plural("{count} class of references", "{count} classes of references", len(groups))
    return _grouped(opened, [(group.name, group) for group in groups], title)


def _kind(group: Group) -> ErrorKind:
    return group.name  # type: ignore[return-value]  # groups by kind are named after theirs


def _nothing(why: str) -> Fill:
    return lambda width: (Content("\n").join(wrapped(Content.styled(why, "$muted"), width)), [], [])


def _grouped(opened: OpenReport, groups: Sequence[tuple[str, Group]], title: str) -> Fill:
    means = [name for name in _MEANS if name in opened.scores]
    filters = [group.filter for _name, group in groups]

    def fill(width: int) -> tuple[Content, Sequence[Content], Sequence[str]]:
        heads, lines = group_lines(groups, means, width)
        said = Content.assemble((title, "bold"), "  ", (_("enter shows the rows of one"), "$muted"))
        return Content("\n").join([said, Content(""), heads]), lines, filters

    return fill


def _confusion(opened: OpenReport) -> Fill:
    answered = (row for row in opened.predictions if not row.error)
    of_pairs = any(row.compares for row in opened.predictions)
    told = None if of_pairs else opened.report.confusion or confusion([pair_of(row) for row in answered])
    if told is None:
        return _nothing(_("The answers are no classes here: there is no confusion table."))
    return lambda width: confusion_lines(told, width)
