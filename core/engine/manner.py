"""How a model is spoken to: the template, system prompt and prefix that its weights were trained under.

They travel with what was trained (`finetui.json`). The user's word goes before them: a template that was chosen, a
system prompt in the conversation, `enable_thinking` when given; then the difference is said aloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.chat.message import Message
from core.engine.context import Prompt, fit
from core.engine.template import Template, choose_template, prepared
from core.engine.tokenizer import Tokenizer
from core.errors import UsageError
from core.i18n import _
from core.models.notes import AdapterNotes, base_hashes, read_notes, text_sha256
from core.untrusted import inert_line


@dataclass(frozen=True)
class Manner:
    """What is put around a conversation."""

    template: Template
    default_system: str = ""
    source_prefix: str = ""
    enable_thinking: bool | None = None

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """A conversation as the model is asked."""
        return prepared(messages, self.default_system, self.source_prefix)

    def thinks(self, wanted: bool | None) -> bool | None:
        return self.enable_thinking if wanted is None else wanted

    def prompt(
        self, messages: Sequence[Message], context_length: int, max_new_tokens: int, enable_thinking: bool | None
    ) -> Prompt:
        """The ids of a conversation's prompt, cut to the context; see `fit`."""
        asked = self.messages(messages)
        added = len(asked) - len(messages)
        prompt = fit(self.template, asked, context_length, max_new_tokens, self.thinks(enable_thinking))
        return replace(prompt, dropped=tuple(index - added for index in prompt.dropped))


def manner_of_model(folder: Path, template: str, tokenizer: Tokenizer) -> Manner:
    """How a base is spoken to; one that finetui has trained brings notes.

    Raises:
        UsageError: the template does not exist.
    """
    notes = read_notes(folder)
    if notes is None:
        return Manner(choose_template(template, tokenizer))
    chosen = choose_template(notes.template if is_open(template) else template, tokenizer)
    return Manner(chosen, notes.default_system, notes.source_prefix, notes.enable_thinking)


def is_open(template: str) -> bool:
    """Whether nobody has chosen a template."""
    return template in ("auto", "")


def manner_of_adapter(
    notes: AdapterNotes | None, base: Manner, folder: Path, wanted_template: str, beside: AdapterNotes | None = None
) -> tuple[Manner, tuple[str, ...]]:
    """How an adapter is spoken to, and what should be said about it.

    Args:
        notes: None for an adapter of others, which is spoken to like its base.
        folder: the base's.
        wanted_template: what the user chose, or `auto`.
        beside: of a model that it is used with: what both have in common need not be said.
    """
    if notes is None:
        return base, ()
    same = beside or AdapterNotes()
    template, told = _template(notes, base.template, wanted_template)
    if (notes.template, notes.template_sha256) == (same.template, same.template_sha256):
        told = []
    told += _differences(notes, folder)
    if notes.default_system != same.default_system and notes.default_system:
        told.append(_("it is asked under its system prompt: {text}").format(text=_shown(notes.default_system)))
    if notes.source_prefix != same.source_prefix and notes.source_prefix:
        told.append(_("before the first question it is given: {text}").format(text=_shown(notes.source_prefix)))
    return Manner(template, notes.default_system, notes.source_prefix, notes.enable_thinking), tuple(told)


def _template(notes: AdapterNotes, base: Template, wanted: str) -> tuple[Template, list[str]]:
    if not notes.template or (notes.template == base.name and notes.template_sha256 == text_sha256(base.source)):
        return base, []
    if not is_open(wanted):
        told = _("it was trained under the template {there} and is asked under {here}, as you chose")
        return base, [told.format(there=inert_line(notes.template), here=base.name)]
    try:
        template = choose_template(notes.template, base.tokenizer)
    except UsageError:
        told = _("it was trained under the template {there}, which is not here; it is asked under {here}")
        return base, [told.format(there=inert_line(notes.template), here=base.name)]
    if notes.template_sha256 and notes.template_sha256 != text_sha256(template.source):
        told = _("the template {name} is not what it was when the adapter was trained")
        return template, [told.format(name=template.name)]
    told = _("it is asked under the template {name}, as it was trained")
    return template, [told.format(name=template.name)]


def _differences(notes: AdapterNotes, folder: Path) -> list[str]:
    config, tokenizer = base_hashes(folder)
    if notes.tokenizer_sha256 and notes.tokenizer_sha256 != tokenizer:
        return [_("it was trained with another tokenizer than this model has")]
    if notes.base_config_sha256 and notes.base_config_sha256 != config:
        return [_("the model's config.json is not what it was when the adapter was trained")]
    return []


def _shown(text: str) -> str:
    line = inert_line(text)
    return line if len(line) <= 80 else f"{line[:79]}…"
