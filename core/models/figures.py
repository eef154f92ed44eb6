"""Figures about models as people read them; the same in lists, screens and messages."""

from __future__ import annotations

from core.i18n import _
from core.models.info import AdapterInfo, ModelInfo
from core.models.notes import AdapterNotes
from core.untrusted import inert_line


def size_text(size: int) -> str:
    """A size in bytes: `270 MB`."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 100 * unit else f"{size / unit:.0f} {name}"
    return f"{size} B"


def count_text(count: int) -> str:
    """A number of parameters: `135M`."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return str(count)


def method_text(adapter: AdapterInfo) -> str:
    """`lora 8`, `p_tuning 128`: the method and, where it has one, its rank or length."""
    size = adapter.rank if adapter.rank is not None else adapter.prefix_length
    return adapter.method if size is None else f"{adapter.method} {size}"


def model_pairs(model: ModelInfo) -> list[tuple[str, str]]:
    """What is known about a model besides its name, label and value."""
    return [
        (_("folder"), inert_line(str(model.path))),
        (_("architecture"), model.architecture or "?"),
        (_("parameters"), f"{model.parameters:,}"),
        (_("dtype"), model.dtype or "?"),
        (_("size"), size_text(model.size_bytes)),
        (_("context"), _("{count} tokens").format(count=model.context_length) if model.context_length else "?"),
        (_("licence"), model.license or _("not stated")),
        (_("template"), _("its own") if model.has_chat_template else _("none of its own: default is used")),
    ]


def adapter_pairs(adapter: AdapterInfo) -> list[tuple[str, str]]:
    """What is known about an adapter besides its name, label and value."""
    return [
        (_("folder"), inert_line(str(adapter.path))),
        (_("method"), method_text(adapter) or "?"),
        (_("parameters"), f"{adapter.parameters:,}"),
        (_("trained on"), adapter.base_model or _("not stated")),
        *trained_pairs(adapter.notes),
    ]


def trained_pairs(notes: AdapterNotes | None) -> list[tuple[str, str]]:
    """How an adapter was trained and is therefore asked, label and value; nothing for those of others."""
    if notes is None:
        return []
    pairs = [
        (_("template"), notes.template),
        (_("system prompt"), notes.default_system),
        (_("source prefix"), notes.source_prefix),
        (_("trained over"), ", ".join(lower.path for lower in notes.chain)),
        (_("data"), ", ".join(notes.datasets)),
    ]
    return [(label, inert_line(text)) for label, text in pairs if text]
