"""What `finetui chat` says about an answer beside the answer, and the words that steer a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from core.i18n import _, plural
from core.serve.protocol import Loaded
from core.serve.remote_address import is_served, shown_name
from core.untrusted import inert_line
from tui.cli.answering import Answer, Answerer

FORGOTTEN = "clear"
LEAVING = ("stop", "exit", "quit")


def banner(answerer: Answerer, system: str) -> str:
    """Who answers, under which system prompt, and what can be typed."""
    loaded = answerer.load()
    lines = [f"{shown_name(answerer.model)} ({', '.join(_facts(loaded))})"]
    if not is_served(answerer.model):
        lines.append(adapter_line(answerer))
    if system:
        lines.append(_("system prompt: {text}").format(text=system))
    elif loaded.injected_system:
        lines.append(_("system prompt, put in by the template: {text}").format(text=loaded.injected_system))
    lines.append(_("clear forgets the conversation; stop, exit or ctrl+d ends it; ctrl+c stops an answer"))
    return "\n".join(map(inert_line, lines))


def _facts(loaded: Loaded) -> list[str]:
    """What the model is made of; of a served one only what its server says."""
    context = _("context {count}").format(count=loaded.context_length)
    if is_served(loaded.model):
        return [loaded.architecture, *([context] if loaded.context_length else [])]
    threads = plural("{count} thread", "{count} threads", loaded.threads)
    return [
        loaded.architecture,
        _short(loaded.parameters),
        loaded.dtype,
        f"{loaded.device}, {threads}" if loaded.device == "cpu" else loaded.device,
        context,
        _("template {name}").format(name=loaded.template),
    ]


def adapter_line(answerer: Answerer) -> str:
    """Which adapter answers, and how to change that when there are several answers to have."""
    told = _("adapter: {name}").format(name=inert_line(answerer.adapter) if answerer.adapter else _("none, the base"))
    if not answerer.adapters:
        return told
    others = [f"/adapter {name}" for name in answerer.adapters if name != answerer.adapter]
    if answerer.adapter is not None:
        others.append("/base")
    return f"{told} ({_('change with')} {inert_line(', '.join(others))})"


def use_time(answer: Answer) -> str:
    usage = answer.usage
    told = _("> use time: {seconds:.2f}s").format(seconds=usage.seconds)
    told += ", " + plural("{count} token", "{count} tokens", usage.answer_tokens)
    speed = usage.tokens_per_second
    return f"{told}, {_('{speed:.1f} tokens/s').format(speed=speed)}" if speed else told


def finish_mark(answer: Answer) -> str:
    """How it ended, unless it ended by itself."""
    match answer.finish_reason:
        case "stop":
            return ""
        case "stopped":
            return _("[stopped; the part above is kept]") if answer.content else _("[stopped]")
        case "length" if answer.usage.context_left <= 0:
            return _("[cut: the context is full; clear makes room]")
        case "length":
            told = plural("{count} token", "{count} tokens", answer.usage.answer_tokens)
            return _("[cut after {tokens}; --max_new_tokens allows more]").format(tokens=told)
        case "error":
            return _("[ended by an error]")


def gone_line(questions: Sequence[str]) -> str:
    """Which turns the model no longer sees."""
    if not questions:
        return ""
    listed = "; ".join(f"“{inert_line(text)[:40]}”" for text in questions[:5])
    more = _(" and {count} more").format(count=len(questions) - 5) if len(questions) > 5 else ""
    return _("[the context is full; no longer seen: {turns}]").format(turns=listed + more)


def _short(count: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
