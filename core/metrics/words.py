"""Texts in words, as jieba cuts them: its default dictionary, its model for words that are not in it.

jieba keeps its dictionary as a file that it reads back unchecked; here that file lies in a folder of the user's own
instead of /tmp, where anybody could have laid it.
"""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any


@functools.lru_cache(maxsize=256)
def words(text: str) -> tuple[str, ...]:
    """The words of a text, blanks and line breaks among them. Kept for the next metric that asks."""
    return tuple(_jieba().cut(text))


@functools.lru_cache(maxsize=256)
def folded_words(text: str) -> tuple[str, ...]:
    """The words that hold a letter or a digit, without regard to case."""
    return tuple(word.casefold() for word in words(text) if any(map(str.isalnum, word)))


def has_ideographs(text: str) -> bool:
    """Whether a text is written in Chinese characters or kana, which no blanks divide."""
    return any("\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff" for character in text)


@functools.cache
def _jieba() -> Any:
    """Read once in a process: 0.4 s with its cache file, 0.8 s without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes of its regular expressions, pkg_resources
        import jieba  # 20 ms, and its dictionary at the first text

    jieba.setLogLevel("CRITICAL")
    cutter = jieba.Tokenizer()
    # without a place to keep it, jieba builds the dictionary anew and says so in a log that is silent
    cutter.tmp_dir = str(_own_folder() or os.devnull)
    return cutter


def _own_folder() -> Path | None:
    """Where the dictionary is kept, private to the user; None where there is no such place."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "finetui"
    for folder in (cache, Path(tempfile.gettempdir()) / f"finetui-{os.getuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = folder.stat()
        except OSError:
            continue
        if facts.st_uid == os.getuid() and not facts.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    return None
