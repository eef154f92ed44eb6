"""A long form: options in groups, those that are seldom said folded away, those that mean nothing now hidden.

Rows that are folded are not there at all until they are wanted; eighty rows at once would cost a third of a second.
A row that says something else than its default, or that is wrong, is never folded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from core.config.fields import FieldSpec
from core.errors import Problem
from core.i18n import _, plural
from tui.forms import OptionForm, OptionRow


class FoldLine(Static, can_focus=True):
    """Says how many rows are folded away; enter or space shows them."""

    BINDINGS: ClassVar[list[BindingType]] = [("enter,space", "fold")]
    DEFAULT_CSS = """
    FoldLine { height: 1; padding: 0 1; color: $text-muted; }
    FoldLine:focus { background: $primary 25%; color: $text; }
    """

    class Toggled(Message):
        """The user wants them shown, or folded."""

        def __init__(self, section: str) -> None:
            super().__init__()
            self.section = section

    def __init__(self, section: str) -> None:
        super().__init__()
        self.section = section
        self._told: tuple[int, bool] | None = None

    def tell(self, count: int, *, unfolded: bool) -> None:
        """Say how many there are."""
        if self._told == (count, unfolded):
            return
        self._told = count, unfolded
        self.display = count > 0 or unfolded
        more = plural("▸ {count} more", "▸ {count} more", count)
        self.update(Content(_("▾ fewer") if unfolded else more))

    def action_fold(self) -> None:
        self.post_message(self.Toggled(self.section))

    def on_click(self) -> None:
        self.action_fold()


class Group(Vertical):
    """The options of a section."""

    DEFAULT_CSS = """
    Group { height: auto; margin: 0 0 1 0; }
    Group .group-title { height: 1; padding: 0 1; color: $text-primary; text-style: bold; }
    """

    def __init__(self, section: str) -> None:
        super().__init__()
        self.section = section
        # Made at once: the form lays its rows out between them before they are composed.
        self.title_line = Static(Content(section), classes="group-title")
        self.fold_line = FoldLine(section)

    def compose(self) -> ComposeResult:
        yield self.title_line
        yield self.fold_line


class GroupedForm(OptionForm):
    """Rows of options in groups.

    Args:
        specs: the options, those of a section together.
        values: their texts by name.
        basic: the options that are never folded.
        relevant: whether an option means something beside the texts of the others.
        suggested: by option, what its value is likely to be.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("up", "go(-1)"), ("down", "go(1)")]
    DEFAULT_CSS = """
    GroupedForm OptionRow { layout: grid; grid-size: 2; grid-columns: 30 1fr; grid-rows: auto; padding: 0 1; }
    GroupedForm OptionRow .option-name { width: 100%; }
    GroupedForm OptionRow .option-note { column-span: 2; padding: 0 0 0 2; }
    GroupedForm OptionRow.-current .option-name { color: $text; text-style: bold; }
    """

    class Asked(Message):
        """The user wants a list of what this row can be."""

        def __init__(self, row: OptionRow) -> None:
            super().__init__()
            self.row = row

    def __init__(
        self,
        specs: Sequence[FieldSpec],
        values: Mapping[str, str],
        *,
        basic: Collection[str],
        relevant: Callable[[str, Mapping[str, str]], bool],
        suggested: Mapping[str, Sequence[str]],
    ) -> None:
        super().__init__(specs, values)
        self._basic = basic
        self._relevant = relevant
        self._suggested = suggested
        self._unfolded: set[str] = set()
        self._problems: tuple[Problem, ...] = ()
        self._laid_out: object = None
        """What decided which rows there are."""

    def compose(self) -> ComposeResult:
        for section in dict.fromkeys(spec.section for spec in self._specs):
            yield Group(section)

    def on_mount(self) -> None:
        self._lay_out()

    @property
    def values(self) -> dict[str, str]:
        """The text of every option."""
        return dict(self._values)

    def _wanted(self, spec: FieldSpec) -> bool:
        if not self._relevant(spec.name, self._values):
            return False
        says = self._values.get(spec.name, "").strip() not in ("", spec.shown_default)
        wrong = any(problem.where == spec.name for problem in self._problems)
        return spec.name in self._basic or says or wrong or spec.section in self._unfolded

    def _lay_out(self) -> None:
        """Make the rows that are wanted now; those that were made stay, hidden when they are not."""
        wanted_now = frozenset(spec.name for spec in self._specs if self._wanted(spec))
        held = next((row.spec.name for row in self.query(OptionRow) if row.has_focus_within), "")
        now = wanted_now, frozenset(self._unfolded), "" if held in wanted_now else held
        if now == self._laid_out:
            return
        self._laid_out = now
        for group in self.query(Group):
            rows = {row.spec.name: row for row in group.query(OptionRow)}
            before: OptionRow | Static = group.title_line
            folded = 0
            for spec in (spec for spec in self._specs if spec.section == group.section):
                row = rows.get(spec.name)
                wanted = spec.name in wanted_now
                folded += not wanted and self._relevant(spec.name, self._values)
                if row is None and wanted:
                    words, nothing = self._suggested.get(spec.name, ()), _("not given")
                    # "none" would be wrong of metrics, of which an empty list means all that fit
                    row = OptionRow(spec, self._values.get(spec.name, ""), words, unset=nothing, empty=nothing)
                    group.mount(row, after=before)
                if row is not None:
                    # One that the keyboard is in does not vanish while its text is being changed.
                    row.display = wanted or row.has_focus_within
                    before = row
            group.fold_line.tell(folded, unfolded=group.section in self._unfolded)
            shown = any(row.display for row in group.query(OptionRow))
            group.display = shown or folded > 0  # a stage may have nothing to say to a whole group

    @on(Input.Changed)
    def _texts_changed(self) -> None:
        self.call_after_refresh(self._lay_out)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        row = event.input.parent
        if isinstance(row, OptionRow) and row.words:
            self.post_message(self.Asked(row))
        else:
            self.screen.focus_next()

    def action_go(self, way: int) -> None:
        if way > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    @on(FoldLine.Toggled)
    def _toggled(self, event: FoldLine.Toggled) -> None:
        self._unfolded ^= {event.section}
        self._lay_out()

    def unfold(self) -> None:
        """Show all rows, or fold again."""
        sections = {spec.section for spec in self._specs}
        self._unfolded = set() if self._unfolded == sections else sections
        self._lay_out()

    def tell(self, values: Mapping[str, str]) -> None:
        """Show other texts, without saying `Edited`."""
        self._values = dict(values)
        self._lay_out()
        super().tell(values)

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """Put each problem at its row, which is unfolded for that."""
        self._problems = tuple(problems)
        self._lay_out()
        super().show_problems(problems)

    def suggest(self, words: Mapping[str, Sequence[str]]) -> None:
        """Offer other words for some options."""
        self._suggested = {**self._suggested, **words}
        for row in self.query(OptionRow):
            if row.spec.name in words:
                row.suggest(words[row.spec.name])

    @property
    def names(self) -> list[str]:
        """Of the options that mean something now."""
        return [spec.name for spec in self._specs if self._relevant(spec.name, self._values)]

    def reveal(self, name: str) -> None:
        """Put the keyboard into a row, unfolded if it has to be."""
        section = next(spec.section for spec in self._specs if spec.name == name)
        if not any(row.spec.name == name and row.display for row in self.query(OptionRow)):
            self._unfolded.add(section)
            self._lay_out()
        self.call_after_refresh(self.go_to, name)

    def go_to(self, name: str) -> bool:
        """Put the keyboard into a row."""
        for row in self.query(OptionRow):
            if row.spec.name == name:
                row.input.focus()
                return True
        return False

    @on(events.DescendantBlur)
    def _left_row(self) -> None:
        self.call_after_refresh(self._lay_out)
