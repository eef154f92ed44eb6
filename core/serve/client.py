"""The app's end of the pipe: asks the chat worker and hands on what it answers.

Every request gets an `Exchange`, a queue that the replies with its id go to; a worker that dies, or that writes what
nobody understands, ends all of them with an error, so no caller can wait for ever. A worker that does not stop when
told is killed: the user's Esc has to work also while a kernel hangs.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

from core.chat.message import Message
from core.errors import FinetuiError, RecordError, UsageError, WorkerDied, WorkerError
from core.i18n import _
from core.jsonl import dump_line
from core.records import from_record, to_record
from core.serve.exchange import Exchange, closes, failure, garbled, misunderstood
from core.serve.process import WorkerProcess
from core.serve.protocol import (
    PROTOCOL_VERSION,
    REPLIES,
    AdapterLoaded,
    Done,
    Failed,
    Finished,
    Generate,
    Hello,
    Load,
    LoadAdapter,
    Loaded,
    PhaseChanged,
    Render,
    Rendered,
    Reply,
    Request,
    Row,
    Sampling,
    Started,
    Status,
    StatusReport,
    Stop,
    Text,
    Unload,
    UnloadAdapter,
)

R = TypeVar("R", Loaded, AdapterLoaded, Rendered, StatusReport, Done)

COMMAND_VARIABLE = "FINETUI_WORKER_COMMAND"
"""A JSON list in the environment that is started instead of the worker: for tests with a scripted one."""

# `-P` and PYTHONSAFEPATH: a folder named `core` where the user stands is never imported. The other two have to be set
# before torch is imported: OpenMP threads that spin while they wait cost 2–4× on a busy machine.
_ENVIRONMENT = {"PYTHONSAFEPATH": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
_HELLO_SECONDS = 30.0
_STOP_SECONDS = 2.0
_CLOSE_SECONDS = 1.0


class WorkerClient:
    """A chat worker and what can be asked of it. Made by `start`; usable from one event loop."""

    def __init__(self, log_path: Path, stop_grace: float, on_exit: Callable[[WorkerDied], None] | None) -> None:
        self._process = WorkerProcess(log_path, self._on_line, self._on_exit)
        self._exchanges: dict[int, Exchange] = {}
        self._ids = itertools.count(1)
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._stop_grace = stop_grace
        self._stopping: set[asyncio.Task[None]] = set()
        self.on_exit = on_exit
        """Called once when the worker ends without having been asked to by `close`."""

    @classmethod
    async def start(
        cls,
        *,
        log_path: Path,
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        on_exit: Callable[[WorkerDied], None] | None = None,
        hello_timeout: float = _HELLO_SECONDS,
        stop_grace: float = _STOP_SECONDS,
    ) -> WorkerClient:
        """Start a worker and wait for its first sign of life.

        Args:
            log_path: gets its standard error.
            command: what to start instead of the worker; else FINETUI_WORKER_COMMAND, a JSON list, is looked at.
            env: variables besides those of this process.
            stop_grace: seconds that a stopped answer has to end before the worker is killed.

        Raises:
            WorkerDied: it could not be started or ended before it said hello.
        """
        client = cls(log_path, stop_grace, None)
        try:
            await client._process.spawn(command or _worker_command(), {**_ENVIRONMENT, **(env or {})})
            await client._greet(hello_timeout)
        except BaseException:
            client._hello.cancel()
            client._process.signal(signal.SIGKILL)
            if client.pid:
                await client._process.wait(_CLOSE_SECONDS)
            raise
        client.on_exit = on_exit
        return client

    @property
    def alive(self) -> bool:
        return self._process.alive

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def generating(self) -> bool:
        """Whether an answer is under way or queued."""
        return any(isinstance(exchange.request, Generate) for exchange in self._exchanges.values())

    async def load(
        self,
        model: str,
        *,
        template: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        device: str = "auto",
        threads: int = 0,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
        on_phase: Callable[[PhaseChanged], None] | None = None,
    ) -> Loaded:
        """Load a base model in place of the one before; see `protocol.Load`."""
        request = Load(next(self._ids), model, template, dtype, device, threads, trust_remote_code, allow_pickle)
        return await self._ask(request, Loaded, on_phase)

    async def load_adapter(self, name: str, path: str | Path) -> AdapterLoaded:
        return await self._ask(LoadAdapter(next(self._ids), name, str(path)), AdapterLoaded)

    async def unload_adapter(self, name: str) -> None:
        await self._ask(UnloadAdapter(next(self._ids), name), Done)

    async def unload(self) -> None:
        await self._ask(Unload(next(self._ids)), Done)

    async def render(
        self,
        messages: Sequence[Message],
        *,
        model: str = "",
        template: str = "auto",
        add_generation_prompt: bool = True,
        enable_thinking: bool | None = None,
        max_new_tokens: int = 0,
        adapter: str | None = None,
    ) -> Rendered:
        """The exact prompt of these messages, with its tokens; works without weights."""
        request = Render(
            next(self._ids),
            tuple(messages),
            model,
            template,
            add_generation_prompt,
            enable_thinking,
            max_new_tokens,
            adapter,
        )
        return await self._ask(request, Rendered)

    async def status(self) -> StatusReport:
        return await self._ask(Status(next(self._ids)), StatusReport)

    async def generate(
        self, rows: Sequence[Row], sampling: Sampling, enable_thinking: bool | None = None
    ) -> AsyncGenerator[Started | Text | Finished, None]:
        """Stream the answers of all rows. Leaving the iterator early (or cancelling its task) stops the worker."""
        exchange = self._open(Generate(next(self._ids), tuple(rows), sampling, enable_thinking))
        try:
            async for reply in exchange.replies():
                if not isinstance(reply, Started | Text | Finished):
                    raise misunderstood(reply)
                yield reply
        finally:
            if not exchange.ended.is_set():
                task = asyncio.create_task(self._stop([exchange], self._stop_grace))
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)

    async def stop(self, grace: float | None = None) -> None:
        """End the answers under way and return when they have ended; what was generated of them is kept.

        A worker that has not obeyed after `grace` seconds is killed: `generate` then raises `WorkerDied`.
        """
        running = [exchange for exchange in self._exchanges.values() if isinstance(exchange.request, Generate)]
        await self._stop(running, self._stop_grace if grace is None else grace)

    async def wait(self) -> int | None:
        """Wait for the worker's end; its exit code, negative for a signal."""
        await self._process.wait()
        return self._process.exit_code

    async def close(self, grace: float = _CLOSE_SECONDS) -> None:
        """End the worker: its input ends, then it is asked, then killed. Safe to call again."""
        self.on_exit = None
        self._process.blame(_("the model's process was closed"))
        self._process.close_input()
        for ask in (signal.SIGTERM, signal.SIGKILL):
            if await self._process.wait(grace):
                break
            self._process.signal(ask)
        await self._process.wait(5)

    # ------------------------------------------------------------------------------------------------------------

    async def _greet(self, seconds: float) -> None:
        try:
            hello = await asyncio.wait_for(asyncio.shield(self._hello), seconds)
        except TimeoutError:
            self._process.kill(
                _("the model's process gave no sign of life within {seconds:g} s").format(seconds=seconds)
            )
            raise self._process.death() from None
        if hello.protocol != PROTOCOL_VERSION:
            raise WorkerError(
                _("the model's process speaks protocol {theirs}, this finetui {ours}").format(
                    theirs=hello.protocol, ours=PROTOCOL_VERSION
                ),
                _("close finetui everywhere and start it again: it was updated meanwhile"),
            )

    async def _ask(
        self, request: Request, expected: type[R], on_phase: Callable[[PhaseChanged], None] | None = None
    ) -> R:
        async for reply in self._open(request).replies():
            if isinstance(reply, expected):
                return reply
            if not isinstance(reply, PhaseChanged):
                raise misunderstood(reply)
            if on_phase is not None:
                on_phase(reply)
        raise AssertionError("an exchange ends in a closing reply or an error")

    def _open(self, request: Request) -> Exchange:
        if not self.alive:
            raise self._process.death()
        exchange = self._exchanges[request.id] = Exchange(request)
        self._send(request)
        return exchange

    def _send(self, request: Request) -> None:
        self._process.write(dump_line(to_record(request)))

    async def _stop(self, running: Sequence[Exchange], grace: float) -> None:
        for exchange in running:
            self._send(Stop(next(self._ids), exchange.request.id))
        try:
            async with asyncio.timeout(grace):
                for exchange in running:
                    await exchange.ended.wait()
        except TimeoutError:
            self._process.kill(
                _("the model's process did not stop within {seconds:g} s and was ended").format(seconds=grace)
            )
            await self._process.wait()

    def _on_line(self, line: bytes) -> None:
        try:
            reply = cast(Reply, from_record(REPLIES, json.loads(line)))
        except (ValueError, RecursionError, RecordError) as error:
            reason = str(error)
            if self.generating:  # nobody will listen to the rest
                self._send(Stop(next(self._ids)))
            self._fail_all(lambda: garbled(line, reason))
            return
        if isinstance(reply, Hello):
            if not self._hello.done():
                self._hello.set_result(reply)
        elif isinstance(reply, Failed) and reply.id == 0:
            self._fail_all(lambda: failure(reply))
        elif exchange := self._exchanges.get(reply.id):
            if closes(reply):
                del self._exchanges[reply.id]
            exchange.put(reply)

    def _on_exit(self) -> None:
        if not self._hello.done():
            self._hello.set_exception(self._process.death())
        self._fail_all(self._process.death)
        if self.on_exit is not None:
            self.on_exit(self._process.death())

    def _fail_all(self, error: Callable[[], FinetuiError]) -> None:
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.put(error())


def _worker_command() -> list[str]:
    text = os.environ.get(COMMAND_VARIABLE)
    if not text:
        return [sys.executable, "-P", "-m", "core.engine.serve"]
    try:
        command = json.loads(text)
    except ValueError:
        command = None
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise UsageError(
            _("{variable} is not a JSON list of texts: {text}").format(variable=COMMAND_VARIABLE, text=text),
            _("unset it, or give it the form {example}").format(example='["python", "worker.py"]'),
        )
    return command
