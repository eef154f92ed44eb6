"""How far a pull has come, as screens and commands show it, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.errors import PullFailed
from core.i18n import _

Stage: TypeAlias = Literal["downloading", "checking", "converting", "done"]


@dataclass(frozen=True, slots=True)
class PullProgress:
    """A step of a pull; `total_bytes` is 0 while it is not known."""

    stage: Stage
    done_bytes: int
    total_bytes: int
    text: str
    """What is being done, for a person."""

    @property
    def fraction(self) -> float | None:
        """The share of this stage that is done, where that is known."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else None


OnProgress: TypeAlias = Callable[[PullProgress], None]


def raise_if_cancelled(cancelled: threading.Event) -> None:
    """End a pull between two steps when the user said so."""
    if cancelled.is_set():
        raise PullFailed(_("the pull was cancelled"), _("nothing half is left; pull again to start over"))
