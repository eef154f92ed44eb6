"""Renew the pictures of the README: the real app with the real model, in a workspace that is thrown away.

    .venv/bin/python docs/make_pictures.py MODEL_FOLDER ADAPTER_FOLDER

The adapter of the pictures is the one of `tests/pty/train_adapter.py`. Needs rsvg-convert (Debian's librsvg2-bin) and
a font with Chinese characters (fonts-noto-cjk).
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from core.workspace import Workspace
from tui.app import FinetuiApp

HERE = Path(__file__).parent
SIZE = (120, 36)
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

    def picture(self, name: str) -> None:
        # Without this attribute the converter drops the spaces that a text begins with.
        svg = self.app.export_screenshot().replace("<text ", '<text xml:space="preserve" ')
        png = HERE / f"{name}.png"
        subprocess.run(["rsvg-convert", "--width", "1400", "--output", png], input=svg.encode(), check=True)
        print(png)


async def main(model: Path, adapter: Path) -> None:
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        shutil.copytree(model, workspace.models / "smollm2-135m-instruct")
        shutil.copytree(adapter, workspace.runs / "sailor-lora")
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


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
