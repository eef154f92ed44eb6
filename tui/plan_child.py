"""The plan of a training, found out by the engine in a process that is ended as soon as nobody wants its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from core.errors import RecordError, RunError
from core.i18n import _
from core.launch.local import ENVIRONMENT
from core.records import from_record
from core.runs.plan import PLAN_RECORDS, PlanRecord
from core.untrusted import inert
from core.workspace import Workspace

COMMAND = (sys.executable, "-P", "-m", "core.engine.plan")


def ask_engine(text: str, workspace: Workspace, *, dry: bool) -> Iterator[PlanRecord]:
    """`ask_plan` for who has no event loop."""
    asked = ask_plan(text, workspace, dry=dry)
    with asyncio.Runner() as runner:
        try:
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    yield runner.run(_next(asked))
        finally:
            runner.run(asked.aclose())


async def _next(asked: AsyncGenerator[PlanRecord]) -> PlanRecord:
    return await anext(asked)


async def ask_plan(text: str, workspace: Workspace, *, dry: bool) -> AsyncGenerator[PlanRecord]:
    """What the engine finds out, as it does; it is ended when the caller no longer listens.

    Args:
        text: a `config.yaml`.
        dry: also make one update with the longest batch, which loads the model.

    Raises:
        RunError: it ended without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="finetui-plan-") as folder:
        config, errors = Path(folder) / "config.yaml", Path(folder) / "errors.log"
        config.write_text(text, encoding="utf-8")
        with errors.open("wb") as stderr:
            child = await asyncio.create_subprocess_exec(
                *COMMAND,
                str(config),
                *(["--dry"] if dry else []),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **ENVIRONMENT, "FINETUI_WORKSPACE": str(workspace.root)},
                start_new_session=True,
                limit=1 << 24,
            )
        answered = False
        try:
            assert child.stdout is not None
            async for line in child.stdout:
                with contextlib.suppress(ValueError, RecordError):
                    record: PlanRecord = from_record(PLAN_RECORDS, json.loads(line))  # type: ignore[assignment]
                    answered = True
                    yield record
            if await child.wait() and not answered:
                told = errors.read_text(errors="replace").strip().splitlines()
                raise RunError(_("the engine ended without a plan"), inert("\n".join(told[-3:])))
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
