"""`finetui`: without a verb the app, with one a command.

Nothing is imported before it is known to be needed: the way to the app goes past typer, `--version` and `--help` go
past everything that a verb stands on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import FinetuiError, UsageError
from core.i18n import _
from tui.cli.console import make_safe_streams, print_error
from tui.cli.importing import without_collecting

_INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended
_PIPE_CLOSED = 1  # as typer has it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run finetui; returns the exit code: 0, 1 for what a verb calls a failure, 2 for an error told on stderr."""
    make_safe_streams()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except FinetuiError as error:
        print_error(error)
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left. The interpreter's own last flush must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED


def _run(words: list[str]) -> int:
    workspace = _take_workspace(words)
    if not words:
        with without_collecting():
            from tui.app import run  # textual, 150 ms: only the app needs it

        return run(workspace)
    if workspace is not None:  # verbs and the processes that they start look for it there
        os.environ["FINETUI_WORKSPACE"] = str(workspace)
    with without_collecting():
        from tui.cli.verbs import run_verb  # typer, 40 ms: the app does without

    return run_verb(words)


def _take_workspace(words: list[str]) -> Path | None:
    """Take `--workspace DIR` out of a command line; it may stand before or after the verb."""
    folder: str | None = None
    for index, word in enumerate(words):
        if word == "--workspace":
            if index + 1 == len(words):
                raise UsageError(_("--workspace: a folder is missing"), _("write --workspace DIR"))
            folder = words[index + 1]
            del words[index : index + 2]
            break
        if word.startswith("--workspace="):
            folder = word.partition("=")[2]
            del words[index]
            break
    return Path(folder) if folder is not None else None


if __name__ == "__main__":
    sys.exit(main())
