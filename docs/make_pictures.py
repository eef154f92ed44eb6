"""Renew the pictures of the README: the real app with the real model, in a workspace that is thrown away.

    .venv/bin/python docs/make_pictures.py MODEL_FOLDER ADAPTER_FOLDER RUN_FOLDER RUN_FOLDER EVALUATION_FOLDER
    .venv/bin/python docs/make_pictures.py --persona WORKSPACE

The adapter of the pictures is the one of `tests/pty/train_adapter.py`; the runs are two trainings that are laid over
one another (`finetui train --preset quick_lora --val_size 12 --eval_steps 4`, once with another rank). The evaluation
is of a training on telecom_train_400, at two of its steps, and their base (`finetui eval RUN RUN@50 --include_base
--dataset telecom_test_100`). The second line makes those of docs/persona_rlhf.md, in a copy of a workspace in which
`finetui pipeline examples/persona_rlhf.yaml` has ended. Needs rsvg-convert (Debian's librsvg2-bin) and a font with
Chinese characters (fonts-noto-cjk).
"""

from __future__ import annotations

import asyncio
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.cells import cell_len
from textual.pilot import Pilot

from core.workspace import init_workspace
from tui.app import FinetuiApp

HERE = Path(__file__).parent
SIZE = (120, 36)
_TEXT = re.compile(
    r'(?P<head><text [^>]*?)x="(?P<x>[\d.]+)"(?P<middle>[^>]*?)textLength="(?P<length>[\d.]+)"(?P<tail>[^>]*)>'
    r"(?P<text>[^<]*)</text>"
)
_WORD = re.compile(r"[!-~]+|[^\s\x00-\x7f]")
QUESTIONS = ("苏汐是谁？", "请问，这里可以避雨吗？", "你喜欢喝什么？")
EARLIER = ("法国的首都是哪里？", "Name three colors as a list.", "Tell me a short story about a dragon.")


class Scene:
    """The app, driven as a user would."""

    def __init__(self, app: FinetuiApp) -> None:
        self.app = app

    async def until_idle(self) -> None:
        """Wait for the model and for the end of the answer."""
        while True:
            await asyncio.sleep(0.2)
            chat = self.app.chat
            if chat and chat.exchange is None and chat.driver.loaded(chat.conversation.columns[0].model):
                return

    async def send(self, text: str) -> None:
        assert self.app.chat is not None
        self.app.chat.input.text = text
        self.app.chat.input.submit()
        await asyncio.sleep(0.2)
        await self.until_idle()

    async def keys(self, pilot: Pilot[None], *names: str) -> None:
        for name in names:
            await pilot.press(name)
            await asyncio.sleep(0.5)
        await pilot.pause()

    async def choose_run(self, pilot: Pilot[None], name: str) -> None:
        """Go to a run of the Train screen's list."""
        await asyncio.sleep(3)  # runs are looked for
        await self.keys(pilot, "home")
        while (current := getattr(self.app.screen, "current", None)) is not None and current.name != name:
            await self.keys(pilot, "down")
        await asyncio.sleep(2)

    def picture(self, name: str) -> None:
        # Without this attribute the converter drops the spaces that a text begins with.
        svg = _word_by_word(self.app.export_screenshot().replace("<text ", '<text xml:space="preserve" '))
        png = HERE / f"{name}.png"
        subprocess.run(["rsvg-convert", "--width", "1400", "--output", png], input=svg.encode(), check=True)
        print(png)


def _word_by_word(svg: str) -> str:
    """Set every word in its own cell, wide characters and braille one by one.

    The converter knows no textLength, and takes what the terminal's font lacks from fonts of other widths.
    """

    def apart(found: re.Match[str]) -> str:
        text = html.unescape(found["text"])
        x, step = float(found["x"]), float(found["length"]) / len(text)
        return "".join(
            f'{found["head"]}x="{x + step * cell_len(text[: word.start()]):.1f}"{found["middle"]}{found["tail"]}>'
            f"{html.escape(word[0])}</text>"
            for word in _WORD.finditer(text)
        )

    return _TEXT.sub(apart, svg)


async def main(model: Path, adapter: Path, *runs: Path) -> None:
    with TemporaryDirectory() as folder:
        workspace, _made = init_workspace(Path(folder))
        shutil.copytree(model, workspace.models / "smollm2-135m-instruct")
        shutil.copytree(adapter, workspace.runs / "sailor-lora")
        for run in runs:
            shutil.copytree(run, workspace.runs / run.name)
        app = FinetuiApp(workspace)
        async with app.run_test(size=SIZE) as pilot:
            scene = Scene(app)
            await scene.until_idle()
            for question in EARLIER:
                await scene.send(question)
                await scene.send("/new")
            await scene.send("What is the capital of France?")
            await scene.send("Write a Python function that adds two numbers.")
            await pilot.pause()
            scene.picture("chat")
            await scene.send("/compare base sailor-lora")
            await scene.send("What is the capital of France?")
            await scene.send("What is the largest ocean?")
            await pilot.press("alt+2")
            await pilot.pause()
            scene.picture("compare")
            await training(scene, pilot)
            await evaluation(scene, pilot)


async def training(scene: Scene, pilot: Pilot[None]) -> None:
    """The Train screen with two runs, the form with its plan, and a data set as tokens."""
    await scene.keys(pilot, "f3", "space", "down", "space")
    scene.picture("train")
    await scene.keys(pilot, "n", "enter")
    await asyncio.sleep(8)  # the plan is made by a process of its own
    scene.picture("train_form")
    await scene.keys(pilot, "escape", "f5", *["down"] * 6, "enter", "3")
    await asyncio.sleep(2)
    scene.picture("data")


async def evaluation(scene: Scene, pilot: Pilot[None]) -> None:
    """The Evaluate screen, a report with its worst rows, and the comparison of all three, row by row."""
    await scene.keys(pilot, "escape", "f4")
    await asyncio.sleep(2)
    scene.picture("evaluate")
    await scene.keys(pilot, "enter")
    await asyncio.sleep(2)
    scene.picture("report")
    await scene.keys(pilot, "escape", "space", "space", "space", "c")
    await asyncio.sleep(3)
    await scene.keys(pilot, "2", "i")
    scene.picture("comparison")


async def persona(made: Path) -> None:
    """Of the persona example: the policy's curves, and base, SFT and PPO asked the same questions."""
    with TemporaryDirectory() as folder:
        workspace, _made = init_workspace(Path(folder))
        shutil.copytree(made / "models", workspace.models, dirs_exist_ok=True)
        for run in sorted((made / "runs").glob("persona*"), key=lambda path: (path / "launch.json").stat().st_mtime):
            shutil.copytree(run, workspace.runs / run.name)
        app = FinetuiApp(workspace)
        async with app.run_test(size=SIZE) as pilot:
            scene = Scene(app)
            await scene.until_idle()
            await scene.keys(pilot, "f3")
            await scene.choose_run(pilot, "persona-ppo")
            scene.picture("persona_ppo")
            await scene.keys(pilot, "f2")
            await scene.send("/set temperature 0")
            await scene.send("/set max_new_tokens 48")
            await scene.send("/single")
            await scene.send("/compare base persona-sft persona-ppo")
            for question in QUESTIONS:
                await scene.send(question)
            scene.picture("persona_chat")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--persona"]:
        asyncio.run(persona(Path(sys.argv[2])))
    else:
        asyncio.run(main(*map(Path, sys.argv[1:])))
