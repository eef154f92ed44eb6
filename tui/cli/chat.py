"""`finetui chat`: a conversation line by line, for dumb terminals, scripts and pipes."""

from __future__ import annotations

import sys
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Section, Shown
from core.config.generation import GenerationOptions
from core.config.load import Settings
from core.config.model import ModelOptions
from core.config.remote import RemoteOptions
from core.config.save import as_yaml
from core.config.sources import SourceOptions
from core.i18n import _
from tui.cli.options import OptionsVerb


class ChatOptions(Section):
    """How the conversation is held."""

    title: ClassVar[str] = "Conversation"

    mode: Literal["single", "multi"] | None = None
    """single: each question stands alone. multi: what was said before belongs to it. Asked for when not given."""

    prompt: Annotated[str | None, Shown("TEXT")] = None
    """Answer this and exit. The same happens to text that comes through a pipe."""

    lines: bool = False
    """Answer each line of the input, then exit. With --mode multi, lines are the turns of one conversation."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print one JSON object for each answer: content, finish_reason, usage, model, adapter, seed."""

    save: bool = False
    """Keep the conversation in the workspace's sessions/, where the app finds it."""

    session: Annotated[str | None, Shown("FILE")] = None
    """Go on with a conversation that was kept: its file, or `last`."""

    show_config: bool = False
    """Print the options of model and generation as a file, each with where its value comes from, and exit."""


def _chat(settings: Settings) -> int:
    if settings[ChatOptions].show_config:
        print(as_yaml(settings, ModelOptions, RemoteOptions, GenerationOptions), end="")
        return 0
    from tui.cli import batch, dialogue  # asyncio and the worker's client, 70 ms: help does without

    chat = settings[ChatOptions]
    if chat.prompt is None and not chat.lines and not chat.json_records and sys.stdin.isatty():
        return dialogue.hold(settings)
    return batch.answer_all(settings)


chat = OptionsVerb(
    _chat,
    (ModelOptions, RemoteOptions, GenerationOptions, ChatOptions, SourceOptions),
    _("In the conversation, clear forgets it, stop or exit ends it, and ctrl+c stops an answer."),
)
