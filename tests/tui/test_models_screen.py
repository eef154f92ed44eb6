"""F6: models are listed, explained, chosen and removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList

from core.models.export import Difference, Exported
from core.workspace import Workspace
from folders import make_adapter, make_model
from hostile import FILE_NAMES
from models_app import shown, two_models
from tui import pulling as pulling_module
from tui.screens.models import ModelsScreen
from tui.widgets.dialogs import Confirm
from tui.widgets.model_rows import AdapterRow, ModelRow, PackagedRow, row_content
from tui.widgets.status_bar import StatusBar


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return two_models(tmp_path / "ws")


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
