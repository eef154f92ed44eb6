"""The app's first moments: what is pressed before everything is there happens as soon as it is."""

from __future__ import annotations

from pathlib import Path

from core.workspace import Workspace
from tui.app import FinetuiApp


async def test_a_screen_that_is_asked_for_at_the_first_frame_comes_behind_the_chat(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    app = FinetuiApp(Workspace(tmp_path))
    async with app.run_test() as pilot:
        assert app.chat is None
        app.action_mode("data")
        for _turn in range(400):
            await pilot.pause(0.01)
            if type(app.screen).__name__ == "DataScreen":
                break
        assert [type(screen).__name__ for screen in app.screen_stack[1:]] == ["ChatScreen", "DataScreen"]
        app.action_mode("chat")
        assert app.screen is app.chat
