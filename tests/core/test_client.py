"""The app's end of the pipe, against a scripted worker: every answer arrives, and no caller waits for ever."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from core.chat.message import Message
from core.errors import PromptTooLong, UsageError, WorkerDied, WorkerError
from core.serve.client import COMMAND_VARIABLE, WorkerClient
from core.serve.protocol import Finished, PhaseChanged, Row, Sampling, Started, Text
from fakes import fake_worker_command
from hostile import CORPUS

Start: TypeAlias = Callable[..., Awaitable[WorkerClient]]

QUESTION = (Message("user", "What is the capital of France?"),)
LONG = " ".join(f"word{i}" for i in range(500))


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a client of a fake worker that behaves as said; all are closed at the end."""
    clients: list[WorkerClient] = []

    async def start_fake(*, stop_grace: float = 5, hello_timeout: float = 20, **behaviour: Any) -> WorkerClient:
        client = await WorkerClient.start(
            log_path=tmp_path / "logs" / "worker.log",
            command=fake_worker_command(**behaviour),
            stop_grace=stop_grace,
            hello_timeout=hello_timeout,
        )
        clients.append(client)
        return client

    yield start_fake
    for client in clients:
        await client.close()
        assert not client.alive


async def answer(client: WorkerClient, *rows: Row, **sampling: Any) -> list[Started | Text | Finished]:
    asked = client.generate(rows or (Row(QUESTION),), Sampling(**sampling))
    return [reply async for reply in asked]


async def read_all(
    replies: AsyncIterator[Started | Text | Finished], seen: list[Started | Text | Finished] | None = None
) -> None:
    async for reply in replies:
        if seen is not None:
            seen.append(reply)


def text_of(replies: list[Started | Text | Finished], row: int = 0) -> str:
    return "".join(reply.text for reply in replies if isinstance(reply, Text) and reply.row == row)


def gone(pid: int) -> bool:
    """Whether the process is no more; a zombie would still be there."""
    return not Path(f"/proc/{pid}").exists()


async def test_a_model_is_loaded_with_its_phases(start: Start) -> None:
    client = await start(context_length=4096, warnings=["slow disk"])
    phases: list[PhaseChanged] = []
    loaded = await client.load("models/m", dtype="bfloat16", threads=3, on_phase=phases.append)
    assert [phase.phase for phase in phases] == ["importing", "reading", "loading", "ready"]
    assert (loaded.model, loaded.dtype, loaded.threads) == ("models/m", "bfloat16", 3)
    assert (loaded.context_length, loaded.warnings) == (4096, ("slow disk",))
    adapter = await client.load_adapter("tuned", Path("runs/tuned"))
    assert (adapter.name, adapter.method) == ("tuned", "lora")
    status = await client.status()
    assert (status.state, status.model, status.adapters) == ("ready", "models/m", ("tuned",))
    await client.unload_adapter("tuned")
    await client.unload()
    assert (await client.status()).state == "empty"


async def test_an_answer_streams_and_ends_with_what_it_took(start: Start) -> None:
    client = await start(answers=["The capital of France is Paris."])
    await client.load("m")
    first, *parts, last = await answer(client)
    assert first == Started(first.id, 0, 7, 0)
    assert text_of(parts) == "The capital of France is Paris."
    assert isinstance(last, Finished)
    assert (last.finish_reason, last.usage.answer_tokens, last.last) == ("stop", 6, True)
    assert not client.generating


async def test_rows_are_answered_in_one_stream(start: Start) -> None:
    client = await start(answers=["base answer"], adapter_answers={"tuned": ["tuned answer, longer"]})
    replies = await answer(client, Row(QUESTION), Row(QUESTION, "tuned"))
    assert (text_of(replies, 0), text_of(replies, 1)) == ("base answer", "tuned answer, longer")
    assert [(reply.row, reply.last) for reply in replies if isinstance(reply, Finished)] == [(0, False), (1, True)]


async def test_requests_at_the_same_time_get_their_own_replies(start: Start) -> None:
    client = await start(answers=["one", "two"], pace=0.001)
    first, second, status, rendered = await asyncio.gather(
        answer(client), answer(client), client.status(), client.render(QUESTION)
    )
    assert (text_of(first), text_of(second)) == ("one", "two")
    assert status.state in ("empty", "generating")
    assert rendered.text == "<|user|>What is the capital of France?<|assistant|>"


@pytest.mark.parametrize("name", ["long_line", "surrogates", "clipboard", "separators", "c0"])
async def test_hostile_text_arrives_as_it_is(start: Start, name: str) -> None:
    client = await start(answers=["{question}"])
    assert text_of(await answer(client, Row((Message("user", CORPUS[name]),)))) == CORPUS[name]


async def test_stop_ends_the_answer_and_keeps_the_part(start: Start) -> None:
    client = await start(answers=[LONG], pace=0.005)
    replies: list[Started | Text | Finished] = []
    async for reply in client.generate([Row(QUESTION)], Sampling()):
        replies.append(reply)
        if len(replies) == 4:
            assert client.generating
            await client.stop()
            assert not client.generating
    last = replies[-1]
    assert isinstance(last, Finished)
    assert (last.finish_reason, last.usage.answer_tokens) == ("stopped", len(replies) - 2)
    assert LONG.startswith(text_of(replies))
    assert text_of(await answer(client, max_new_tokens=2)) == "word0 word1"


async def test_stop_with_nothing_under_way_is_no_error(start: Start) -> None:
    client = await start()
    await client.stop()
    assert text_of(await answer(client)) != ""


async def test_a_worker_that_does_not_stop_is_killed(start: Start) -> None:
    client = await start(answers=[LONG], pace=0.005, ignore_stop=True, stop_grace=0.05)
    replies = client.generate([Row(QUESTION)], Sampling())
    await anext(replies)
    await client.stop()
    assert not client.alive
    with pytest.raises(WorkerDied, match=r"did not stop within 0\.05 s"):
        await read_all(replies)
    assert gone(client.pid)


async def test_leaving_the_stream_stops_the_worker(start: Start) -> None:
    client = await start(answers=[LONG, "short"], pace=0.005)
    async with aclosing(client.generate([Row(QUESTION)], Sampling())) as replies:
        async for reply in replies:
            if isinstance(reply, Text):
                break
    assert text_of(await answer(client)) == "short"


async def test_a_cancelled_reader_stops_the_worker_at_once(start: Start) -> None:
    client = await start(answers=[LONG, "short"], pace=0.005)
    begun = asyncio.Event()

    async def read() -> None:
        async for _reply in client.generate([Row(QUESTION)], Sampling()):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert text_of(await answer(client)) == "short"


async def test_leaving_a_worker_that_does_not_stop_kills_it(start: Start) -> None:
    client = await start(answers=[LONG], pace=0.005, ignore_stop=True, stop_grace=0.05)
    async with aclosing(client.generate([Row(QUESTION)], Sampling())) as replies:
        await anext(replies)
    assert await client.wait() == -9


@pytest.mark.parametrize("place", ["import", "load"])
async def test_a_crash_while_loading_is_told(start: Start, place: str) -> None:
    client = await start(crash_at=place, stderr="Traceback: no such kernel \x1b[31m\n")
    with pytest.raises(WorkerDied) as raised:
        await client.load("m")
    assert raised.value.message == "the model's process was killed by signal 9: most likely out of memory"
    assert raised.value.hint == "Traceback: no such kernel ␛[31m"
    assert not client.alive


@pytest.mark.parametrize("place", ["prefill", "decode"])
async def test_a_crash_while_answering_reaches_every_caller(start: Start, place: str) -> None:
    client = await start(crash_at=place, crash_by=3)
    dead: list[WorkerDied] = []
    client.on_exit = dead.append
    results = await asyncio.gather(answer(client), answer(client), client.render(QUESTION), return_exceptions=True)
    assert [str(result) for result in results] == ["the model's process ended by itself with exit code 3"] * 3
    assert len(dead) == 1
    with pytest.raises(WorkerDied, match="exit code 3"):
        await client.status()
    await client.stop()


async def test_what_came_before_a_crash_is_kept(start: Start) -> None:
    client = await start(answers=["a b c d"], crash_at="decode", crash_by=-11)
    seen: list[Started | Text | Finished] = []
    with pytest.raises(WorkerDied, match=r"signal 11 \(SIGSEGV\)"):
        await read_all(client.generate([Row(QUESTION)], Sampling()), seen)
    assert text_of(seen) == "a b c"


async def test_only_this_workers_part_of_the_log_is_told(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    log.write_text("yesterday\n")
    client = await start(crash_at="load", stderr="".join(f"line {i}\n" for i in range(2000)))
    with pytest.raises(WorkerDied) as raised:
        await client.load("m")
    assert raised.value.hint.splitlines() == [f"line {i}" for i in range(1988, 2000)]
    assert log.read_text().startswith("yesterday\nline 0\n")


async def test_a_log_that_has_grown_long_begins_anew(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    log.write_text("yesterday\n" * 20)
    monkeypatch.setattr("core.serve.process._LONGEST_LOG", 100)
    await start(stderr="today\n")
    assert log.read_text() == "today\n"


async def test_a_failure_is_an_error_of_its_kind_and_the_worker_lives(start: Start) -> None:
    client = await start(fail={"decode": ["out_of_memory", "the device is full", "ask for fewer tokens"]})
    with pytest.raises(WorkerError, match="the device is full") as raised:
        await answer(client)
    assert (raised.value.kind, raised.value.hint) == ("out_of_memory", "ask for fewer tokens")
    assert client.alive
    assert (await client.render(QUESTION)).template == "tokenizer"


async def test_a_message_that_cannot_fit_is_an_error_of_its_own(start: Start) -> None:
    client = await start(context_length=5)
    with pytest.raises(PromptTooLong, match="it has 7 tokens, the model takes 5"):
        await answer(client)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Loading checkpoint shards \x1b[2K", "no reply: Loading checkpoint shards ␛[2K"),
        ('{"type":"text","id":2,"row":"0","text":"x"}', "row: expected a whole number"),
        ('{"type":"telepathy","id":2}', "unknown type 'telepathy'"),
        ("[" * 100_000, "no reply: "),
        ('{"type":"done","id":"1"}', "id: expected a whole number"),
    ],
)
async def test_a_line_that_is_no_reply_is_told(start: Start, line: str, told: str) -> None:
    client = await start(garbage={"decode": [line]})
    with pytest.raises(WorkerError) as raised:
        await answer(client)
    assert told in str(raised.value)
    assert raised.value.kind == "internal"
    assert "\x1b" not in str(raised.value)
    assert (await client.render(QUESTION)).template == "tokenizer"


async def test_an_answer_with_garbage_in_it_is_stopped(start: Start) -> None:
    client = await start(answers=[LONG, "short"], pace=0.05, garbage={"decode": ["?"]})
    with pytest.raises(WorkerError, match="a line that is no reply"):
        await answer(client)
    assert text_of(await answer(client)) == "short"


async def test_a_line_without_an_end_is_not_collected_for_ever(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.serve.process.LONGEST_LINE", 100_000)
    client = await start(garbage={"decode": ["x" * 1_000_000]})
    with pytest.raises(WorkerDied, match="wrote a line without an end"):
        await answer(client)


async def test_a_reply_to_another_question_is_told(start: Start) -> None:
    client = await start(garbage={"decode": ['{"type":"done","id":1}']})
    with pytest.raises(WorkerError, match="not asked for"):
        await answer(client)


async def test_no_sign_of_life(start: Start) -> None:
    with pytest.raises(WorkerDied, match=r"no sign of life within 0\.05 s"):
        await start(hello=False, hello_timeout=0.05)


@pytest.mark.parametrize(("code", "told"), [(7, "exit code 7"), (-15, "signal 15")])
async def test_an_end_before_the_hello(start: Start, code: int, told: str) -> None:
    with pytest.raises(WorkerDied, match=told):
        await start(crash_at="hello", crash_by=code)


async def test_another_protocol_is_refused(start: Start) -> None:
    with pytest.raises(WorkerError, match="speaks protocol 99, this finetui 1"):
        await start(protocol=99)


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match=r"could not be started: .*no-such-program"):
        await WorkerClient.start(log_path=tmp_path / "log", command=[str(tmp_path / "no-such-program")])


async def test_close_leaves_no_process_and_may_be_called_again(start: Start) -> None:
    client = await start(answers=[LONG], pace=0.005)
    dead: list[WorkerDied] = []
    client.on_exit = dead.append
    replies = client.generate([Row(QUESTION)], Sampling())
    await anext(replies)
    await asyncio.gather(client.close(), client.close())
    await client.close()
    with pytest.raises(WorkerDied, match="the model's process was closed"):
        await read_all(replies)
    assert (gone(client.pid), dead) == (True, [])


async def test_close_kills_a_worker_that_will_not_go(start: Start) -> None:
    client = await start(ignore_end=True)
    await client.close(grace=0.05)
    assert await client.wait() == -9
    assert gone(client.pid)


async def test_a_grandchild_that_holds_the_pipe_delays_nothing(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys\n"
        'print(\'{"type":"hello","pid":1}\', flush=True)\n'
        "subprocess.Popen(['sleep', '60'])\n"
        "sys.stdin.readline(); os._exit(5)\n"
    )
    client = await WorkerClient.start(log_path=tmp_path / "log", command=[sys.executable, "-c", program])
    with pytest.raises(WorkerDied, match="exit code 5"):
        await client.status()
    os.killpg(client.pid, signal.SIGKILL)


async def test_the_environment_names_another_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, json.dumps(fake_worker_command(answers=["from the environment"])))
    client = await WorkerClient.start(log_path=tmp_path / "log")
    assert text_of(await answer(client)) == "from the environment"
    await client.close()
    monkeypatch.setenv(COMMAND_VARIABLE, "python worker.py")
    with pytest.raises(UsageError, match="FINETUI_WORKER_COMMAND is not a JSON list"):
        await WorkerClient.start(log_path=tmp_path / "log")


async def test_the_worker_gets_a_safe_environment_and_a_session_of_its_own(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        'print(\'{"type":"hello","pid":1}\', flush=True)\n'
        "names = ('PYTHONSAFEPATH', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'MINE')\n"
        "print(*map(os.environ.get, names), os.getsid(0) == os.getpid(), file=sys.stderr, flush=True)\n"
        "sys.stdin.read()\n"
    )
    log = tmp_path / "log"
    client = await WorkerClient.start(log_path=log, command=[sys.executable, "-c", program], env={"MINE": "yes"})
    await client.close()
    assert log.read_text() == "1 PASSIVE 0 yes True\n"
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.fixture(autouse=True)
def _nothing_left_to_collect() -> Iterator[None]:
    """A transport that was not closed complains when it is collected; here, not in somebody else's test."""
    yield
    gc.collect()
