"""The models that answer: one worker process per base model, adapters by name inside it.

The driver starts workers, loads models and adapters when they are first needed, sends every column of a question to
the worker of its base model (one batch per worker), and merges the answers into one stream. It knows no widgets; the
screen and the tests listen through callbacks and an async iterator. A worker that died is forgotten, and the next
question starts a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from core.chat.message import Message
from core.errors import FinetuiError, WorkerDied
from core.i18n import _
from core.models.adapters import check_adapter, resolve_adapter
from core.models.catalog import resolve_model
from core.serve.client import WorkerClient
from core.serve.protocol import Finished, Loaded, PhaseChanged, Rendered, Row, Sampling, Started, Text
from core.serve.remembered import known_server
from core.serve.remote_address import is_served, relay_command
from core.workspace import Workspace

PhaseListener: TypeAlias = Callable[[str, PhaseChanged | None], None]
DeathListener: TypeAlias = Callable[[str, WorkerDied], None]
Reply: TypeAlias = Started | Text | Finished | FinetuiError

SERVED_RETRIES = 2
"""A person who waits would rather hear why."""
MAX_WORKERS = 4
"""Base models held at once: as many as compare mode has columns."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One column's part of a question."""

    column: int
    model: str
    adapter: str | None
    messages: tuple[Message, ...]
    cache_key: str


@dataclass(slots=True)
class Engine:
    """A loaded base model in its worker."""

    model: str
    client: WorkerClient
    loaded: Loaded
    adapters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The loaded ones, with what is to be said about them."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What is said to a worker when it loads a model."""

    template: str = "auto"
    threads: int = 0


class ChatDriver:
    """Owns the chat workers of one app.

    Args:
        workspace: where models, adapters and logs are.
        on_phase: told of each step of a loading model, and None when that is over, however it ended.
        on_death: told of a worker that ended without being asked to.
        options: said to every worker that loads a model.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        on_phase: PhaseListener,
        on_death: DeathListener,
        options: LoadOptions | None = None,
    ) -> None:
        self.workspace = workspace
        self.options = options or LoadOptions()
        self._on_phase = on_phase
        self._on_death = on_death
        self._engines: dict[str, asyncio.Task[Engine]] = {}
        self._asked: list[Engine] = []
        self._preparing: set[asyncio.Task[None]] = set()
        """Parts of a question that wait for their model."""

    def loaded(self, model: str) -> Engine | None:
        """The engine of a model that is ready to answer now."""
        task = self._engines.get(model)
        if task is None or not task.done() or task.cancelled() or task.exception():
            return None
        engine = task.result()
        return engine if engine.client.alive else None

    def loading(self, model: str) -> bool:
        """Whether the model is on its way."""
        task = self._engines.get(model)
        return task is not None and not task.done()

    async def engine(self, model: str) -> Engine:
        """The engine of a model; starts and loads it when it is not there.

        Callers who want the same model at the same time wait for the same start.

        Raises:
            ModelNotFound: no such model.
            WorkerError: it could not be loaded.
        """
        task = self._engines.get(model)
        if task is None or (task.done() and not self.loaded(model)):
            task = asyncio.create_task(self._start(model))
        self._engines.pop(model, None)
        self._engines[model] = task  # the last used stands last
        return await asyncio.shield(task)

    async def _make_room(self) -> None:
        while len(self._engines) > MAX_WORKERS:
            await self.forget(next(iter(self._engines)))

    async def _start(self, model: str) -> Engine:
        try:
            await self._make_room()
            return await self._load(model)
        finally:
            self._on_phase(model, None)

    async def _load(self, model: str) -> Engine:
        path, command = await asyncio.to_thread(self._answerer, model)
        client = await WorkerClient.start(
            log_path=self.workspace.worker_log(),
            command=command,
            on_exit=lambda death: self._on_death(model, death),
        )
        try:
            loaded = await client.load(
                path,
                template=self.options.template,
                threads=self.options.threads,
                on_phase=lambda phase: self._on_phase(model, phase),
            )
        except BaseException:
            await client.close()
            raise
        return Engine(model, client, loaded)

    def _answerer(self, model: str) -> tuple[str, list[str] | None]:
        """What a worker is to load, and its command where it is not the usual one."""
        if not is_served(model):
            return str(resolve_model(model, self.workspace).path), None
        server = replace(known_server(model, self.workspace), retries=SERVED_RETRIES)
        return model, relay_command(server)

    async def adapter(self, engine: Engine, name: str) -> tuple[str, ...]:
        """Put an adapter beside its base, once; returns what is to be said about it.

        Raises:
            AdapterMismatch: it belongs to another base.
        """
        if name not in engine.adapters:
            path, warnings = await asyncio.to_thread(self._checked_adapter, engine.model, name)
            loaded = await engine.client.load_adapter(name, path)
            engine.adapters[name] = (*warnings, *loaded.warnings)
        return engine.adapters[name]

    def _checked_adapter(self, model: str, name: str) -> tuple[Path, tuple[str, ...]]:
        adapter = resolve_adapter(name, self.workspace)
        return adapter.path, check_adapter(adapter, resolve_model(model, self.workspace))

    async def answer(
        self, asks: Sequence[Ask], sampling: Sampling, enable_thinking: bool | None = None
    ) -> AsyncIterator[tuple[int, Reply]]:
        """Answer every column; yields (column, reply) as they come, an error being a column's last reply."""
        queue: asyncio.Queue[tuple[int, Reply] | None] = asyncio.Queue()
        groups = [[ask for ask in asks if ask.model == model] for model in dict.fromkeys(ask.model for ask in asks)]
        tasks = [asyncio.create_task(self._answer_group(group, sampling, enable_thinking, queue)) for group in groups]
        try:
            running = len(tasks)
            while running:
                item = await queue.get()
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._preparing.difference_update(tasks)

    async def _answer_group(
        self,
        asks: Sequence[Ask],
        sampling: Sampling,
        enable_thinking: bool | None,
        queue: asyncio.Queue[tuple[int, Reply] | None],
    ) -> None:
        unfinished = {ask.column for ask in asks}
        try:
            asks = await self._prepared(asks, unfinished, queue)
            async with aclosing(self._replies(asks, sampling, enable_thinking)) as replies:
                async for column, reply in replies:
                    if isinstance(reply, Finished):
                        unfinished.discard(column)
                    queue.put_nowait((column, reply))
        except FinetuiError as error:
            for column in sorted(unfinished):
                queue.put_nowait((column, error))
        finally:
            queue.put_nowait(None)

    async def _prepared(
        self, asks: Sequence[Ask], unfinished: set[int], queue: asyncio.Queue[tuple[int, Reply] | None]
    ) -> list[Ask]:
        """The asks that can be answered, model and adapters loaded; the others have their error in the queue."""
        task = asyncio.current_task()
        assert task is not None
        self._preparing.add(task)
        ready = []
        try:
            engine = await self.engine(asks[0].model)
            for ask in asks:
                try:
                    if ask.adapter is not None:
                        await self.adapter(engine, ask.adapter)
                    ready.append(ask)
                except WorkerDied:
                    raise
                except FinetuiError as error:  # an adapter that does not fit silences its own column only
                    unfinished.discard(ask.column)
                    queue.put_nowait((ask.column, error))
        except asyncio.CancelledError:  # by `stop`, or nobody listens any more
            for column in sorted(unfinished):
                queue.put_nowait((column, FinetuiError(_("stopped before the answer began"))))
            return []
        finally:
            self._preparing.discard(task)
        return ready

    async def _replies(
        self, asks: Sequence[Ask], sampling: Sampling, enable_thinking: bool | None
    ) -> AsyncGenerator[tuple[int, Started | Text | Finished], None]:
        if not asks:
            return
        engine = await self.engine(asks[0].model)
        rows = [Row(ask.messages, ask.adapter, ask.cache_key) for ask in asks]
        self._asked.append(engine)
        try:
            async with aclosing(engine.client.generate(rows, sampling, enable_thinking)) as replies:
                async for reply in replies:
                    yield asks[reply.row].column, reply
        finally:
            self._asked.remove(engine)

    async def stop(self) -> None:
        """End the answers that are being written; their parts are kept. Those still waiting for a model never begin."""
        for task in self._preparing:
            task.cancel()
        await asyncio.gather(*(engine.client.stop() for engine in self._asked))

    async def render(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool,
        enable_thinking: bool | None,
        max_new_tokens: int,
        adapter: str | None = None,
    ) -> Rendered:
        """The exact prompt of a request, by the model's own tokenizer, cut to the context as the request is."""
        engine = await self.engine(model)
        if adapter is not None:
            await self.adapter(engine, adapter)  # it may bring a template, a system prompt and a prefix of its own
        return await engine.client.render(
            messages,
            template=self.options.template,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
            max_new_tokens=max_new_tokens,
            adapter=adapter,
        )

    async def forget(self, model: str) -> None:
        """End a model's worker and give its memory back."""
        task = self._engines.pop(model, None)
        if task is None:
            return
        if not task.done():
            task.cancel()
        try:
            engine = await task
        except (asyncio.CancelledError, FinetuiError):
            return
        await engine.client.close()

    async def close(self) -> None:
        """End every worker."""
        await asyncio.gather(*(self.forget(model) for model in list(self._engines)))
