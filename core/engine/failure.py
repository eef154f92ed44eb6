"""How a run tells that it failed: the last event, from whatever was raised.

Mistakes of the user have their own words. What the machine lacks, memory or room on a disk, is told with what can be
done about it; anything else is a defect, and the log has its trace.
"""

from __future__ import annotations

import sys
import time
import traceback

from core.engine.diary import Diary
from core.engine.shortage import is_disk_full, is_out_of_memory
from core.errors import FinetuiError
from core.i18n import _
from core.runs.events import RunFailed

_LOG_TAIL = 4096


def tell_failure(error: Exception, diary: Diary, *, less_memory: str, kept: str) -> None:
    """Write the last word, and what happened into the log; called where the error is caught.

    Args:
        less_memory: what to do when memory was short at work.
        kept: what is not lost when the disk is full.
    """
    if isinstance(error, FinetuiError):
        print(f"{error.message}\n{error.hint}", file=sys.stderr, flush=True)
        failed = RunFailed(time.time(), error.message, error.hint)
    else:
        told = traceback.format_exc()
        print(told, file=sys.stderr, flush=True)
        message, hint = _story(error, diary, less_memory, kept)
        failed = RunFailed(time.time(), message, hint, told[-_LOG_TAIL:])
    diary.tell(failed, durable=True)


def _story(error: Exception, diary: Diary, less_memory: str, kept: str) -> tuple[str, str]:
    """What went wrong, and what to do about it."""
    if is_out_of_memory(error):
        too_large = _("the model alone is too large here: take quantization_bit 4, pure_bf16, or a smaller model")
        first = str(error).splitlines()[0] if str(error) else "MemoryError"
        hint = too_large if diary.busy_with == "loading" else less_memory
        return _("out of memory: {error}").format(error=first), hint
    if is_disk_full(error):
        return _("the disk is full: {error}").format(error=error), kept
    if "Connection closed by peer" in str(error):  # gloo, where another process is gone
        return _("another process of this run has ended"), _("the log has its trace")
    return f"{type(error).__name__}: {error}", _("this is a defect of finetui; the log has its trace")
