"""Who answers, and how: models, adapters, compare mode, single or multi turn, parameters, the system prompt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual import on, work
from textual.css.query import NoMatches

from core.chat.message import Message
from core.chat.session import Column, Conversation
from core.errors import ModelNotFound, UsageError, did_you_mean
from core.i18n import _
from core.models.adapters import resolve_adapter
from core.models.catalog import ModelInfo, list_models, resolve_model
from core.serve.remembered import asked_server, known_server, remember_server, remembered_servers
from core.serve.remote_address import CONNECT_SECONDS, Server, is_served, parse_name
from core.workspace import load_state
from tui.messages import ComparisonChosen, ModelChosen
from tui.screens.message_actions import MessageActions
from tui.screens.picker import MOST_COLUMNS, Choice, Picker

if TYPE_CHECKING:
    from tui.widgets.settings_panel import SettingsPanel


class Speakers(MessageActions):
    """The actions that decide who answers the next question, and how."""

    known_models: Sequence[ModelInfo] = ()
    """The models that there were when one last looked."""

    served: Sequence[str] = ()
    """The models of servers that this workspace has asked before."""

    async def models(self) -> list[ModelInfo]:
        """The models that there are now."""
        self.known_models = models = await asyncio.to_thread(list_models, self.workspace)
        self.served = tuple(name for name, server in remembered_servers(self.workspace).items() if server.model)
        return models

    def start_with(self, models: list[ModelInfo]) -> None:
        """Take the model of the last time, or the first there is, and load it."""
        last = load_state(self.workspace).get("speaker")
        last = last if isinstance(last, dict) else {}
        if last.get("model") in self.served or not models:
            self.use(Choice(last["model"] if last.get("model") in self.served else self.served[-1]))
            return
        usable = [model for model in models if not model.problems] or models
        model = next((model for model in usable if model.name == last.get("model")), usable[0])
        known = [adapter.name for adapter in model.adapters]
        self.use(Choice(model.name, last["adapter"] if last.get("adapter") in known else None))

    async def action_model(self, name: str = "") -> None:
        """Choose who answers: the one named, else by a picker."""
        if is_served(name):
            self._use_served(asked_server(name, self.workspace))
        elif name:
            self.use(self._named(name, await self.models()))
        else:
            self._pick_one()

    @work(exclusive=True, group="choice")
    async def _pick_one(self) -> None:
        column = self.conversation.columns[0]
        marked = [Choice(column.model, column.adapter)]
        chosen = await self.app.push_screen_wait(Picker(await self.models(), marked, served=self.served))
        if chosen:
            self.use(chosen[0])

    @work(exclusive=True, group="choice")
    async def _use_served(self, server: Server) -> None:
        """Have a model of a server answer; which one is asked where it has several and none is named."""
        from core.serve.remote import resolved, served_models  # http.client: 29 ms, not before somebody asks a server

        server = replace(server, timeout=CONNECT_SECONDS)
        if server.model:
            await asyncio.to_thread(resolved, server)  # a wrong name or address is told, and not remembered
        else:
            found = await asyncio.to_thread(served_models, server)
            choices = [Choice(replace(server, model=model.name).name) for model in found]
            chosen = choices if len(choices) == 1 else await self._pick_served(choices)
            if not chosen:
                return
            server = replace(server, model=parse_name(chosen[0].model).model)
        remember_server(self.workspace, server)
        self.use(Choice(server.name))

    async def _pick_served(self, choices: list[Choice]) -> list[Choice] | None:
        return await self.app.push_screen_wait(Picker([], served=[choice.model for choice in choices]))

    async def action_adapter(self, name: str) -> None:
        models = await self.models()
        found = self._named_adapter(name, models)
        if found is None:
            resolve_adapter(name, self.workspace)  # says what is near, and where adapters are looked for
        else:
            self.use(found)

    def action_base(self) -> None:
        self.use(Choice(self.conversation.columns[0].model))

    @on(ModelChosen)
    def _model_chosen(self, event: ModelChosen) -> None:
        self.use(Choice(event.model, event.adapter))

    @on(ComparisonChosen)
    def _comparison_chosen(self, event: ComparisonChosen) -> None:
        chosen = [Choice(model, adapter) for model, adapter in event.speakers]
        if event.asked:
            self._ask_again(chosen, event.asked)
        else:
            self.compare(chosen)

    def _ask_again(self, chosen: list[Choice], asked: Sequence[Message]) -> None:
        """Begin a conversation in which all of this was said already but the last question, which stands in the input,
        ready to be sent."""
        *before, question = asked
        draft, self.input.text = self.input.text, question.content
        columns = [Column(index, one.model, one.adapter, "") for index, one in enumerate(chosen[:MOST_COLUMNS])]
        if self.single_turn and any(message.role == "user" for message in before):
            self._set_turns(single=False)
        self.run_worker(self._show_asked(columns, before, draft))

    async def _show_asked(self, columns: list[Column], before: Sequence[Message], draft: str) -> None:
        system = "".join(message.content for message in before if message.role == "system")
        conversation = self.store.create(system=system, columns=columns)
        for column in columns:
            for message in before:
                if message.role != "system":
                    conversation.append(message.role, message.content, column=column.index)
        await self.show(conversation)
        if draft.strip():
            self.input.remember(draft)  # up brings it back
        self.load(columns)
        self.input.focus()

    def _named(self, name: str, models: list[ModelInfo]) -> Choice:
        """Who is meant: `base`, an adapter's name or folder, a model's name or folder, the address of a served one."""
        if name == "base":
            return Choice(self.conversation.columns[0].model)
        if is_served(name):
            return Choice(known_server(name, self.workspace).name)
        if adapter := self._named_adapter(name, models):
            return adapter
        try:
            return Choice(resolve_model(name, self.workspace).name)
        except ModelNotFound as error:
            known = [adapter.name for model in models for adapter in model.adapters]
            raise ModelNotFound(error.message, did_you_mean(name, known) or error.hint) from error

    def _named_adapter(self, name: str, models: list[ModelInfo]) -> Choice | None:
        """The adapter of a name or a folder: this model's, else another's."""
        current = self.conversation.columns[0].model
        for model in sorted(models, key=lambda model: model.name != current):
            if name in (adapter.name for adapter in model.adapters):
                return Choice(model.name, name)
        with contextlib.suppress(ModelNotFound):
            return Choice(current, resolve_adapter(name, self.workspace).name)
        return None

    def use(self, choice: Choice) -> None:
        """Have this one answer from now on. In compare mode: alone."""
        if self.exchange is not None:
            self.notify(_("An answer is being written: esc stops it."), severity="warning")
            return
        self.remember(speaker={"model": choice.model, "adapter": choice.adapter})
        column = Column(0, choice.model, choice.adapter, "")
        if self.comparing:
            self.run_worker(self._show_with([column]))
            return
        self.conversation.set_columns([column])
        view = self.views[0]
        view.column = column
        view.tell("")
        self.tell_speaker()
        self.load([column])

    async def _show_with(self, columns: list[Column]) -> None:
        await self.show(self.store.create(system=self.conversation.system, columns=columns))
        self.load(columns)
        self.input.focus()

    # --- compare ---

    async def action_compare(self, names: str = "") -> None:
        """Ask several at once: those named, one alone beside who answers now; without names a picker, or one again."""
        if names:
            self._compare_named(names.replace(",", " ").split(), await self.models())
        elif self.comparing:
            first = self.conversation.columns[0]
            self.use(Choice(first.model, first.adapter))
            self.notify(_("A new conversation with the first column; the comparison stays in the list."))
        else:
            self._pick_several()

    @work(exclusive=True, group="choice")
    async def _pick_several(self) -> None:
        column = self.conversation.columns[0]
        marked = [Choice(column.model, column.adapter)]
        chosen = await self.app.push_screen_wait(Picker(await self.models(), marked, many=True, served=self.served))
        if chosen:
            self.compare(chosen)

    def _compare_named(self, names: list[str], models: list[ModelInfo]) -> None:
        chosen = [self._named(name, models) for name in names]
        if len(chosen) == 1:
            column = self.conversation.columns[0]
            chosen.insert(0, Choice(column.model, column.adapter))
        if len(chosen) > MOST_COLUMNS:
            raise UsageError(
                _("{n} to compare are too many").format(n=len(chosen)),
                _("up to {n} answer side by side").format(n=MOST_COLUMNS),
            )
        self.compare(chosen)

    def compare(self, chosen: list[Choice]) -> None:
        """Start a comparison. The last question stands in the input, ready to be asked again."""
        questions = [turn for turn in self.conversation.line(0) if turn.role == "user"]
        columns = [Column(index, one.model, one.adapter, "") for index, one in enumerate(chosen[:MOST_COLUMNS])]
        if questions and not self.input.text:
            self.input.text = questions[-1].content
        self.run_worker(self._show_with(columns))

    # --- how ---

    def action_single(self) -> None:
        self._set_turns(single=True)

    def action_multi(self) -> None:
        self._set_turns(single=False)

    def action_turns(self) -> None:
        self._set_turns(single=not self.single_turn)

    def _set_turns(self, *, single: bool) -> None:
        self.single_turn = single
        self.remember(single_turn=single)
        self.tell_speaker()
        self.notify(
            _("single turn: each question is sent alone") if single else _("multi turn: the whole conversation is sent")
        )

    def action_system(self, text: str = "") -> None:
        """Set the system prompt of this conversation."""
        self.conversation.set_system(text)
        self._renew_settings()
        self.notify(_("System prompt set.") if text else _("System prompt removed."))

    def action_set(self, words: str) -> None:
        """Set one parameter: `temperature 0.2` or `temperature=0.2`."""
        name, _space, text = words.replace("=", " ", 1).partition(" ")
        if not text.strip():
            raise UsageError(_("/set needs a name and a value"), _("as in /set temperature 0.2"))
        from tui.parameters import with_change

        self.use_options(with_change(self.options, name.replace("-", "_"), text.strip()))
        self._renew_settings()
        self.notify(_("{name} is {value}").format(name=name, value=text.strip()), markup=False)

    async def show(self, conversation: Conversation) -> None:
        await super().show(conversation)
        self._renew_settings()

    def _renew_settings(self) -> None:
        """Show in the settings, where they are open, what was changed elsewhere."""
        for panel in self.query("SettingsPanel"):
            cast("SettingsPanel", panel).tell(self.options, self.conversation.system)

    async def action_settings(self) -> None:
        """Show the settings and go there; again: put them away."""
        # pydantic, 80 ms: not before the first frame
        from tui.widgets.settings_panel import SettingsPanel

        with contextlib.suppress(NoMatches):
            await self.query_one(SettingsPanel).remove()
            self.input.focus()
            return
        panel = SettingsPanel(self.options, self.conversation.system)
        await self.query_one("#body").mount(panel)
        panel.focus_first()

    def on_settings_panel_changed(self, event: SettingsPanel.Changed) -> None:
        self.use_options(event.options)

    def on_settings_panel_system_changed(self, event: SettingsPanel.SystemChanged) -> None:
        self.conversation.set_system(event.text)

    def on_settings_panel_left(self) -> None:
        self.input.focus()
