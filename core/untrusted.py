"""Text from models, data sets and file names, made harmless for a terminal.

Such text may hold escape sequences, bells, C1 controls, bidirectional overrides, zero-width characters, lone
surrogates or towers of combining marks. `inert` shows each of them as a visible stand-in and leaves everything else
(all scripts, emoji, and by default newlines and tabs) as it is, so nothing in the text can move the cursor, change a
colour, reach the clipboard, or look like other text than it is. Markup of Rich and Textual is not treated here:
callers hand such text to renderers as plain text (`rich.text.Text`, `textual.content.Content`), never as markup.
"""

from __future__ import annotations

import re

_DANGEROUS = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f"  # C0 controls without tab and newline, and DEL
    "\x80-\x9f"  # C1 controls: CSI and OSC as one character
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # drawn as nothing, or as a blank
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\ud800-\udfff"  # lone surrogates: no encoder takes them
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # invisible tags
    "]"
)

_MARK = (
    "["
    "\u0300-\u034e\u0350-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # for any letter
    "\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06dc\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0f71-\u0f84"
    "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"  # joiners and variation selectors
    "]"
)
# No script stacks more than a handful on one letter; a hundred are drawn over the lines around.
_TOWER = re.compile(f"({_MARK}{{8}})({_MARK}+)")


def _stand_in(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the control picture: ␛ for escape, ␇ for bell
    if code == 0x7F:
        return "␡"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"<U+{code:04X}>"


def inert(text: str) -> str:
    """The text with every control or invisible character replaced by a visible one; newlines and tabs stay.

    A carriage return before a newline is dropped. Zero-width joiners and variation selectors stay: emoji and some
    scripts need them, and they move nothing. Of a tower of combining marks the first eight stay.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _DANGEROUS.sub(_stand_in, text.replace("\r\n", "\n"))
    return _TOWER.sub(lambda match: f"{match[1]}<+{len(match[2])}>", text)


def inert_line(text: str) -> str:
    """Like `inert`, and on one line: newlines and tabs become spaces. For names, titles and table cells."""
    return inert(text).replace("\n", " ").replace("\t", " ")
