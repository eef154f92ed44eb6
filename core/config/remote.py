"""A model that somebody else serves, behind an OpenAI-compatible address: vLLM, SGLang, Ollama, LLaMA-Factory's API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from core.config.address import address_problem
from core.config.fields import Section, Shown
from core.errors import Problem
from core.i18n import _


class RemoteOptions(Section):
    """A served model takes the place of one that is loaded here."""

    title: ClassVar[str] = "Served model"

    api_base: Annotated[str | None, Field(min_length=1), Shown("URL")] = None
    """Ask an OpenAI-compatible server instead of loading a model: http://127.0.0.1:8000/v1."""

    api_model: Annotated[str | None, Field(min_length=1), Shown("NAME")] = None
    """Which of the server's models. Not given: the only one that it has."""

    api_key_variable: Annotated[str, Field(min_length=1), Shown("VARIABLE")] = "OPENAI_API_KEY"
    """The environment variable that holds the server's key; the key itself is never written or shown."""

    api_concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests that are under way at once."""

    api_timeout: Annotated[float, Field(gt=0), Shown("SECONDS")] = 120.0
    """How long the server may be silent before a request counts as failed."""

    api_retries: Annotated[int, Field(ge=0, le=20)] = 4
    """How often a request is tried again, with growing pauses, where trying again can help."""

    def conflicts(self) -> Iterator[Problem]:
        if self.api_base is None:
            if self.api_model is not None:
                yield Problem("api_model", _("needs the server's address"), _("give api_base"))
        elif problem := address_problem(self.api_base):
            yield Problem("api_base", problem, _("write it as http://127.0.0.1:8000/v1"))
