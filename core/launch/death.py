"""Why a process ended that did not say why, in the words of somebody who has to do something about it."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path

from core.i18n import _

_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


def story_of(code: int, out_of_memory: bool = False, kind: str = "train") -> tuple[str, str]:
    """(what happened, what to do) for an exit code as `subprocess` has it: negative for a signal."""
    smaller = _("take a smaller per_device_train_batch_size or cutoff_len, or gradient_checkpointing true")
    again = _("go on from its last checkpoint: finetui runs resume")
    if kind == "evaluation":
        smaller = _("take a smaller per_device_eval_batch_size, and go on: finetui eval --resume --output_dir NAME")
        again = _("go on where it was: finetui runs resume")
    if out_of_memory:
        return _("killed because the memory was full"), smaller
    match -code:
        case signal.SIGKILL:
            return _("killed by signal 9: most likely out of memory"), smaller
        case signal.SIGTERM:
            return _("ended by signal 15 from outside"), again
        case signal.SIGSEGV | signal.SIGABRT | signal.SIGBUS | signal.SIGILL | signal.SIGFPE:
            told = _("crashed with signal {number} ({name})").format(number=-code, name=signal.Signals(-code).name)
            return told, _("a library failed, not the options: output.log has its words, finetui doctor the versions")
        case number if number > 0:
            return _("ended by signal {number}").format(number=number), ""
    return _("ended with exit code {code} and no word of why").format(code=code), _("output.log may say more")


def out_of_memory_kills() -> int:
    """How many processes the system has killed for memory where a limit holds us; 0 where it does not say."""
    with contextlib.suppress(OSError):
        found = re.search(r"^oom_kill (\d+)", _CGROUP_EVENTS.read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0
