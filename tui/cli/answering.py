"""A loaded model that answers one conversation at a time, for commands that wait for it.

The worker is spoken to from an event loop that runs only while something is asked, so that `input()` may block between
questions. Ctrl+c during an answer asks the worker to stop and keeps the part; a second one ends the worker, which is
started again for the next question. Ctrl+c at any other time is Python's own KeyboardInterrupt.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from core.chat.message import FinishReason, Message, Usage
from core.config.generation import GenerationOptions
from core.config.load import Settings
from core.config.model import ModelOptions
from core.config.remote import RemoteOptions
from core.errors import AdapterMismatch, ConfigError, Problem, WorkspaceError
from core.i18n import _
from core.models.adapters import check_adapter, resolve_adapter
from core.models.catalog import resolve_model
from core.models.info import AdapterInfo
from core.serve.client import WorkerClient
from core.serve.protocol import AdapterLoaded, Finished, Loaded, PhaseChanged, Row, Sampling, Started, Text
from core.serve.remembered import remember_server
from core.serve.remote_address import CONNECT_SECONDS, Server, relay_command, server_of
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.cli.console import Progress, ctrl_c, note
from tui.parameters import sampling_of

_METHODS = {"lora": ("lora", "dora"), "p_tuning": ("prefix_tuning", "prefix", "p_tuning")}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question."""

    content: str
    finish_reason: FinishReason
    usage: Usage
    seed: int
    dropped: tuple[int, ...]
    """Indices of the messages that no longer fitted into the context."""


class Answerer:
    """A worker with the model and adapters of a command line. A context manager: the worker ends with it.

    Raises:
        FinetuiError: the model or an adapter is not there, or they do not fit.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        options = settings[ModelOptions]
        self._server = server_of(settings[RemoteOptions])
        self.adapters: dict[str, AdapterInfo] = {}
        for name in _idle(settings):
            note(_("warning: {name} changes nothing here").format(name=name))
        if self._server is not None:
            _check_served(settings)
            self._server = _with_model(self._server)
            self.model = self._model_path = self._server.name
        else:
            model = resolve_model(options.model_name_or_path, workspace)
            self.model, self._model_path = model.name, str(model.path)
            self.adapters = {name: resolve_adapter(name, workspace) for name in options.adapter_name_or_path}
            for adapter in self.adapters.values():
                _check_method(adapter, options.finetuning_type)
                for warning in check_adapter(adapter, model):
                    note(_("warning: {text}").format(text=inert_line(warning)))
        self.adapter: str | None = next(iter(self.adapters), None)
        """The one that answers; None is the base."""
        self._options, self._generation, self._workspace = options, settings[GenerationOptions], workspace
        self._runner = asyncio.Runner()
        self._client: WorkerClient | None = None
        self._loaded: Loaded | None = None

    def __enter__(self) -> Answerer:
        return self

    def __exit__(self, *_error: object) -> None:
        with self._runner:
            self._runner.run(self._close())

    def load(self) -> Loaded:
        """Start the worker and load everything, telling the phases on stderr; nothing to do while it lives."""
        if self._loaded is None or self._client is None or not self._client.alive:
            self._loaded = self._runner.run(self._load())
        return self._loaded

    def answer(self, messages: Sequence[Message], on_text: Callable[[str], None]) -> Answer:
        """Answer the last message, handing on the text as it comes.

        Raises:
            WorkerError: no answer, or not all of it; what `on_text` got stays true.
            PromptTooLong: the question does not fit into the context.
        """
        self.load()
        return self._runner.run(self._answer(Row(tuple(messages), self.adapter, "chat"), on_text))

    async def _load(self) -> Loaded:
        self._loaded = None
        await self._close()
        progress = Progress()
        progress.show(_("starting…"))
        ticking = asyncio.create_task(_tick(progress))
        try:
            loaded, adapters = await self._load_all(progress)
        finally:
            ticking.cancel()
            progress.clear()
        note(_("ready in {seconds:.1f} s").format(seconds=progress.seconds))
        for warning in (*loaded.warnings, *(warning for adapter in adapters for warning in adapter.warnings)):
            note(_("warning: {text}").format(text=inert_line(warning)))
        return loaded

    async def _load_all(self, progress: Progress) -> tuple[Loaded, list[AdapterLoaded]]:
        self._workspace.make_state_folder()
        command = relay_command(self._server) if self._server is not None else None
        self._client = client = await WorkerClient.start(log_path=self._workspace.worker_log(), command=command)
        options = self._options
        loaded = await client.load(
            self._model_path,
            template=options.template,
            dtype=options.dtype,
            device=options.device,
            threads=options.threads,
            trust_remote_code=options.trust_remote_code,
            allow_pickle=options.allow_pickle,
            on_phase=lambda change: _show_phase(progress, change),
        )
        if self._server is not None:
            with contextlib.suppress(WorkspaceError):  # from now on it can be chosen in the app too
                remember_server(self._workspace, self._server)
        return loaded, [await client.load_adapter(name, info.path) for name, info in self.adapters.items()]

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _answer(self, row: Row, on_text: Callable[[str], None]) -> Answer:
        assert self._client is not None, "load() comes first"
        sampling = sampling_for(self._generation)
        replies = self._client.generate([row], sampling, self._generation.enable_thinking)
        content: list[str] = []
        dropped: tuple[int, ...] = ()
        async with _ctrl_c_stops(self._client), contextlib.aclosing(replies):
            async for reply in replies:
                match reply:
                    case Started():
                        dropped = reply.dropped
                    case Text():
                        content.append(reply.text)
                        on_text(reply.text)
                    case Finished():
                        text = "".join(content)
                        return Answer(text, reply.finish_reason, reply.usage, sampling.seed, dropped)
        raise AssertionError("a row ends in Finished or in an error")


@contextlib.asynccontextmanager
async def _ctrl_c_stops(client: WorkerClient) -> AsyncIterator[None]:
    loop, stops = asyncio.get_running_loop(), list[asyncio.Task[None]]()

    def stop() -> None:
        stops.append(loop.create_task(client.stop(grace=0.0) if stops else client.stop()))

    with ctrl_c(lambda *_: loop.call_soon_threadsafe(stop)):
        try:
            yield
        finally:
            for task in stops:
                task.cancel()


def sampling_for(options: GenerationOptions) -> Sampling:
    """What a worker is told; seed 0 becomes a new one, so that it can be told and used again."""
    return replace(sampling_of(options), seed=options.seed or 1 + secrets.randbelow(2**32 - 1))


def _idle(settings: Settings) -> list[str]:
    """What is said of servers and does not count: anything without one, and here one question is asked at a time."""
    served = settings[RemoteOptions].api_base is not None
    names = ("api_concurrency",) if served else tuple(RemoteOptions.model_fields)
    return [name for name in names if settings.origins[name].source != "default"]


def _with_model(server: Server) -> Server:
    """The server with the name of its only model, where none was given."""
    if server.model:
        return server
    from core.serve.remote import resolved  # http.client: 29 ms, only where the server has to be asked first

    return resolved(replace(server, timeout=min(server.timeout, CONNECT_SECONDS)))[0]


def _check_served(settings: Settings) -> None:
    """Refuse what can only be said to a model that is loaded here."""
    hint = _("leave it out, or leave api_base out")
    problems = [
        Problem(origin.where or name, _("a served model cannot be asked for that"), hint)
        for name in ModelOptions.model_fields
        if (origin := settings.origins[name]).source != "default"
    ]
    if problems:
        raise ConfigError(problems)


def _check_method(adapter: AdapterInfo, said: str | None) -> None:
    if said is None or adapter.method in _METHODS.get(said, ()):
        return
    raise AdapterMismatch(
        _("--finetuning_type is {said}, but {adapter} was trained with {method}").format(
            said=said, adapter=inert_line(adapter.name), method=adapter.method or _("a method it does not name")
        ),
        _("leave --finetuning_type out: it is read from the adapter"),
    )


def _show_phase(progress: Progress, change: PhaseChanged) -> None:
    steps = {"importing": _("importing…"), "reading": _("reading…"), "loading": _("loading…")}
    if change.phase in steps:
        progress.show(steps[change.phase], f"{change.fraction:.0%}" if change.fraction is not None else "")


async def _tick(progress: Progress) -> None:
    while True:
        await asyncio.sleep(0.25)
        progress.tick()
