"""The command palette: every action that needs nothing typed after it."""

from __future__ import annotations

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.actions import ACTIONS, Action, key_name


class Actions(Provider):
    """Offers the actions of the table."""

    def _offered(self) -> list[Action]:
        return [action for action in ACTIONS if action.scope != "message" and not action.needs_argument()]

    def _run(self, action: Action) -> None:
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
