"""A model to talk to from Python: a light handle over a worker's process, local or served.

    from core import Message, ModelSpec, load_model

    with load_model(ModelSpec("default", adapter="runs/zh-lora")) as model:
        for text in model.chat([Message("user", "你好")], max_new_tokens=64):
            print(text, end="")

Nothing heavy is imported here. The worker is spoken to from an event loop in a thread of its own, so that this works
in a notebook too, whose own loop runs already. A handle is for one question at a time; its worker ends with the
`with`, with `close`, or with the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

from core.chat.message import Message, Usage
from core.errors import FinetuiError, UsageError, did_you_mean
from core.i18n import _
from core.models.adapters import check_adapter, resolve_adapter
from core.models.catalog import resolve_model
from core.serve.client import WorkerClient
from core.serve.protocol import Finished, FinishReason, Loaded, Row, Sampling, Started, Text
from core.serve.remote_address import KEY_VARIABLE, is_served, parse_name, relay_command
from core.workspace import Workspace, find_workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model to load, and how."""

    model: str = "default"
    """A folder, a name as `finetui models list` has them, or a served model: `http://host:8000/v1#NAME`."""
    adapter: str | None = None
    """A run, a checkpoint, or a folder."""
    template: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    threads: int = 0
    """0: the free physical cores."""
    trust_remote_code: bool = False
    allow_pickle: bool = False
    key_variable: str = KEY_VARIABLE
    """With a served model: the environment variable that holds its key."""


def load_model(spec: ModelSpec | str, workspace: Workspace | None = None) -> ChatModel:
    """Start a worker and load a model.

    Args:
        spec: which one; a text is the model's name.
        workspace: where names are looked up; else as for the commands.

    Raises:
        ModelNotFound: there is no such model.
        AdapterMismatch: the adapter belongs to another.
        WorkerError: it could not be loaded.
    """
    spec = ModelSpec(spec) if isinstance(spec, str) else spec
    model = ChatModel(spec, workspace or find_workspace())
    try:
        model._load()
    except BaseException:
        model.close()
        raise
    return model


class ChatModel:
    """A loaded model. Made by `load_model`."""

    def __init__(self, spec: ModelSpec, workspace: Workspace) -> None:
        self.spec = spec
        self.workspace = workspace
        self.warnings: tuple[str, ...] = ()
        """What was to be said about the model and its adapter."""
        self.finish_reason: FinishReason | None = None
        """How the last answer ended; None while it is being written, or when it failed."""
        self.usage: Usage | None = None
        """What the last answer took."""
        self._loop = _LoopThread()
        self._client: WorkerClient | None = None

    def __enter__(self) -> ChatModel:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker. Safe to call again."""
        client, self._client = self._client, None
        if client is not None:
            self._loop.run(client.close())
        self._loop.close()

    def chat(self, messages: Sequence[Message], **generation: Any) -> Iterator[str]:
        """Answer the last message; yields the text as it comes. Leaving early stops the model.

        Args:
            messages: the conversation; its last message is the question.
            generation: fields of `Sampling` (temperature, max_new_tokens, seed, stop, …), and `enable_thinking`.

        Raises:
            UsageError: no such option, or the model was closed.
            PromptTooLong: the question does not fit into the context.
            WorkerError: no answer, or not all of it; what was yielded stays true.
        """
        thinking = generation.pop("enable_thinking", None)
        replies = self._open().generate([self._row(messages)], _sampling(generation), thinking)
        return self._texts(replies)

    def _texts(self, replies: AsyncGenerator[Started | Text | Finished, None]) -> Iterator[str]:
        self.finish_reason = self.usage = None
        try:
            while (reply := self._loop.run(_next(replies))) is not None:
                match reply:
                    case Text():
                        yield reply.text
                    case Finished():
                        self.finish_reason, self.usage = reply.finish_reason, reply.usage
        finally:
            with contextlib.suppress(FinetuiError):
                self._loop.run(self._end(replies))

    async def _end(self, replies: AsyncGenerator[Started | Text | Finished, None]) -> None:
        await replies.aclose()
        if self._client is not None and self._client.alive and self._client.generating:
            await self._client.stop()

    def _row(self, messages: Sequence[Message]) -> Row:
        return Row(tuple(messages), self.spec.adapter, "chat")

    def _open(self) -> WorkerClient:
        if self._client is None:
            raise UsageError(_("the model was closed"), _("load it again with load_model"))
        return self._client

    def _load(self) -> None:
        served = is_served(self.spec.model)
        if served and self.spec.adapter:
            what = _("a served model takes no adapter from here")
            raise UsageError(what, _("the server names its adapters as models of their own"))
        loaded = self._loop.run(self._load_served() if served else self._load_local())
        self.warnings += loaded.warnings

    async def _load_served(self) -> Loaded:
        server = parse_name(self.spec.model, self.spec.key_variable)
        self._client = await WorkerClient.start(log_path=self.workspace.worker_log(), command=relay_command(server))
        return await self._client.load(server.name)

    async def _load_local(self) -> Loaded:
        spec = self.spec
        model = resolve_model(spec.model, self.workspace)
        adapter = resolve_adapter(spec.adapter, self.workspace) if spec.adapter else None
        if adapter is not None:
            self.warnings += check_adapter(adapter, model)
        self._client = await WorkerClient.start(log_path=self.workspace.worker_log())
        loaded = await self._client.load(
            str(model.path),
            template=spec.template,
            dtype=spec.dtype,
            device=spec.device,
            threads=spec.threads,
            trust_remote_code=spec.trust_remote_code,
            allow_pickle=spec.allow_pickle,
        )
        if adapter is not None and spec.adapter is not None:
            self.warnings += (await self._client.load_adapter(spec.adapter, adapter.path)).warnings
        return loaded


class _LoopThread:
    """An event loop that coroutines can be handed to from outside."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result, or what it raises; ctrl+c gives it up."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _next(replies: AsyncGenerator[Started | Text | Finished, None]) -> Started | Text | Finished | None:
    return await anext(replies, None)


def _sampling(generation: dict[str, Any]) -> Sampling:
    known = [field.name for field in fields(Sampling)]
    for name in generation:
        if name not in known:
            hint = did_you_mean(name, known) or _("known: {names}").format(names=", ".join(known))
            raise UsageError(_("chat has no option {name}").format(name=name), hint)
    return replace(Sampling(), **generation)
