"""Where the rows of a file begin: found by C code over the bytes, without building a row.

Lines are split and their lengths summed up; the elements of a JSON array and the records of a CSV file are matched by
one regular expression each. A million rows take about a second and never stand in memory as objects. JSON that the
expression does not match goes to the JSON decoder, which either reads further or knows what is wrong.
"""

from __future__ import annotations

import json
import mmap
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, TypeAlias

from core.data.encoding import BOM
from core.data.problems import Fault
from core.i18n import _

Bytes: TypeAlias = bytes | mmap.mmap
Layout: TypeAlias = Literal["lines", "array", "csv", "text"]

_CHUNK = 1 << 23
_STRING = rb'"(?:[^"\\\n]++|\\.)*+"'
_DEPTH = 10


@dataclass
class Scan:
    """The rows of a file by their first bytes."""

    starts: array[int] = field(default_factory=lambda: array("q"))
    """Row i is the bytes from starts[i] to starts[i + 1], with blanks and commas behind it."""
    lines: array[int] = field(default_factory=lambda: array("I"))
    """The line that row i begins in, from 1."""
    crlf: int = 0
    """Lines that end as Windows ends them."""
    lf: int = 0
    """Lines that end in a newline alone."""
    fault: Fault | None = None
    fault_line: int = 0
    """Where the file cannot be read any further."""

    def add(self, start: int, line: int) -> None:
        self.starts.append(start)
        self.lines.append(line)


def scan(data: Bytes, layout: Layout, delimiter: bytes = b",") -> Scan:
    """Find the rows; a CSV file's first is its header."""
    begin = len(BOM) if data[: len(BOM)] == BOM else 0
    match layout:
        case "array":
            found = _scan_array(data, begin)
        case "csv":
            found = _scan_records(data, begin, delimiter)
        case "lines" | "text":
            return _scan_lines(data, begin)
    _count_newlines(found, data)
    return found


# --- lines ------------------------------------------------------------------------------------------------------


def _scan_lines(data: Bytes, begin: int) -> Scan:
    found, line = Scan(), 1
    for position, chunk in chunks(data, begin):
        lines = chunk.split(b"\n")
        if not lines[-1]:
            lines.pop()
        found.lf += chunk.count(b"\n")
        found.crlf += chunk.count(b"\r\n")
        offsets = accumulate((len(text) + 1 for text in lines), initial=position)
        if b"" in lines or any(map(bytes.isspace, lines)):
            for number, (text, offset) in enumerate(zip(lines, offsets, strict=False), start=line):
                if text and not text.isspace():
                    found.add(offset, number)
        else:
            found.starts.extend(offsets)
            found.starts.pop()
            found.lines.extend(range(line, line + len(lines)))
        line += len(lines)
    found.lf -= found.crlf
    found.starts.append(len(data))
    return found


def chunks(data: Bytes, begin: int = 0) -> Iterator[tuple[int, bytes]]:
    """Pieces of some megabytes that end in a newline, each with its offset."""
    while begin < len(data):
        newline = data.find(b"\n", begin + _CHUNK)
        end = newline + 1 if newline >= 0 else len(data)
        yield begin, data[begin:end]
        begin = end


def _count_newlines(found: Scan, data: Bytes) -> None:
    for _position, chunk in chunks(data):
        found.lf += chunk.count(b"\n")
        found.crlf += chunk.count(b"\r\n")
    found.lf -= found.crlf


# --- JSON arrays -------------------------------------------------------------------------------------------------


def _value(depth: int) -> bytes:
    """One JSON value, with brackets nested at most so deep; what stands inside is checked when the row is read."""
    inner = rb'[^\[\]{}"]++|' + _STRING
    for _level in range(depth):
        nested = rb"[\[{](?:" + inner + rb")*+[\]}]"
        inner = rb'[^\[\]{}"]++|' + _STRING + rb"|" + nested
    return nested + rb"|" + _STRING + rb'|[^\s,\[\]{}"]++'


# At the beginning of an element; behind it a comma, or the end of the array.
_ELEMENT = re.compile(rb"(?:" + _value(_DEPTH) + rb")\s*+([,\]])\s*+", re.DOTALL)
_BLANK = re.compile(rb"\s*+")


def _scan_array(data: Bytes, begin: int) -> Scan:
    found, position, line, counted = Scan(), data.find(b"[", begin) + 1, 1, 0
    position = _after_blanks(data, position)
    closed = data[position : position + 1] == b"]"
    end = position + 1
    while not closed:
        line += data[counted:position].count(b"\n")
        counted = position
        match = _ELEMENT.match(data, position)
        if match is None:
            reached, fault = _decoded_element(data, position)
            if fault is not None:
                found.fault, found.fault_line = fault[0], line + fault[1]
                found.starts.append(position)
                return found
        else:
            reached = match.start(1)
        found.add(position, line)
        end = _after_blanks(data, reached + 1)
        closed = data[reached : reached + 1] == b"]"
        position = reached if closed else end
    found.starts.append(position)
    rest = _after_blanks(data, end)
    if rest < len(data):
        found.fault = Fault("broken_json", _("there is more text after the array's end"), _("take it away"))
        found.fault_line = line + data[counted:rest].count(b"\n")
    return found


def _after_blanks(data: Bytes, position: int) -> int:
    match = _BLANK.match(data, position)
    return match.end() if match else position


def _decoded_element(data: Bytes, position: int) -> tuple[int, tuple[Fault, int] | None]:
    """Where the mark behind an element stands that is nested too deeply for the expression; or what is wrong there,
    and how many lines further down."""
    text = data[position:].decode(errors="replace")
    try:
        _element, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        at, problem = error.pos, error.msg
    except RecursionError:
        at, problem = 0, _("nested too deeply")
    else:
        reached = _after_blanks(data, position + len(text[:end].encode()))
        if data[reached : reached + 1] in (b",", b"]"):
            return reached, None
        at, problem = end, _("the array is not closed") if reached >= len(data) else _("a comma is missing")
    hint = _("mend the file: what follows cannot be read")
    return 0, (Fault("broken_json", _("broken JSON: {problem}").format(problem=problem), hint), text[:at].count("\n"))


# --- CSV ---------------------------------------------------------------------------------------------------------


def _scan_records(data: Bytes, begin: int, delimiter: bytes) -> Scan:
    """Records may hold newlines inside quotes. A quote inside a cell that does not begin with one is a letter."""
    mark = re.escape(delimiter)
    cell = rb'(?:"(?:[^"]++|"")*+"?+[^' + mark + rb"\r\n]*+|[^" + mark + rb'"\r\n][^' + mark + rb"\r\n]*+)?+"
    record = re.compile(cell + rb"(?:" + mark + cell + rb")*+(?:\r\n|\r|\n|\Z)", re.DOTALL)
    found, position, line, counted = Scan(), begin, 1, 0
    while position < len(data):
        match = record.match(data, position)
        end = match.end() if match else len(data)
        if not match or match.group().strip():
            line += data[counted:position].count(b"\n")
            counted = position
            found.add(position, line)
        position = end
    found.starts.append(len(data))
    return found
