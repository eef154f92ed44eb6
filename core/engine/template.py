"""Conversations to the exact text, token ids and loss mask: the one place where this is done.

Chat, training, evaluation, preview and export call `Template.rendering`, so the same request has the same token ids
everywhere. The tokenizer's own chat template comes first; `--template NAME` picks a bundled one; a base model without
any gets `default`, whose turn markers also end an answer.

A tokenizer's own template is encoded in one piece, as transformers does it. A bundled one whose prompt ends in a space
is cut behind it, as LLaMA-Factory does: else the space of `Assistant: ` would melt into the answer's first token, and
the prompt of a chat would not be the beginning of what is trained.

The loss mask of an assistant turn is the difference of the renderings before and after it, both of which have to be
beginnings of the whole text. Where a template rewrites earlier turns (as thinking models' do), their mask is what
stands in their places in the whole; where not even that can be told, it says so instead of training on wrong tokens.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from core.chat.message import REASONING, Message, Role
from core.engine.jinja import compiled
from core.engine.outline import Outline, Range, mark, outline_of
from core.engine.tokenizer import Tokenizer, encodable
from core.errors import ModelError, UsageError, did_you_mean
from core.i18n import _

_MARK = "\ue000answer\ue000"
"""Stands for an answer's place in a rendering."""
_FOLDER = Path(__file__).parent / "templates"
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
    answers: tuple[Range, ...] = ()
    """If asked for: the characters of each answer with what ends it, in the order of the conversation."""

    @functools.cached_property
    def trained(self) -> tuple[bool, ...]:
        """The loss mask: which ids supervised training puts loss on. All False unless answers were asked for."""
        trained = [False] * len(self.ids)
        for answer in self.answers:
            tokens = self.tokens_of(answer)
            trained[tokens] = [True] * (tokens.stop - tokens.start)
        return tuple(trained)

    def tokens_of(self, characters: Range) -> slice:
        """The ids that begin in a range of characters."""
        start, end = characters
        return slice(bisect.bisect_left(self.offsets, (start,)), bisect.bisect_left(self.offsets, (end,)))

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
        suffix = self.answer_end
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
        plain = [{"role": message.role, "content": message.content} for message in without_reasoning(messages)]
        try:
            text = compiled(self.source).render(
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
            ModelError: see `text`; with `loss_mask` also where it cannot be told which part of the text is an answer.
        """
        text = self.text(messages, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking)
        answers, cuts = self._answers_and_cuts(messages, text, add_generation_prompt, enable_thinking, loss_mask)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for start, end in itertools.pairwise((0, *cuts, len(text))):
            more, ranges = self.tokenizer.encode_with_offsets(text[start:end])
            ids += more
            offsets += [(start + first, start + last) for first, last in ranges] if start else ranges
        return Rendering(text, tuple(ids), tuple(offsets), tuple(answers))

    def _answers_and_cuts(
        self,
        messages: Sequence[Message],
        text: str,
        add_generation_prompt: bool,
        enable_thinking: bool | None,
        loss_mask: bool,
    ) -> tuple[list[Range], list[int]]:
        """Where answers stand (none without `loss_mask`), and where the text is cut before it is encoded."""
        if not loss_mask and not self._is_cut:
            return [], []
        if _is_plain(messages):
            key = (tuple(message.role for message in messages), add_generation_prompt, enable_thinking, loss_mask)
            if key not in self._outlines:
                self._outlines[key] = self._outline(*key)
            outline = self._outlines[key]
            found = outline.find([message.content for message in messages], text) if outline else None
            if found is not None:
                return found
        cuts = self._cuts(messages, text, add_generation_prompt, enable_thinking) if self._is_cut else []
        return self._answers(messages, text, add_generation_prompt, enable_thinking) if loss_mask else [], cuts

    @functools.cached_property
    def _outlines(self) -> dict[tuple[tuple[Role, ...], bool, bool | None, bool], Outline | None]:
        return {}

    def _outline(
        self, roles: tuple[Role, ...], add_generation_prompt: bool, enable_thinking: bool | None, loss_mask: bool
    ) -> Outline | None:
        marks = [Message(role, mark(index)) for index, role in enumerate(roles)]
        try:
            text = self.text(marks, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking)
            answers = self._answers(marks, text, add_generation_prompt, enable_thinking) if loss_mask else []
            cuts = self._cuts(marks, text, add_generation_prompt, enable_thinking) if self._is_cut else []
        except ModelError:
            return None
        return outline_of(text, len(marks), answers, cuts)

    @functools.cached_property
    def _is_cut(self) -> bool:
        return self.name != "tokenizer" and self._melts

    def _cuts(
        self, messages: Sequence[Message], text: str, add_generation_prompt: bool, enable_thinking: bool | None
    ) -> list[int]:
        """Where answers begin; nothing where that cannot be told for sure."""
        answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
        contents = self.contents(
            messages,
            answers,
            text,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
        )
        return [start for start, _end in contents]

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

    def _answers(
        self, messages: Sequence[Message], text: str, add_generation_prompt: bool, enable_thinking: bool | None
    ) -> list[Range]:
        """Each answer with what ends it: the difference of the renderings before and after it.

        An earlier answer that is rendered otherwise once more follows (thinking models do, and end markers of the last
        answer alone) is what stands in its place now.
        """
        found: list[Range] = []
        contents: list[Range] | None = None
        indices = [index for index, message in enumerate(messages) if message.role == "assistant"]
        for number, index in enumerate(indices):
            before = self.text(messages[:index], enable_thinking=enable_thinking)
            after = self.text(messages[: index + 1], add_generation_prompt=False, enable_thinking=enable_thinking)
            if text.startswith(after.rstrip()) and after.startswith(before):
                found.append((len(before), len(after.rstrip())))  # the newline behind an end token is not the model's
                continue
            if contents is None:
                contents = self.contents(
                    messages,
                    indices,
                    text,
                    add_generation_prompt=add_generation_prompt,
                    enable_thinking=enable_thinking,
                )
            if not contents or index == len(messages) - 1:
                raise ModelError(
                    _("the chat template {name} does not begin message {index} with the prompt before it").format(
                        name=self.name, index=index + 1
                    ),
                    _("no loss mask can be told from it; choose a bundled template"),
                )
            start, end = contents[number]
            ended = self.answer_end and text.startswith(self.answer_end, end)
            found.append((start, end + len(self.answer_end) if ended else end))
        return found

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
        ids = self.tokenizer.encode(self.answer_end)
        return frozenset(i for i in ids[:1] if self.tokenizer.is_added(i))

    @functools.cached_property
    def answer_end(self) -> str:
        """What the template writes behind the last answer, white space aside."""
        try:
            text = self.text([Message("user", "?"), Message("assistant", _MARK)], add_generation_prompt=False)
        except ModelError:
            return ""
        return text.partition(_MARK)[2].strip()

    @functools.cached_property
    def closing_ids(self) -> tuple[int, ...]:
        """What training puts behind the last answer where the template writes nothing there: the end token."""
        return () if self.answer_end else tuple(sorted(self.tokenizer.eos_ids))

    def contents(
        self,
        messages: Sequence[Message],
        indices: Collection[int],
        text: str,
        *,
        add_generation_prompt: bool = False,
        enable_thinking: bool | None = None,
    ) -> list[Range]:
        """Where the texts of some messages stand in a rendering; nothing where that cannot be told for sure."""
        marked = [
            dataclasses.replace(message, content=_MARK + message.content + _MARK) if index in indices else message
            for index, message in enumerate(without_reasoning(messages))
        ]
        whole = self.text(marked, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking)
        parts = whole.split(_MARK)
        if "".join(parts) != text:
            return []
        places = list(itertools.accumulate(map(len, parts[:-1])))
        return list(zip(places[::2], places[1::2], strict=True))


def prepared(messages: Sequence[Message], default_system: str = "", source_prefix: str = "") -> list[Message]:
    """A conversation as a model is trained on it and asked: with a system prompt where it brings none, and the prefix
    directly in front of its first question. Training and chat both call this."""
    ready = list(messages)
    if default_system and not (ready and ready[0].role == "system"):
        ready.insert(0, Message("system", default_system))
    first = next((index for index, message in enumerate(ready) if message.role == "user"), None)
    if source_prefix and first is not None:
        ready[first] = dataclasses.replace(ready[first], content=source_prefix + ready[first].content)
    return ready


def _is_plain(messages: Sequence[Message]) -> bool:
    """Whether nothing in a conversation is known to change the rendering around it."""
    return all(
        message.content and "think>" not in message.content and message.content == message.content.strip()
        for message in messages
    )


def without_reasoning(messages: Sequence[Message]) -> list[Message]:
    """Answers before the last question lose their `<think>…</think>`."""
    last_question = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    return [
        dataclasses.replace(message, content=REASONING.sub("", message.content, count=1))
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
