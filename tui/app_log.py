"""The app's own log: what went wrong in us, for a report; `app.log` beside the workers' logs."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path

from core.errors import WorkspaceError
from core.workspace import Workspace

_LARGEST = 1 << 20


def log_defect(workspace: Workspace, error: BaseException) -> Path | None:
    """Append the traceback of a defect; the log's path, or None where nothing can be written."""
    path = workspace.logs / "app.log"
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{''.join(traceback.format_exception(error))}\n"
    try:
        workspace.make_state_folder()
        if path.exists() and path.stat().st_size > _LARGEST:
            path.unlink()
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode(errors="backslashreplace"))
    except (OSError, WorkspaceError):  # the disk may be what went wrong
        return None
    return path
