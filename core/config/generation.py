"""How an answer is made out of what the model knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from core.config.fields import Also, Section, Shown
from core.config.foreign import GENERATING
from core.errors import Problem
from core.i18n import _


class GenerationOptions(Section):
    """How an answer is made."""

    title: ClassVar[str] = "Generation"
    elsewhere: ClassVar[Mapping[str, str]] = GENERATING

    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    """How freely the next token is drawn. 0: always the most likely one, so answers differ by their models alone."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Draw among the likeliest tokens that together have this probability. 1: among all."""

    top_k: Annotated[int, Field(ge=0)] = 0
    """Draw among this many likeliest tokens. 0: among all."""

    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Leave out tokens less likely than this share of the likeliest one's probability. 0: none."""

    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    """Above 1, tokens that stand in the text already become less likely."""

    do_sample: bool | None = None
    """false: greedy, whatever the temperature. true: drawn, which needs a temperature above 0."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """The same seed draws the same answer again. 0: a new one for every answer."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """The longest answer, in tokens."""

    stop: Annotated[tuple[str, ...], Also("stop_strings"), Shown("TEXT")] = ()
    """The answer ends before the first of these texts. Give the option once for each, or a JSON list."""

    default_system: Annotated[str, Also("system", "system_prompt"), Shown("TEXT")] = ""
    """The system prompt. Empty: none, or the one that the model's template puts in by itself."""

    enable_thinking: bool | None = None
    """For models that can think before they answer. Not given: as their template has it."""

    @property
    def greedy(self) -> bool:
        return self.do_sample is False or self.temperature == 0

    def conflicts(self) -> Iterator[Problem]:
        if self.do_sample and self.temperature == 0:
            yield Problem(
                "do_sample",
                _("true asks for drawn answers, temperature 0 for greedy ones"),
                _("give a temperature above 0, or leave do_sample out"),
            )
