"""Rows that hold a text. Files are searched in their bytes, and only the rows that may hold it are read."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from core.data.index import FileIndex
from core.data.problems import RowProblem
from core.data.rows import IndexedRows, JoinedRows, Rows

_CHUNK = 1 << 23


def search(rows: Rows, text: str, start: int = 0) -> Iterator[int]:
    """Numbers of the rows with the text in one of their values, letters' case aside, from `start` on."""
    if text:
        yield from (number for number in _candidates(rows, text, start) if _holds(rows, number, text.casefold()))


def _candidates(rows: Rows, text: str, start: int) -> Iterator[int]:
    if isinstance(rows, JoinedRows):
        offset = 0
        for part in rows.parts:
            inner = _candidates(part, text, max(start - offset, 0)) if offset + len(part) > start else ()
            yield from (offset + number for number in inner)
            offset += len(part)
    elif isinstance(rows, IndexedRows) and rows.facts.encoding == "utf-8" and _in_bytes(text):
        yield from (number - rows.first for number in _matches(rows.index, text, start + rows.first))
    else:
        yield from range(start, len(rows))


def _in_bytes(text: str) -> bool:
    """Whether the bytes can be searched without regard to case: bytes know only that of ASCII letters."""
    return all(letter.isascii() or letter.lower() == letter.upper() for letter in text)


def _matches(index: FileIndex, text: str, start: int) -> Iterator[int]:
    """Rows in whose bytes the text stands, as it is or with JSON's escapes."""
    forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace('"', '""')}
    found = b"|".join(re.escape(form.encode(errors="replace")) for form in sorted(forms, key=len, reverse=True))
    pattern = re.compile(found, re.IGNORECASE)
    number, count, starts = start, len(index.lines), index.starts
    while number < count:
        end = min(max(bisect_right(starts, starts[number] + _CHUNK) - 1, number + 1), count)
        begin = starts[number]
        data = index.read(begin, starts[end])
        at = 0
        while match := pattern.search(data, at):
            found_row = bisect_right(starts, begin + match.start()) - 1
            yield found_row
            at = starts[found_row + 1] - begin
        number = end


def _holds(rows: Rows, number: int, folded: str) -> bool:
    try:
        row, _place = rows[number]
    except RowProblem as problem:
        if problem.fault.kind == "file":  # it has been cut off: there are no bytes either
            return False
        return folded in rows.raw(number).decode(errors="replace").casefold()
    return any(folded in text.casefold() for text in _texts(row))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case None:
            return
        case _:
            yield str(value)
