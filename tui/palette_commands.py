"""The command palette: every action but those on a message under the cursor.

One that needs something typed after it gets its slash command put into the input, to be completed there.
"""

from __future__ import annotations

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.action_tables.action import Action
from tui.actions import ACTIONS, key_name
from tui.widgets.prompt_input import PromptInput


class Actions(Provider):
    """Offers the actions of the table."""

    def _offered(self) -> list[Action]:
        scopes = ("app", "chat") if self._input else ("app", *getattr(self.screen, "SCOPES", ()))
        return [action for action in ACTIONS if action.scope in scopes]

    @property
    def _input(self) -> PromptInput | None:
        """The chat's input, when the palette opened over the chat."""
        return next(iter(self.screen.query(PromptInput)), None)

    def _run(self, action: Action) -> None:
        if self._input is not None and (action.completed or action.needs_argument()):
            self._input.text = f"/{action.slash} "
            self._input.focus()
            return
        self.app.call_later(self.app.run_action, action.name, self.app if action.scope == "app" else self.screen)

    async def discover(self) -> Hits:
        for action in self._offered():
            yield DiscoveryHit(_shown(action), partial(self._run, action), help=action.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._offered():
            score = matcher.match(f"{action.label} {action.help}")
            if score > 0:
                yield Hit(score, matcher.highlight(_shown(action)), partial(self._run, action), help=action.help)


def _shown(action: Action) -> str:
    key = key_name(action.keys) if action.keys else f"/{action.slash}" if action.slash else ""
    return f"{action.label}  {key}".rstrip()
