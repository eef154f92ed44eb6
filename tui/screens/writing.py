"""Writing a file that a person named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.screen import Screen

from core.i18n import _
from core.untrusted import inert_line
from tui.widgets.dialogs import Confirm


def write_file(screen: Screen[Any], path: Path, text: str) -> None:
    """Write a file, after a question where there is one already, and tell how that went."""

    def write(confirmed: bool | None) -> None:
        if not confirmed:
            return
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            told = _("cannot write {path}").format(path=inert_line(str(path)))
            screen.notify(error.strerror or "", title=told, severity="error", markup=False)
            return
        screen.notify(_("Written: {path}").format(path=inert_line(str(path))), markup=False)

    if path.exists():
        screen.app.push_screen(Confirm(_("Write over {path}?").format(path=inert_line(str(path)))), write)
    else:
        write(True)
