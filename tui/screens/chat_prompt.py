"""What a row of data is as a prompt: drawn by the tokenizer and template of the model that answers in the chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import App

from core.chat.message import Message
from core.errors import FinetuiError
from core.i18n import _
from core.serve.protocol import Rendered
from core.serve.remote_address import is_served


async def prompt_of(app: App[Any], messages: Sequence[Message]) -> tuple[Rendered, str]:
    """What a training would see, and the name of the model whose way it is.

    Raises:
        FinetuiError: no model of this machine answers in the chat.
    """
    chat: Any = getattr(app, "chat", None)
    column = chat.conversation.columns[0] if chat is not None else None
    if column is None or not column.model:
        hint = _("choose one in the chat (F2), or fetch one (F6)")
        raise FinetuiError(_("a model's tokenizer draws this page, and there is no model"), hint)
    if is_served(column.model):
        hint = _("choose a model that is here in the chat (F2)")
        raise FinetuiError(_("what a server makes of a row is not known here"), hint)
    rendered = await chat.driver.render(
        column.model,
        messages,
        add_generation_prompt=False,
        enable_thinking=None,
        max_new_tokens=0,
        adapter=column.adapter,
    )
    return rendered, column.model
