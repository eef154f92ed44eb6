"""Which curves or columns are shown: a list to mark in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _
from core.untrusted import inert_line
from tui.widgets.dialogs import Dialog


class MetricsDialog(Dialog[list[str] | None]):
    """Marks metrics with space; enter shows them. None marked means the first few there are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("space", "mark"),
        ("escape,m", "dismiss(None)"),
        ("a", "none"),
    ]

    def __init__(
        self,
        metrics: Sequence[str],
        marked: Sequence[str],
        *,
        title: str = _("Which curves?"),
        titles: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._question, self._titles = title, titles or {}
        self._metrics = list(metrics)
        self._marked = [name for name in marked if name in metrics]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._question), classes="dialog-title")
            yield OptionList(*(Option(self._row(name)) for name in self._metrics), markup=False)
            yield Static(Content(_("space marks · enter shows the marked · a all · esc leaves")), classes="dialog-keys")

    def _row(self, name: str) -> Content:
        mark = ("[x] ", "bold $text-success") if name in self._marked else "[ ] "
        return Content.assemble(mark, inert_line(self._titles.get(name, name)))

    def action_mark(self) -> None:
        listed = self.query_one(OptionList)
        if listed.highlighted is None:
            return
        name = self._metrics[listed.highlighted]
        if name in self._marked:
            self._marked.remove(name)
        else:
            self._marked.append(name)
        listed.replace_option_prompt_at_index(listed.highlighted, self._row(name))

    def action_none(self) -> None:
        self.dismiss([])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._marked or [self._metrics[event.option_index]])
