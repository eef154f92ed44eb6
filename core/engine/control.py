"""What others want of a running training or evaluation: wishes in `control/`, and signals.

The first SIGTERM (or Ctrl-C) means: end after this step of the work, and keep what is done. A step that takes long asks
within itself, and is abandoned where nothing of it stays. Before the first step there is nothing to keep, so it ends at
once; a second one, a while later, ends at once in any case. The same signal often comes twice, from the terminal and
from torchrun.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from types import FrameType

from core.runs.rundir import RunDirectory

_SAME_SIGNAL_SECONDS = 2.0
_LOOK_SECONDS = 0.2
"""Between two looks at the disk within a step."""


class StoppedEarly(BaseException):
    """A stop before the first step; no `Exception`, for nobody in between may take it for a mistake."""

    step = 0
    """Where the run stands: at its checkpoint's, if it was to go on from one."""


class StepAbandoned(BaseException):
    """A stop within a step, of which nothing is left; all processes agree on it."""


def never() -> bool:
    """Where no stop is looked for."""
    return False


@dataclass(frozen=True)
class Wanted:
    """What is asked for after a step."""

    stop: bool = False
    save: bool = False
    evaluate: bool = False


class Control:
    """Looks for wishes."""

    def __init__(self, run: RunDirectory, *, reads_wishes: bool = True) -> None:
        self._run = run
        self._reads_wishes = reads_wishes  # the first process; the others are told
        self._owner = os.getpid()
        self._is_working = False
        self._signalled, self._signalled_at = False, 0.0
        self._stops, self._looked_at = False, 0.0

    def listen(self) -> None:
        """Take over the signals that ask for an end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled and now - self._signalled_at < _SAME_SIGNAL_SECONDS:
            return
        if os.getpid() != self._owner or self._signalled:  # a forked helper inherits the handler, not the task
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._signalled, self._signalled_at = True, now
        if not self._is_working:
            raise StoppedEarly

    def working(self) -> None:
        """From here a stop waits for the end of a step.

        Raises:
            StoppedEarly: a stop is wanted already.
        """
        self._is_working = True
        if self.look().stop:
            raise StoppedEarly

    def look(self) -> Wanted:
        """What is wanted now, as far as this process knows."""
        wishes = set(self._run.wishes()) if self._reads_wishes else set()
        return Wanted(self._signalled or "stop" in wishes, "save" in wishes, "evaluate" in wishes)

    def wants_stop(self) -> bool:
        """Whether a stop is wanted, asked within a step as often as one likes; once it is, that stays.

        Every process looks for itself, so that none computes on for the others, which have been told.
        """
        now = time.monotonic()
        if not self._stops and now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._stops = "stop" in self._run.wishes()
        self._stops = self._stops or self._signalled
        return self._stops

    def granted(self, wanted: Wanted) -> None:
        """What was wanted is done."""
        if not self._reads_wishes:
            return
        if wanted.stop:
            self._run.granted("stop")
        if wanted.save:
            self._run.granted("save")
        if wanted.evaluate:
            self._run.granted("evaluate")
