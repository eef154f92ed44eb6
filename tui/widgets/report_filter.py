"""What the word that is being typed into a filter could become; the right arrow takes it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.suggester import Suggester

_SHORTEST = 2


class FilterSuggester(Suggester):
    """Completes the last word of a filter.

    Args:
        names: what a word can begin with (`core.report.filters.filter_names`).
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._names = names

    async def get_suggestion(self, value: str) -> str | None:
        """The whole line with its last word completed."""
        return completed(value, self._names)


def completed(text: str, names: Sequence[str]) -> str | None:
    """A filter with its last word completed to the first name that begins so; None where nothing fits."""
    begun = text.rpartition(" ")[2].removeprefix("-")
    if len(begun) < _SHORTEST or begun in names or text.count('"') % 2:
        return None
    name = next((each for each in names if each.startswith(begun)), None)
    return text + name[len(begun) :] if name else None
