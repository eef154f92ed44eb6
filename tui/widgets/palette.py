"""The styles that texts are drawn in, taken once from a widget's CSS.

Renderers get resolved Rich styles and know nothing of themes: a widget names them in its `COMPONENT_CLASSES`, the
app's theme (dark, light, 16 colours) fills them in, and NO_COLOR is a filter that Textual lays over everything.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from rich.style import Style
from textual.widget import Widget


@dataclass(frozen=True)
class Palette:
    """One style per meaning; the component class of each is `text--` and its name."""

    body: Style
    muted: Style
    heading: Style
    subheading: Style
    inline_code: Style
    code: Style
    code_label: Style
    link: Style
    marker: Style
    quote: Style
    rule: Style
    thinking: Style
    error: Style
    by_user: Style
    by_assistant: Style
    by_system: Style
    by_note: Style
    by_error: Style
    bar: Style
    cursor_bar: Style
    keyword: Style
    string: Style
    number: Style
    comment: Style
    function: Style
    kind: Style

    CLASSES: ClassVar[set[str]]

    @classmethod
    def of(cls, widget: Widget) -> Palette:
        """The styles as the widget's stylesheet has them now."""
        return cls(**{name: widget.get_component_rich_style(_css_class(name)) for name in _NAMES})


def _css_class(name: str) -> str:
    return "text--" + name.replace("_", "-")


_NAMES = [field.name for field in fields(Palette)]
Palette.CLASSES = {_css_class(name) for name in _NAMES}

PALETTE_CSS = """
& .text--muted { color: $text-muted; }
& .text--heading { color: $text-primary; text-style: bold; }
& .text--subheading { text-style: bold; }
& .text--inline-code { color: $text-accent; background: $foreground 7%; }
& .text--code { background: $foreground 7%; }
& .text--code-label { color: $text-muted; background: $foreground 7%; }
& .text--link { color: $text-primary; text-style: underline; }
& .text--marker { color: $text-primary; }
& .text--quote { color: $text-muted; text-style: italic; }
& .text--rule { color: $foreground 30%; }
& .text--thinking { color: $text-muted; text-style: italic; }
& .text--error { color: $text-error; }
& .text--by-user { color: $text-primary; text-style: bold; }
& .text--by-assistant { color: $text-accent; text-style: bold; }
& .text--by-system { color: $text-muted; text-style: bold; }
& .text--by-note { color: $text-muted; }
& .text--by-error { color: $text-error; text-style: bold; }
& .text--bar { color: $foreground 20%; }
& .text--cursor-bar { color: $text-warning; text-style: bold; }
& .text--keyword { color: $text-accent; background: $foreground 7%; }
& .text--string { color: $text-success; background: $foreground 7%; }
& .text--number { color: $text-warning; background: $foreground 7%; }
& .text--comment { color: $text-muted; background: $foreground 7%; text-style: italic; }
& .text--function { color: $text-primary; background: $foreground 7%; }
& .text--kind { color: $text-secondary; background: $foreground 7%; }
&:ansi .text--muted, &:ansi .text--rule, &:ansi .text--bar, &:ansi .text--code-label { text-style: dim; }
"""
