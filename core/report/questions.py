"""What was asked, out of a prompt as a model read it: for lists and pages, where a good guess is enough."""

from __future__ import annotations

import re

_SPECIAL = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|</?s>|<bos>|<eos>|<(?:start|end)_of_turn>|</?(?:user|assistant|system)>"
    r"|\[/?INST\]|\[g?MASK\]|<sop>"
)
_ROLE = re.compile(r"\s*(?:user|human|assistant|model|system|问|答)\s*[:：]?\s*(?:\n|$)", re.IGNORECASE)
_SAID = re.compile(r"(?:^|\n)\s*(?:human|user|问)\s*[:：]\s?", re.IGNORECASE)
_ANSWERS = re.compile(r"\n?\s*(?:assistant|答)\s*[:：]\s*$", re.IGNORECASE)


def question_text(prompt: str) -> str:
    """The last thing that was said before the answer, without a template's marks."""
    pieces = [_ROLE.sub("", piece, count=1).strip() for piece in _SPECIAL.split(prompt)]
    last = next((piece for piece in reversed(pieces) if piece), prompt)
    last = _ANSWERS.sub("", last)
    return _SAID.split(last)[-1].strip() or last.strip()
