"""The list of data sets, with its title and the headings of its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _
from core.untrusted import inert_line
from tui.widgets.set_rows import DataSet, heading, set_content


class SetOptions(OptionList):
    """The lines of the list. Entering a set is done at once: what is typed behind enter is meant for its rows."""

    def __init__(self, enter: Callable[[], None]) -> None:
        super().__init__(markup=False)
        self._enter = enter

    def action_select(self) -> None:
        if self.highlighted is not None:
            self._enter()


class SetList(Vertical):
    """Lists data sets; its `OptionList` tells which is highlighted.

    Args:
        folder: where they are.
        enter: called when one is chosen.
    """

    DEFAULT_CSS = """
    SetList .title, SetList .heading { height: 1; padding: 0 1; }
    """

    def __init__(self, folder: str, enter: Callable[[], None]) -> None:
        super().__init__()
        self._folder = folder
        self._enter = enter
        self._sets: list[DataSet] = []
        self._width = 10

    def compose(self) -> ComposeResult:
        yield Static(Content(_("Data sets")), classes="title")
        yield Static(Content(""), classes="heading")
        yield SetOptions(self._enter)

    @property
    def options(self) -> OptionList:
        return self.query_one(OptionList)

    @property
    def current(self) -> DataSet | None:
        """The highlighted one."""
        index = self.options.highlighted
        return self._sets[index] if index is not None and index < len(self._sets) else None

    def show(self, sets: Sequence[DataSet], name: str, width: int) -> None:
        """List sets in lines of a width, the named one highlighted, else the one that was."""
        name = name or (self.current.name if self.current else "")
        self._sets, self._width = list(sets), width
        names = [each.name for each in sets]
        self.options.clear_options()
        self.options.add_options(Option(set_content(each, width)) for each in sets)
        self.options.highlighted = names.index(name) if name in names else (0 if names else None)
        title = Content.assemble((_("Data sets"), "bold"), (f"  {len(names)} · {inert_line(self._folder)}", "$muted"))
        self.query_one(".title", Static).update(title.truncate(max(1, width + 1), ellipsis=True))
        self.query_one(".heading", Static).update(heading(width))

    def renew(self, data_set: DataSet) -> None:
        """One of them is known better now."""
        index = next((at for at, each in enumerate(self._sets) if each.name == data_set.name), None)
        if index is not None:
            self._sets[index] = data_set
            self.options.replace_option_prompt_at_index(index, set_content(data_set, self._width))
