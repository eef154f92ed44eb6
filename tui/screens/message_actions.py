"""What can be done with what was said: walk, branch, retry, edit, copy, rate, keep, export."""

from __future__ import annotations

import asyncio

from core.chat.export import SUFFIXES, append_to_dataset, export
from core.chat.session import Conversation, Turn
from core.errors import UsageError
from core.i18n import _
from core.models.info import typed_path
from core.untrusted import inert_line
from tui import clipboard
from tui.exchange import newest_question
from tui.judging import judge
from tui.screens.conversing import Conversing
from tui.widgets.column import KEPT_MARK, ColumnView


class MessageActions(Conversing):
    """The actions on messages, those under the cursor and the last ones."""

    editing: tuple[Turn, ...] = ()
    """Questions that the next message replaces, one for each column."""

    async def show(self, conversation: Conversation) -> None:
        self.editing = ()
        await super().show(conversation)

    # --- the cursor ---

    def action_cursor(self, step: int) -> None:
        """Go to the message above or below; from the input, to the last one."""
        transcript = self.view.transcript
        transcript.focus()
        transcript.move_cursor(step)

    def _at_cursor(self) -> Turn | None:
        turn = self.view.turn_at_cursor()
        if turn is None:
            self.notify(_("Go to a message first: ctrl+up."))
        return turn

    def action_branch(self, step: int) -> None:
        """Show the version of this message before or after the shown one."""
        turn = self._at_cursor()
        if turn is None or self.exchange is not None:
            return
        branches = self.conversation.branches(turn.id)
        index = [branch.id for branch in branches].index(turn.id) + step
        if not 0 <= index < len(branches):
            self.notify(_("This message has no other version there."))
            return
        self.conversation.activate(branches[index].id)
        self.view.rebuild()
        self.view.transcript.select(branches[index].id)
        self.tell_context()

    # --- again ---

    def action_retry(self) -> None:
        """Answer the last question again, in every column."""
        if self._idle():
            self._retry({view: self.conversation.line(view.column.index) for view in self.views})

    def action_retry_here(self) -> None:
        """Answer again from the message under the cursor on."""
        turn = self._at_cursor()
        if turn is not None and self._idle():
            line = self.conversation.line(turn.column)
            self._retry({self.view: line[: line.index(turn) + 1]})

    def _retry(self, lines: dict[ColumnView, tuple[Turn, ...]]) -> None:
        views = []
        for view, line in lines.items():
            questions = [turn for turn in line if turn.role == "user"]
            if questions:
                self.conversation.rewind(questions[-1].id, view.column.index)
                view.rebuild()
                views.append(view)
        if views:
            self.input.focus()
            self.answer(views)
            if self.options.greedy:
                self.notify(_("Temperature 0 gives the same answer again; /set temperature 0.7 draws others."))
        else:
            self.notify(_("There is no question to answer again."))

    def action_edit(self) -> None:
        """Change the last question."""
        questions = [turn for turn in self.conversation.line(self.view.column.index) if turn.role == "user"]
        if questions:
            self._edit(questions[-1])
        else:
            self.notify(_("There is no question to change."))

    def action_edit_here(self) -> None:
        """Change the question under the cursor, or the one that the answer under it belongs to."""
        turn = self._at_cursor()
        if turn is not None and turn.role == "assistant" and turn.parent:
            turn = self.conversation.turn(turn.parent)
        if turn is not None:
            self._edit(turn)

    def _edit(self, question: Turn) -> None:
        if not self._idle():
            return
        depth = self.conversation.line(question.column).index(question)
        lines = [self.conversation.line(view.column.index) for view in self.views]
        self.editing = tuple(line[depth] for line in lines if len(line) > depth and line[depth].role == "user")
        self.input.text = question.content
        self.input.focus()
        self.notify(_("enter asks it anew, as a branch; esc leaves it as it was"))

    def _idle(self) -> bool:
        if self.exchange is not None:
            self.notify(_("An answer is being written: esc stops it."), severity="warning")
        return self.exchange is None

    # --- copy ---

    async def action_copy(self, what: str = "") -> None:
        """Copy the last answer, its code, or all of the conversation."""
        match what or "answer":
            case "answer":
                answer = self.view.last_answer()
                await self.copy(answer.content if answer else "")
            case "code":
                answer = self.view.last_answer()
                await self.copy(self.view.code_of(answer) if answer else "")
            case "all":
                await self.copy(export(self.conversation, "markdown", self.view.column.index))
            case other:
                raise UsageError(_("cannot copy {what!r}").format(what=other), _("say answer, code or all"))

    async def action_copy_here(self) -> None:
        turn = self._at_cursor()
        if turn is not None:
            await self.copy(turn.content)

    async def action_copy_code(self) -> None:
        turn = self._at_cursor()
        if turn is not None:
            await self.copy(self.view.code_of(turn))

    async def copy(self, text: str) -> None:
        """Copy a text by the best way there is, and say which."""
        if text:
            await clipboard.copy(self.app, text, self.workspace.state)
        else:
            self.notify(_("There is nothing to copy."))

    # --- judge ---

    def action_rate(self, word: str) -> None:
        """Rate the last answer."""
        answer = self.view.last_answer()
        if answer is None:
            self.notify(_("There is no answer to rate."))
        else:
            self._rate(answer, word)

    def action_rate_here(self, word: str) -> None:
        turn = self._at_cursor()
        if turn is not None and turn.role == "assistant":
            again = self.conversation.rating(turn.id) == word
            self._rate(turn, "none" if again else word)

    def _rate(self, turn: Turn, word: str) -> None:
        match word:
            case "good" | "bad":
                self.conversation.rate(turn.id, word)
            case "none":
                self.conversation.rate(turn.id, None)
            case _other:
                raise UsageError(_("no rating {word!r}").format(word=word), _("say good, bad or none"))
        self.view.refresh_turn(turn)

    def action_keep(self, words: str) -> None:
        """Keep one column's answer as preferred over another's, or over all others'."""
        numbers = [int(word) for word in words.split() if word.isdigit()]
        if not numbers or len(numbers) != len(words.split()):
            raise UsageError(_("/keep needs the number of a column"), _("as in /keep 2, or /keep 2 1"))
        self._keep(numbers[0], numbers[1:])

    def action_keep_column(self, number: int) -> None:
        if self.comparing:
            self._keep(number, [])

    def _keep(self, number: int, over: list[int]) -> None:
        if self._idle():
            told = judge(self.conversation, self.workspace.data, number, over)
            for view in self.views:
                answer = view.last_answer()
                if answer is not None:
                    view.refresh_turn(answer)
                kept = answer is not None and self.conversation.rating(answer.id) == "good"
                view.tell(KEPT_MARK if kept else "")
            self.notify(told)

    # --- how it is shown ---

    def action_raw(self) -> None:
        """Plain text, or formatted again."""
        for view in self.views:
            view.transcript.raw = not view.transcript.raw

    def action_thinking(self) -> None:
        """Unfold or fold the thinking of the last answer."""
        answer = self.view.last_answer()
        if answer is not None:
            self.view.transcript.toggle_thinking(answer.id)

    def action_thinking_here(self) -> None:
        turn = self._at_cursor()
        if turn is not None:
            self.view.transcript.toggle_thinking(turn.id)

    # --- elsewhere ---

    def action_export(self, words: str = "") -> None:
        """Write the conversation to a file: `[FORMAT] [FILE]`."""
        if self.conversation.path is None:
            self.notify(_("There is nothing to export yet."))
            return
        kind, _space, name = words.partition(" ")
        text = export(self.conversation, kind or "markdown", self.view.column.index)
        path = typed_path(name.strip() or self.conversation.path.stem + _suffix(kind or "markdown")).absolute()
        try:
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(
                _("{path}: {reason}").format(path=path, reason=error.strerror),
                _("name another file: /export {format} FILE").format(format=kind or "markdown"),
            ) from error
        self.notify(_("written to {path}").format(path=inert_line(str(path))), markup=False)

    async def action_dataset(self, name: str) -> None:
        """Append the last exchange to a data set."""
        answer = self.view.last_answer()
        if answer is None:
            self.notify(_("There is no exchange to append."))
            return
        messages = self.conversation.messages(self.view.column.index)
        exchange = (*newest_question(messages[:-1]), messages[-1]) if self.single_turn else messages
        path = await asyncio.to_thread(append_to_dataset, self.workspace.data, name, exchange)
        self.notify(
            _("appended to the data set {name}: {path}").format(name=inert_line(name), path=inert_line(str(path))),
            markup=False,
        )


def _suffix(kind: str) -> str:
    return next(suffix for name, suffix in SUFFIXES.items() if name == kind)
