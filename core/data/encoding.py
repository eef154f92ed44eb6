"""Which encoding a file is in: UTF-8, with or without a mark before it, or GBK as Chinese Windows programs write it.

GB18030, which contains GBK, decodes almost any bytes, so it is believed only where UTF-8 fails line after line: a
UTF-8 file with a broken character in one line stays UTF-8, and that line is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

Encoding: TypeAlias = Literal["utf-8", "gb18030", "utf-16"]

BOM = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE = 1000


def encoding_of(lines: Iterable[bytes]) -> Encoding:
    """The encoding of a file that is not wholly valid UTF-8, judged by its lines that are not ASCII."""
    sample: list[bytes] = []
    for line in lines:
        if not sample and line.startswith(_UTF16_MARKS):
            return "utf-16"
        if not line.isascii():
            sample.append(line)
        if len(sample) == _SAMPLE:
            break
    valid = sum(_decodes(line, "utf-8") for line in sample)
    if 2 * valid >= len(sample) or not all(_decodes(line, "gb18030") for line in sample):
        return "utf-8"
    return "gb18030"


def decode(data: bytes) -> tuple[str, Encoding]:
    """A small file's text without its mark, and the encoding that it was in; what no encoding has becomes U+FFFD."""
    data = data.removeprefix(BOM)
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        encoding = encoding_of(data.split(b"\n"))
        return data.decode(encoding, errors="replace"), encoding


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
