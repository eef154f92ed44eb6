"""The words of a command line, read against the options that a verb has.

    --lora_rank 8   --lora-rank=8   lora_rank=8          a value
    --plot_loss   --plot_loss True   --no_plot_loss      a switch, with or without a word
    lora.yaml                                            a file of options
    zh-lora                                              one of the `names` that a verb is for

Nothing is decided here about values: they are handed on as text, and every mistake is collected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.config.fields import FieldSpec
from core.config.sources import Entry
from core.errors import Problem
from core.i18n import _

_LONG = re.compile(r"--(?P<key>[^=]+)(?P<given>=(?P<value>.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z]\w*)=(?P<value>.*)", re.DOTALL)
_FILE = re.compile(r".+\.(ya?ml|json)", re.DOTALL | re.IGNORECASE)
_SWITCH_WORDS = frozenset(["true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "1", "0"])


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was typed; an unknown option is an `Entry` too."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def read_command_line(words: Sequence[str], specs: Sequence[FieldSpec]) -> CommandLine:
    """Split a command line into entries. A repeated list option gives one entry with all of its items."""
    reader = _Reader(words, by_name(specs))
    while reader.words:
        reader.take(reader.words.pop(0))
    return CommandLine(tuple(reader.entries.values()), tuple(reader.problems))


def by_name(specs: Sequence[FieldSpec]) -> dict[str, FieldSpec]:
    """Options by every name that they answer to."""
    return {name: spec for spec in reversed(specs) for name in (*spec.aliases, spec.name)}


class _Reader:
    def __init__(self, words: Sequence[str], known: dict[str, FieldSpec]) -> None:
        self.words = list(words)
        self.known = known
        self.entries: dict[str, Entry] = {}
        self.problems: list[Problem] = []

    def take(self, word: str) -> None:
        if found := _LONG.fullmatch(word):
            self._option(f"--{found['key']}", found["key"].replace("-", "_"), found["value"])
        elif found := _ASSIGNMENT.fullmatch(word):
            self._put(found["key"], found["value"], found["key"])
        elif _FILE.fullmatch(word) and "config" in self.known:
            self._put("config", word, word)
        elif "names" in self.known and not word.startswith("-"):
            self._put("names", word, word)
        else:
            self.problems.append(_stray(word))

    def _option(self, shown: str, key: str, value: str | None) -> None:
        spec = self.known.get(key)
        if spec is None and key.startswith("no_") and self._is_switch(key[3:]):
            self._switch_off(shown, key[3:], value)
        elif value is not None:
            self._put(key, value, shown)
        elif spec is not None and spec.kind == "switch":
            self._put(key, self.words.pop(0) if self._switch_word_follows() else "true", shown)
        elif self.words and not self._is_option(self.words[0]):
            self._put(key, self.words.pop(0), shown)
        elif spec is None:  # told as unknown by the loader, which knows better hints
            self._put(key, "", shown)
        else:
            self.problems.append(Problem(shown, _("a value is missing: {what}").format(what=spec.expects)))

    def _switch_word_follows(self) -> bool:
        """Whether the next word stands for true or false, or, where no names stand alone, can be nothing but a failed
        attempt at it."""
        if not self.words:
            return False
        word = self.words[0]
        if "names" in self.known:
            return word.lower() in _SWITCH_WORDS
        return not (self._is_option(word) or _FILE.fullmatch(word) or _ASSIGNMENT.fullmatch(word))

    def _is_switch(self, key: str) -> bool:
        return key in self.known and self.known[key].kind == "switch"

    def _switch_off(self, shown: str, key: str, value: str | None) -> None:
        if value is None:
            self._put(key, "false", shown)
        else:
            hint = _("write --{key}={value}").format(key=key, value=value)
            self.problems.append(Problem(shown, _("takes no value"), hint))

    def _is_option(self, word: str) -> bool:
        """Whether a word is an option rather than a value that happens to begin with dashes (`--`, `-1`)."""
        found = _LONG.fullmatch(word)
        return found is not None and re.fullmatch(r"[A-Za-z][\w.-]*", found["key"]) is not None

    def _put(self, key: str, value: str, where: str) -> None:
        spec = self.known.get(key)
        name = spec.name if spec else key
        before = self.entries.pop(name, None)
        if name == "config" and before is not None:
            hint = _("put the options of both into one")
            self.problems.append(Problem(where, _("is a second file of options"), hint))
        if spec and spec.kind == "list":
            kept = before.raw if before and isinstance(before.raw, list) else []
            self.entries[name] = Entry(key, [*kept, value], "typed", where)
        else:
            self.entries[name] = Entry(key, value, "typed", where)


def _stray(word: str) -> Problem:
    if word.startswith("-") and len(word) > 1:
        return Problem(word, _("options have long names here"), _("begin them with two dashes"))
    what = _("nothing is expected here without the name of an option before it")
    return Problem(word, what, _("put a text with spaces between quotes, the items of a list between commas"))
