"""What a model is shown of a conversation, and what is kept of it.

In single mode each question stands alone; in multi mode what was said before belongs to it. A kept conversation gets
every line when it is said: the question before its answer, so that a kill loses an answer at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.chat.message import Message
from core.chat.records import Column, Turn
from core.chat.session import Conversation
from core.chat.store import SessionStore
from core.errors import SessionError
from core.i18n import _
from core.models.info import is_file, typed_path
from core.workspace import Workspace
from tui.cli.answering import Answer


class History:
    """The turns so far.

    Args:
        system: the system prompt; empty for none. A kept conversation's own is used when this is empty.
        multi: whether questions belong together.
        kept: where to write, and what was said before.
    """

    def __init__(self, system: str, multi: bool, kept: Conversation | None = None) -> None:
        self.multi = multi
        self._kept = kept
        if kept is not None and system:
            kept.set_system(system)
        self.system = system or (kept.system if kept else "")
        self._past = [message for message in kept.messages() if message.role != "system"] if kept else []
        self._question = ""
        self._asked: Turn | None = None
        self._told_gone = 0

    @property
    def kept_at(self) -> Path | None:
        """The file of a conversation that is kept and in which something was said."""
        return self._kept.path if self._kept else None

    def ask(self, question: str) -> tuple[Message, ...]:
        """What to put before the model; `take` or `drop` has to follow."""
        self._question, self._asked = question, None
        if self._kept is not None:
            if not self.multi:
                self._kept.rewind(None)
            self._asked = self._kept.append("user", question)
        system = (Message("system", self.system),) if self.system else ()
        return (*system, *(self._past if self.multi else ()), Message("user", question))

    def take(self, answer: Answer, model: str, adapter: str | None) -> None:
        """The answer belongs to the conversation from now on; one without a word does not."""
        if not answer.content:
            self.drop()
            return
        self._past += [Message("user", self._question), Message("assistant", answer.content)]
        if self._kept is not None:
            self._kept.append(
                "assistant",
                answer.content,
                model=model,
                adapter=adapter or "",
                finish_reason=answer.finish_reason,
                usage=answer.usage,
            )

    def drop(self) -> None:
        """There was no answer: the next question takes this one's place."""
        if self._kept is not None and self._asked is not None:
            self._kept.rewind(self._asked.parent)

    def clear(self) -> None:
        """Forget what was said; a kept conversation keeps it as a branch."""
        self._past, self._told_gone = [], 0
        if self._kept is not None:
            self._kept.rewind(None)

    def newly_gone(self, asked: Sequence[Message], answer: Answer) -> list[str]:
        """The questions that no longer fitted into the context and of which that was not yet told."""
        gone = [
            message.content for index, message in enumerate(asked) if index in answer.dropped and message.role == "user"
        ]
        new, self._told_gone = gone[self._told_gone :], max(self._told_gone, len(gone))
        return new


def open_kept(workspace: Workspace, session: str | None, save: bool, column: Column) -> Conversation | None:
    """The conversation to write to: the one that is named, a new one, or none.

    Raises:
        SessionError: there is no such conversation, or it cannot be read.
    """
    if session is None and not save:
        return None
    store = SessionStore(workspace.sessions)
    if session is None:
        return store.create(columns=(column,))
    path = store.last() if session == "last" else _existing(workspace, session)
    if path is None:
        raise SessionError(
            _("there is no conversation to go on with"), _("--save keeps one in {path}").format(path=store.folder)
        )
    return store.open(path)


def _existing(workspace: Workspace, name: str) -> Path:
    """A file as it was named, else one of that name among the sessions, for whose reader it is to complain."""
    path = typed_path(name)
    return path if is_file(path) else workspace.sessions / f"{path.stem}.jsonl"
