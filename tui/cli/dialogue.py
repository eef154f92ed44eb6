"""`finetui chat` with a person: reads a line, streams an answer, again.

Nothing that happens to an answer ends the conversation: ctrl+c stops it, an error is told, a dead worker is started
again for the next question. Only `stop`, `exit` and ctrl+d leave.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
import sys
from collections.abc import Sequence

from core.chat.message import Message
from core.chat.records import Column
from core.config.generation import GenerationOptions
from core.config.load import Settings
from core.errors import FinetuiError, SessionError, did_you_mean
from core.i18n import _
from core.serve.remote_address import shown_name
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.answering import Answer, Answerer
from tui.cli.chat import ChatOptions
from tui.cli.console import BOLD, DIM, InertStream, ctrl_c, print_error, styled
from tui.cli.history import History, open_kept
from tui.cli.told import FORGOTTEN, LEAVING, adapter_line, banner, finish_mark, gone_line, use_time

_COMMAND = re.compile(r"/[a-z]+(\s|$)")  # but not a question about /etc/hosts
_MODES = {"1": False, "single": False, "2": True, "multi": True, "": True}


def hold(settings: Settings) -> int:
    """Hold a conversation until its person leaves.

    Raises:
        FinetuiError: it cannot begin: no model, or one that cannot be loaded.
    """
    with contextlib.suppress(ImportError):  # not every Python has it; then lines have no history
        importlib.import_module("readline")
    chat, workspace = settings[ChatOptions], find_workspace()
    with Answerer(settings, workspace) as answerer:
        column = Column(0, answerer.model, answerer.adapter, answerer.adapter or shown_name(answerer.model))
        kept = open_kept(workspace, chat.session, chat.save, column)
        multi = _asked_mode() if chat.mode is None and chat.session is None else chat.mode != "single"
        if multi is None:
            return 0
        history = History(settings[GenerationOptions].default_system, multi, kept)
        answerer.load()
        print(banner(answerer, history.system))
        Dialogue(answerer, history).run()
        if history.kept_at:
            print(_("kept in {path}").format(path=inert_line(str(history.kept_at))))
    return 0


def _asked_mode() -> bool | None:
    """Whether turns belong together; None when the person left instead."""
    while (typed := _read(_("Single turn (1) or multi turn (2)? [2] "))) is not None:
        if typed.strip().lower() in _MODES:
            return _MODES[typed.strip().lower()]
        if typed.strip() in LEAVING:
            break
        print(_("type 1 or 2"))
    return None


def _read(prompt: str) -> str | None:
    """A line; None at the end of the input. Ctrl+c only throws away what was typed."""
    while True:
        try:
            with ctrl_c(signal.default_int_handler):
                return input(_invisible(styled(prompt, BOLD, sys.stdout), prompt))
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print("\n" + _("(stop, exit or ctrl+d ends the conversation)"))


def _invisible(text: str, plain: str) -> str:
    """Tell readline which parts of a prompt take no room; else it wraps long lines in the wrong place."""
    if text == plain or "readline" not in sys.modules:
        return text
    before, after = text.split(plain)
    return f"\x01{before}\x02{plain}\x01{after}\x02"


class Dialogue:
    """The loop of question and answer."""

    def __init__(self, answerer: Answerer, history: History) -> None:
        self.answerer, self.history = answerer, history

    def run(self) -> None:
        """Until the person leaves."""
        # Between an answer and the next prompt a ctrl+c that came too late to stop anything must not end the program.
        with ctrl_c(signal.SIG_IGN):
            self._converse()

    def _converse(self) -> None:
        while (typed := _read(_("\nUser: "))) is not None:
            question = typed.strip()
            word = question.removeprefix("/")
            if word in LEAVING:
                return
            if word == FORGOTTEN:
                self.history.clear()
                print(_("History has been removed."))
            elif _COMMAND.match(question):
                self._command(question)
            elif question:
                self._turn(question)

    def _turn(self, question: str) -> None:
        stream = InertStream()
        try:
            asked = self.history.ask(question)
            with ctrl_c(signal.default_int_handler):
                self.answerer.load()
            print(styled(_("Assistant: "), BOLD, sys.stdout), end="", flush=True)
            answer = self.answerer.answer(asked, lambda text: print(stream.feed(text), end="", flush=True))
        except FinetuiError as error:
            self.history.drop()
            print(stream.end())
            print_error(error)
        else:
            print(stream.end())
            self._take(asked, answer)

    def _take(self, asked: Sequence[Message], answer: Answer) -> None:
        gone = self.history.newly_gone(asked, answer)
        for line in filter(None, (gone_line(gone), finish_mark(answer), use_time(answer))):
            print(styled(line, DIM, sys.stdout))
        try:
            self.history.take(answer, self.answerer.model, self.answerer.adapter)
        except SessionError as error:
            print_error(error)

    def _command(self, typed: str) -> None:
        word, _blank, name = typed.partition(" ")
        name = name.strip()
        if word == "/base" or (word == "/adapter" and name in self.answerer.adapters):
            self.answerer.adapter = name or None
            print(adapter_line(self.answerer))
        elif word == "/adapter":
            known = list(self.answerer.adapters)
            hint = did_you_mean(name, known) or _("loaded: {names}").format(names=", ".join(known) or _("none"))
            print(inert_line(_("no adapter {name!r} is loaded; {hint}").format(name=name, hint=hint)))
        else:
            print(_("no such command; /adapter NAME and /base choose who answers"))
