"""What stands against a start, collected: all of it is told at once, each problem beside the option it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from core.config.change import replaced
from core.config.load import Settings
from core.errors import ConfigError, FinetuiError, Problem
from core.i18n import _
from core.launch.machine import Machine, replacements
from core.runs.launch_file import Caution

T = TypeVar("T")


def idle_cautions(idle: Iterable[Problem]) -> Iterator[Caution]:
    """What to tell of options that were given and do nothing."""
    for one in idle:
        yield Caution(_("{option} does not count: {why}").format(option=one.where, why=one.what), one.hint)


class Findings:
    """Problems of some settings as they are found."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.problems: list[Problem] = []

    def tried(self, option: str, find: Callable[[], T]) -> T | None:
        """What `find` finds; None where it raises, which is then a problem of that option."""
        try:
            return find()
        except ConfigError as error:
            self.problems.extend(error.problems)
        except FinetuiError as error:
            self.problems.append(Problem(self.where(option), error.message, error.hint))
        return None

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Add problems whose place is the name of an option."""
        self.problems += (Problem(self.where(found.where), found.what, found.hint) for found in problems)

    def where(self, option: str) -> str:
        """Where an option was given; its name where it was not."""
        return self._settings.origins[option].where or option

    def honest(self, machine: Machine) -> tuple[Settings, list[Caution]]:
        """The settings with what this machine cannot do replaced, each told; with `strict` it is refused instead."""
        changes: dict[str, tuple[Any, str]] = {}
        cautions: list[Caution] = []
        for option, instead, caution in replacements(self._settings, machine):
            if self._settings.values()["strict"]:
                what = caution.message.partition(": ")[2].partition(";")[0]
                self.problems.append(Problem(self.where(option), what, _("leave it out, or leave --strict out")))
            else:
                changes[option] = (instead, _("this machine cannot"))
                cautions.append(caution)
        return replaced(self._settings, changes), cautions
