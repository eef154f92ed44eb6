"""Conversations to the exact text, token ids and loss mask: the one place where this is done.

Chat, training, evaluation, preview and export call `Template.rendering`, so the same request has the same token ids
everywhere. The tokenizer's own chat template comes first; `--template NAME` picks a bundled one; a base model without
any gets `default`, whose turn markers also end an answer.

A tokenizer's own template is encoded in one piece, as transformers does it. A bundled one whose prompt ends in a space
is cut behind it, as LLaMA-Factory does: else the space of `Assistant: ` would melt into the answer's first token, and
the prompt of a chat would not be the beginning of what is trained.

The loss mask of an assistant turn is the difference of the renderings before and after it. Both have to be beginnings
of the whole text: a template that rewrites earlier turns (as thinking models' do) says so instead of training on the
wrong tokens.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from core.chat.message import Message
from core.engine.tokenizer import Tokenizer, encodable
from core.errors import ModelError, UsageError, did_you_mean
from core.i18n import _

_MARK = "\ue000answer\ue000"
"""Stands for an answer's place in a rendering."""
_FOLDER = Path(__file__).parent / "templates"
_REASONING = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)
_STOP = {
    "default": ("\nHuman:", "\nAssistant:"),
    "alpaca": ("\n### Instruction:",),
    "vicuna": ("USER:",),
    "chatglm": ("\n[Round ", "\n问："),
    "chatglm2": ("\n\n[Round ", "\n\n问："),
    "chatglm3": ("<|user|>", "<|observation|>"),
}
"""Texts that begin another turn, for models that were never taught to end their own."""


@dataclass(frozen=True)
class Rendering:
    """What is put before a model, in three views."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    """For each id its range of characters in `text`."""
    trained: tuple[bool, ...]
    """The loss mask: which ids supervised training puts loss on. All False unless it was asked for."""

    def pieces(self) -> list[str]:
        """A readable text for each id; together they are `text`. Later parts of one character are empty."""
        pieces, shown = [], 0
        for _start, end in self.offsets:
            pieces.append(self.text[shown : max(shown, end)])
            shown = max(shown, end)
        if pieces:
            pieces[-1] += self.text[shown:]
        return pieces


@dataclass(frozen=True)
class Template:
    """A chat template together with its tokenizer."""

    name: str
    """`tokenizer` for the model's own, else the bundled template's."""
    source: str
    tokenizer: Tokenizer

    @functools.cached_property
    def stop(self) -> tuple[str, ...]:
        """Texts before which an answer ends: turn markers, and an end marker that the tokenizer has no token for."""
        suffix = self._behind_an_answer
        return _STOP.get(self.name, ()) + ((suffix,) if suffix and not self.end_ids else ())

    @property
    def knows_thinking(self) -> bool:
        return "enable_thinking" in self.source

    def text(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool | None = None,
    ) -> str:
        """The rendered conversation; reasoning of earlier answers is left out.

        Raises:
            ModelError: the template refuses this conversation, for instance a system prompt.
        """
        values: dict[str, Any] = {"bos_token": "", "eos_token": "", **self.tokenizer.special_tokens}
        if enable_thinking is not None:
            values["enable_thinking"] = enable_thinking
        plain = [dataclasses.asdict(message) for message in without_reasoning(messages)]
        try:
            text = _compiled(self.source).render(
                messages=plain, add_generation_prompt=add_generation_prompt, tools=None, documents=None, **values
            )
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise ModelError(
                _("the chat template {name} cannot render this conversation: {error}").format(
                    name=self.name, error=error
                ),
                _("some templates take no system prompt, or want user and assistant to take turns"),
            ) from error
        return encodable(text)

    def rendering(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool | None = None,
        loss_mask: bool = False,
    ) -> Rendering:
        """Text, ids and, if asked for, the loss mask.

        Raises:
            ModelError: see `text`; with `loss_mask` also when a turn's rendering is no beginning of the whole.
        """
        text = self.text(messages, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        cuts = self._cuts(messages, text, add_generation_prompt, enable_thinking)
        for start, end in itertools.pairwise((0, *cuts, len(text))):
            more, ranges = self.tokenizer.encode_with_offsets(text[start:end])
            ids += more
            offsets += [(start + first, start + last) for first, last in ranges]
        spans = self._trained_spans(messages, text, enable_thinking) if loss_mask else []
        trained = (any(start <= at[0] < end for start, end in spans) for at in offsets)
        return Rendering(text, tuple(ids), tuple(offsets), tuple(trained))

    def _cuts(
        self, messages: Sequence[Message], text: str, add_generation_prompt: bool, enable_thinking: bool | None
    ) -> list[int]:
        """Where answers begin, if the text has to be cut there; none where that cannot be told for sure."""
        if self.name == "tokenizer" or not self._melts:
            return []
        marked = [
            dataclasses.replace(message, content=_MARK + message.content) if message.role == "assistant" else message
            for message in without_reasoning(messages)
        ]
        whole = self.text(marked, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking)
        parts = whole.split(_MARK)
        return list(itertools.accumulate(map(len, parts[:-1]))) if "".join(parts) == text else []

    @functools.cached_property
    def _melts(self) -> bool:
        """Whether an answer follows directly on a space, with which its first word makes one token."""
        question = Message("user", "?")
        try:
            prompt = self.text([question])
            head = self.text([question, Message("assistant", _MARK)], add_generation_prompt=False).partition(_MARK)[0]
        except ModelError:
            return False
        return prompt.endswith(" ") and head == prompt

    def _trained_spans(
        self, messages: Sequence[Message], text: str, enable_thinking: bool | None
    ) -> list[tuple[int, int]]:
        spans = []
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.text(messages[:index], enable_thinking=enable_thinking)
            after = self.text(messages[: index + 1], add_generation_prompt=False, enable_thinking=enable_thinking)
            whole = text.startswith(after.rstrip()) and after.startswith(before)
            if not whole:
                raise ModelError(
                    _("the chat template {name} renders message {index} otherwise once more follows").format(
                        name=self.name, index=index + 1
                    ),
                    _("no loss mask can be told from it; choose a bundled template"),
                )
            spans.append((len(before), len(after.rstrip())))  # the newline behind an end token is not the model's
        return spans

    @functools.cached_property
    def injected_system(self) -> str:
        """The system prompt that the template puts in by itself when none is given."""
        question, mark = Message("user", "?"), "\ue000system\ue000"
        try:
            given = self.text([Message("system", mark), question])
            bare = self.text([question])
        except ModelError:
            return ""
        head, found, tail = given.partition(mark)
        fits = found and bare.startswith(head) and bare.endswith(tail) and len(bare) > len(head) + len(tail)
        return bare[len(head) : len(bare) - len(tail)] if fits else ""

    @functools.cached_property
    def end_ids(self) -> frozenset[int]:
        """The token that this template writes behind an answer, where it is one outside the learnt vocabulary."""
        ids = self.tokenizer.encode(self._behind_an_answer)
        return frozenset(i for i in ids[:1] if self.tokenizer.is_added(i))

    @functools.cached_property
    def _behind_an_answer(self) -> str:
        try:
            text = self.text([Message("user", "?"), Message("assistant", _MARK)], add_generation_prompt=False)
        except ModelError:
            return ""
        return text.partition(_MARK)[2].strip()


def without_reasoning(messages: Sequence[Message]) -> list[Message]:
    """Answers before the last question lose their `<think>…</think>`."""
    last_question = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    return [
        dataclasses.replace(message, content=_REASONING.sub("", message.content, count=1))
        if message.role == "assistant" and index < last_question
        else message
        for index, message in enumerate(messages)
    ]


def bundled() -> list[str]:
    """The names of the bundled templates."""
    return sorted(path.stem for path in _FOLDER.glob("*.jinja"))


def choose_template(name: str, tokenizer: Tokenizer) -> Template:
    """`auto` is the tokenizer's own chat template, else `default`; other names are bundled ones.

    Raises:
        UsageError: there is no template of that name.
    """
    if name in ("auto", "tokenizer", ""):
        if tokenizer.chat_template is not None:
            return Template("tokenizer", tokenizer.chat_template, tokenizer)
        name = "default"
    if name not in bundled():
        known = _("bundled: {names}").format(names=", ".join(bundled()))
        near = did_you_mean(name, bundled())
        raise UsageError(
            _("there is no chat template {name!r}").format(name=name), f"{near} {known}" if near else known
        )
    return Template(name, (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8"), tokenizer)


class _GenerationBlocks(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`, by which some templates mark answers; rendered as what stands in it."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.lru_cache(maxsize=16)
def _compiled(source: str) -> jinja2.Template:
    """A template as transformers compiles it: sandboxed, for it comes from whoever made the model."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlocks, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(source)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
