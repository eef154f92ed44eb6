"""`finetui chat` without a person: answers to a text, or to each line of one."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator

from core.chat.records import Column
from core.config.generation import GenerationOptions
from core.config.load import Settings
from core.errors import FinetuiError, PromptTooLong, UsageError, WorkerDied, WorkerError
from core.i18n import _
from core.serve.remote_address import shown_name
from core.workspace import find_workspace
from tui.cli.answering import Answer, Answerer
from tui.cli.chat import ChatOptions
from tui.cli.console import InertStream, note, print_error, print_json
from tui.cli.history import History, open_kept
from tui.cli.told import FORGOTTEN, LEAVING, finish_mark, gone_line, use_time

_INTERRUPTED = 130


def answer_all(settings: Settings) -> int:
    """Answer every question of the command line or the input.

    Returns:
        0; 2 when a question got no answer; 130 when ctrl+c ended it.

    Raises:
        FinetuiError: nothing can be answered: no question, no model, or its process died.
    """
    chat, workspace = settings[ChatOptions], find_workspace()
    with Answerer(settings, workspace) as answerer:
        column = Column(0, answerer.model, answerer.adapter, answerer.adapter or shown_name(answerer.model))
        kept = open_kept(workspace, chat.session, chat.save, column)
        multi = chat.mode == "multi" or (chat.mode is None and chat.session is not None)
        batch = _Batch(answerer, History(settings[GenerationOptions].default_system, multi, kept), chat.json_records)
        code = 0
        for question in _questions(chat):
            if multi and chat.lines and question in LEAVING:
                break
            if multi and chat.lines and question == FORGOTTEN:
                batch.history.clear()
                continue
            code = max(code, batch.answer(question))
            if code == _INTERRUPTED:
                break
    return code


def _questions(chat: ChatOptions) -> Iterator[str]:
    if chat.prompt is not None and not chat.lines:
        texts: Iterator[str] = iter([chat.prompt])
    elif chat.prompt is not None:
        texts = iter(chat.prompt.splitlines())
    elif chat.lines:
        texts = iter(sys.stdin)
    else:
        texts = iter([sys.stdin.read()])
    empty = True
    for text in texts:
        if question := text.strip():
            empty = False
            yield question
    if empty and not chat.lines:
        raise UsageError(
            _("there is no question"), _("give one with --prompt, through a pipe, or start it in a terminal")
        )


class _Batch:
    def __init__(self, answerer: Answerer, history: History, as_json: bool) -> None:
        self.answerer, self.history, self.as_json = answerer, history, as_json

    def answer(self, question: str) -> int:
        """Answer and print; the exit code that comes of it."""
        self.answerer.load()
        asked = self.history.ask(question)
        stream = InertStream()
        try:
            answer = self.answerer.answer(asked, (lambda _text: None) if self.as_json else _printer(stream))
        except (PromptTooLong, WorkerError) as error:
            self.history.drop()
            if isinstance(error, WorkerDied):
                raise
            self._tell_failure(question, error)
            return 2
        gone = self.history.newly_gone(asked, answer)
        if self.as_json:
            print_json(self._record(question, answer))
        else:
            print(stream.end(), flush=True)
            for line in filter(None, (gone_line(gone), finish_mark(answer), use_time(answer))):
                note(line)
        # Last: a file that takes nothing more must not cost the answer.
        self.history.take(answer, self.answerer.model, self.answerer.adapter)
        return _INTERRUPTED if answer.finish_reason == "stopped" else 0

    def _record(self, question: str, answer: Answer) -> dict[str, object]:
        speed = round(answer.usage.tokens_per_second, 2)
        return {
            "prompt": question,
            "content": answer.content,
            "finish_reason": answer.finish_reason,
            "usage": {**dataclasses.asdict(answer.usage), "tokens_per_second": speed},
            "model": self.answerer.model,
            "adapter": self.answerer.adapter,
            "seed": answer.seed,
            "dropped": answer.dropped,
        }

    def _tell_failure(self, question: str, error: FinetuiError) -> None:
        print_error(error)
        if self.as_json:
            print_json({"prompt": question, "error": error.message, "hint": error.hint})


def _printer(stream: InertStream) -> Callable[[str], None]:
    return lambda text: print(stream.feed(text), end="", flush=True)
