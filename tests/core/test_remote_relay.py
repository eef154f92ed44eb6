"""The relay as the app knows it: a worker on a pipe that hands on what a server says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.chat.message import Message
from core.errors import WorkerError
from core.serve.client import WorkerClient
from core.serve.protocol import Finished, Loaded, Row, Sampling, Started, Text
from core.serve.remote_address import Server, relay_command
from served import ServedFake, Turn, free_port_base


@asynccontextmanager
async def relay(server: Server, folder: Path) -> AsyncIterator[tuple[WorkerClient, Loaded]]:
    client = await WorkerClient.start(log_path=folder / "log", command=relay_command(server))
    try:
        yield client, await client.load(server.name)
    finally:
        await client.close()


def row(text: str) -> Row:
    return Row((Message("user", text),))


async def answers(client: WorkerClient, *texts: str) -> tuple[list[str], list[Finished]]:
    """What each row was answered, and how it ended."""
    said, ends = [""] * len(texts), []
    async for reply in client.generate([row(text) for text in texts], Sampling(max_new_tokens=50)):
        match reply:
            case Text():
                said[reply.row] += reply.text
            case Finished():
                ends.append(reply)
            case Started():
                pass
    return said, sorted(ends, key=lambda end: end.row)


async def test_rows_are_answered_by_the_server(tmp_path: Path) -> None:
    with ServedFake(always=Turn(thinking="Hm.")) as fake:
        async with relay(Server(fake.api_base), tmp_path) as (client, loaded):
            assert (loaded.model, loaded.context_length, loaded.device) == (
                f"{fake.api_base}#echo",
                4096,
                fake.api_base.split("/")[2],
            )
            said, ends = await answers(client, "one", "two words")
            status = await client.status()
            rendered = await client.render([Message("user", "\x1bhé")])
            with pytest.raises(WorkerError, match="takes no adapter from here"):
                await client.load_adapter("sft", "runs/sft")
    assert said == ["<think>\nHm.\n</think>\n\nyou said: one", "<think>\nHm.\n</think>\n\nyou said: two words"]
    assert [(end.finish_reason, end.usage.prompt_tokens, end.usage.answer_tokens) for end in ends] == [
        ("stop", 1, 3),
        ("stop", 2, 4),
    ]
    assert ends[1].usage.context_left == 4096 - 2 - 4
    assert (status.state, status.model) == ("ready", f"{fake.api_base}#echo")
    assert rendered.text == '[\n  {\n    "role": "user",\n    "content": "\\u001bhé"\n  }\n]'
    assert rendered.tokens == ()
    assert rendered.warnings[0].startswith("the server makes the prompt")


async def test_a_stop_keeps_the_part_and_hangs_up(tmp_path: Path) -> None:
    with ServedFake(turns={"q": [Turn(thinking="Hm, well", text="", ends="silent")]}) as fake:
        async with relay(Server(fake.api_base), tmp_path) as (client, _loaded):
            said, end = "", None
            async for reply in client.generate([row("q")], Sampling()):
                if isinstance(reply, Text):
                    said += reply.text
                    if said == "<think>\nHm, well":
                        await client.stop()
                end = reply
            assert isinstance(end, Finished)
            assert (said, end.finish_reason, end.last) == ("<think>\nHm, well\n</think>\n\n", "stopped", True)
            assert (await answers(client, "again"))[0] == ["you said: again"]


async def test_what_goes_wrong_is_said_and_the_next_question_is_answered(tmp_path: Path) -> None:
    broken = {"bad": [Turn(status=400)], "torn": [Turn(text="a b c d", ends="mid_stream")]}
    with ServedFake(turns=broken) as fake:
        async with relay(Server(fake.api_base, retries=0), tmp_path) as (client, _loaded):
            with pytest.raises(WorkerError, match="status 400: the fake says 400"):
                await answers(client, "bad")
            with pytest.raises(WorkerError, match="broke the answer off"):
                await answers(client, "torn")
            assert (await answers(client, "fine"))[0] == ["you said: fine"]


@pytest.mark.parametrize(
    ("model", "said"), [("other", "has no model other"), ("", "cannot be reached")], ids=["wrong name", "nobody there"]
)
async def test_a_model_that_is_not_there_cannot_be_loaded(tmp_path: Path, model: str, said: str) -> None:
    with ServedFake() as fake:
        server = Server(fake.api_base if model else free_port_base(), model)
        with pytest.raises(WorkerError, match=said):
            async with relay(server, tmp_path):
                pass


async def test_the_key_is_in_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    with ServedFake(key="sk-secret-123") as fake:
        async with relay(Server(fake.api_base), tmp_path) as (client, _loaded):
            command = await asyncio.to_thread(Path(f"/proc/{client.pid}/cmdline").read_bytes)
            assert b"core.serve.relay" in command
            assert b"sk-secret" not in command
            modules = await asyncio.to_thread(imported, client.pid)
    assert not modules & {"torch", "numpy", "pydantic"}


def imported(pid: int) -> set[str]:
    """The packages whose compiled parts a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in ("torch", "numpy", "pydantic") if f"{os.sep}{name}" in maps}
