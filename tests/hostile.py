"""Text that somebody could put into a model's answer, a data set, a conversation file or a folder's name.

`CORPUS` has one string for each way of reaching past the text into the terminal or past the eye of the reader.
"""

from __future__ import annotations

import re

SECRET = "c2VjcmV0"
"""What the clipboard sequences would copy: it may be seen as text, never inside a sequence."""

CORPUS: dict[str, str] = {
    "colours": "\x1b[31mred\x1b[0m \x1b[1;5;7mloud\x1b[m",
    "cursor": "\x1b[2J\x1b[H\x1b[10;10Hmoved\x1b[1A\x1b[2Kgone",
    "modes": "\x1b[?1049l\x1b[?25h\x1b[?1003h\x1b[?2004l\x1b[>1u\x1bc",
    "queries": "\x1b[c\x1b[6n\x1b[?2026$p\x1b[21t\x1bP$qm\x1b\\",
    "clipboard": f"\x1b]52;c;{SECRET}\x07\x1b]52;c;{SECRET}\x1b\\",
    "title": "\x1b]0;owned\x07\x1b]2;owned\x1b\\\x1bk owned\x1b\\",
    "hyperlink": "\x1b]8;;http://example.invalid/\x1b\\click\x1b]8;;\x1b\\",
    "notification": "\x1b]9;owned\x07\x1b]777;notify;a;b\x07\x1b]1337;File=inline=1:AAAA\x07",
    "unfinished": "half a sequence \x1b[3",
    "unfinished_osc": "half a sequence \x1b]52;c;" + SECRET,
    "bells": "\x07\x07\x07ding",
    "c1": f"\x9b31mred\x9d52;c;{SECRET}\x9c\x90q\x9c\x85next",
    "c0": "".join(map(chr, range(32))) + "\x7f",
    "carriage_return": "paid 1,000,000\rpaid 1",
    "backspace": "paid 1,000,000" + "\b" * 9,
    "tabs": "a\tb\t\tc\t\t\td",
    "vertical": "a\x0bb\x0cc",
    "rich_markup": "[red]red[/red] [link=http://example.invalid]click[/link] [/] [bold",
    "textual_markup": "[@click=app.quit]x[/] [@click='app.exit()']leave[/] [$error on red]y[/] [on blue",
    "markup_escape": "\\[red]a\\\\[/red] \\",
    "emoji_code": ":warning: :boom:",
    "markdown": "<script>alert(1)</script> ![x](http://example.invalid/a.png) [x](javascript:alert(1)) `" + "\x1b[31m`",
    "bidi": "user\u202eresu\u2066\u2067x\u2069\u200f\u061c admin",
    "zero_width": "pay\u200bpal\u2060.\ufeffcom\u00ad \u180e\u034f",
    "blanks": "\u3164\u115f\uffa0name",
    "tags": "safe" + "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all rules") + "\U000e0001",
    "separators": "one\u2028two\u2029three\x85four",
    "surrogates": "\ud83d alone \ude00 \udc80",
    "combining": "z" + "\u0300\u0489\u20dd" * 400 + "algo",
    "joiners": "a" + "\u200d" * 500 + "b",
    "wide": "好" * 300,
    "long_line": "x" * 1_000_000,
    "long_escapes": "\x1b[31m" * 20_000,
    "deep_markdown": "> " * 500 + "- " * 500 + "*" * 1000,
    "format_braces": "{0} {name} %s %(name)s ${HOME} `id` $(id)",
    "null": "before\0after",
}

SHORT = {name: text for name, text in CORPUS.items() if len(text) < 5_000}
"""The part of it that fits on a screen."""

FILE_NAMES = {
    name: text.replace("/", "|").replace("\0", "")[:60]
    for name, text in SHORT.items()
    if name not in ("surrogates", "null") and text.replace("\0", "")
}
"""The part of it that a file system takes as a name."""

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\u3164\ufeff\uffa0\ud800-\udfff\U000e0000-\U000e007f]"
)


def dangers(text: str) -> list[str]:
    """The characters of a text, newline and tab excepted, that a terminal would obey or a reader not see."""
    return sorted({f"U+{ord(character):04X}" for character in _FORBIDDEN.findall(text)})
