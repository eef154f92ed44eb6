"""F9: exactly what the model gets: the rendered prompt, its tokens and their ids."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.i18n import _
from core.serve.protocol import Rendered
from core.untrusted import inert, inert_line
from tui.widgets.column import dropped_text
from tui.widgets.dialogs import Dialog
from tui.widgets.token_view import TokenView


class PromptScreen(Dialog[None]):
    """Shows a rendered prompt as text, as tokens, or as ids."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,f9,q", "dismiss(None)"),
        ("t,tab", "next_view"),
    ]
    _VIEWS: ClassVar[tuple[str, ...]] = ("tokens", "text", "ids")

    def __init__(self, rendered: Rendered, name: str = "") -> None:
        super().__init__()
        self.rendered = rendered
        self._name_shown = name
        self.view = "tokens" if rendered.tokens else "text"

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box prompt-box"):
            yield Static(self._title(), classes="dialog-title")
            with VerticalScroll():
                yield TokenView()
            yield Static(Content(self._keys()), classes="dialog-keys")

    def _keys(self) -> str:
        if not self.rendered.tokens:
            return _("esc back")
        return _("t tokens, text, ids · esc back · underlined: training puts loss here")

    def on_mount(self) -> None:
        self._show()
        self.query_one(VerticalScroll).focus()

    def _title(self) -> Content:
        count = _("{n} tokens").format(n=len(self.rendered.tokens)) if self.rendered.tokens else ""
        template = _("template: {name}").format(name=inert_line(self.rendered.template))
        facts = " · ".join(filter(None, (inert_line(self._name_shown), count, template)))
        lines = [Content.assemble((_("The exact prompt"), "bold"), "  ", (facts, "$muted"))]
        if self.rendered.injected_system:
            text = _("The template adds a system prompt of its own: {text}").format(
                text=inert_line(self.rendered.injected_system)
            )
            lines.append(Content.assemble((text, "$text-warning")))
        if self.rendered.dropped:
            lines.append(Content.assemble((dropped_text(len(self.rendered.dropped)), "$text-warning")))
        lines += [Content.assemble((inert_line(warning), "$text-warning")) for warning in self.rendered.warnings]
        return Content("\n").join(lines)

    def _show(self) -> None:
        view = self.query_one(TokenView)
        match self.view:
            case "tokens":
                view.show(self.rendered.tokens)
            case "text":
                view.update(Content(inert(self.rendered.text)))
            case _ids:
                view.update(Content(" ".join(str(token.id) for token in self.rendered.tokens)))

    def action_next_view(self) -> None:
        if not self.rendered.tokens:
            return
        self.view = self._VIEWS[(self._VIEWS.index(self.view) + 1) % len(self._VIEWS)]
        self._show()
