"""`finetui init`: a workspace of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.i18n import _
from core.untrusted import inert_line
from core.workspace import init_workspace


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=_("Its folder; made where there is none."))],
) -> None:
    """Make a workspace: data/, sessions/, runs/ and models/. What is there already stays as it is."""
    workspace, made = init_workspace(folder)
    for path in made:
        print(_("made {path}").format(path=inert_line(str(path))))
    if not made:
        print(_("{path} is a workspace already; nothing was changed").format(path=inert_line(str(workspace.root))))
        return
    print(_("next: cd {path} && finetui").format(path=inert_line(str(folder))))
