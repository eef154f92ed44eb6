"""What crosses the pipe between an app and its chat worker: JSON lines, one message a line.

The client writes *requests* to the worker's standard input; each has an `id` of the client's choice (1, 2, …). The
worker writes *replies* to its standard output; each carries the `id` of the request it belongs to, or 0 for those
that belong to none. Every request ends in exactly one closing reply: `Done`, `Loaded`, `AdapterLoaded`, `Rendered`,
`StatusReport`, `Finished` (the last one of a `Generate`, when every row has had its own) or `Failed`.

A line that is no request is answered with `Failed` and changes nothing. The end of standard input ends the worker.

Requests are served one after another in the order they came, but for `Stop` and `Status`, which are looked at
at once, also while an answer is being generated. Times are seconds, lengths are tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.chat.message import FinishReason as FinishReason
from core.chat.message import Message
from core.chat.message import Usage as Usage
from core.records import registry

PROTOCOL_VERSION = 1

Phase: TypeAlias = Literal["importing", "reading", "loading", "ready"]
ErrorKind: TypeAlias = Literal["usage", "model", "prompt_too_long", "out_of_memory", "internal"]


# --- requests ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Load a base model; what was loaded before goes first. Closed by `Loaded`."""

    id: int
    model: str
    """A folder, or a name in the Hugging Face cache; already resolved by `core.models`."""
    template: str = "auto"
    """`auto`: the tokenizer's own chat template, else `default`; or the name of a bundled one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    threads: int = 0
    """0: the free physical cores."""
    trust_remote_code: bool = False
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True)
class LoadAdapter:
    """Put an adapter beside the loaded base, under a name. Closed by `AdapterLoaded`."""

    id: int
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class UnloadAdapter:
    """Forget an adapter. Closed by `Done`."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Give the device's memory back; the tokenizer stays. Closed by `Done`."""

    id: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Defaults are those of `core.config.generation`, which the client fills in."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0: all."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""


@dataclass(frozen=True, slots=True)
class Row:
    """One answer to generate: its own history, its own adapter."""

    messages: tuple[Message, ...]
    adapter: str | None = None
    """The name of a loaded adapter; None is the base."""
    cache_key: str = ""
    """Rows of the same key and adapter continue one another's KV cache as far as their tokens agree."""


@dataclass(frozen=True, slots=True)
class Generate:
    """Answer every row, in one batch where the rows allow it. Streams `Started`, `Text`, `Finished` per row."""

    id: int
    rows: tuple[Row, ...]
    sampling: Sampling = Sampling()
    enable_thinking: bool | None = None
    """For templates that know it; None leaves the template's own default."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the running `Generate` between two tokens, or in prefill between two chunks. Closed by `Done`.

    The generated part is kept: each unfinished row gets its `Finished` with `stopped`.
    """

    id: int
    target: int = 0
    """The id of the `Generate`; 0: whichever runs. One that has ended already is no error."""


@dataclass(frozen=True, slots=True)
class Render:
    """Show exactly what a request would put before the model. Needs a tokenizer, no weights. Closed by `Rendered`."""

    id: int
    messages: tuple[Message, ...]
    model: str = ""
    """Empty: the loaded one."""
    template: str = "auto"
    add_generation_prompt: bool = True
    enable_thinking: bool | None = None
    max_new_tokens: int = 0
    """Above 0: leave out what a `Generate` with this room for the answer would leave out; needs a loaded model."""
    adapter: str | None = None
    """Who is to answer: an adapter may bring a template, a system prompt and a prefix of its own."""


@dataclass(frozen=True, slots=True)
class Status:
    """Ask how the worker is. Closed by `StatusReport`."""

    id: int


Request: TypeAlias = Load | LoadAdapter | UnloadAdapter | Unload | Generate | Stop | Render | Status
REQUESTS = registry(Load, LoadAdapter, UnloadAdapter, Unload, Generate, Stop, Render, Status)


# --- replies ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The first line, before anything heavy is imported."""

    pid: int
    protocol: int = PROTOCOL_VERSION
    id: int = 0


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """A slow request came to its next phase."""

    id: int
    phase: Phase
    seconds: float
    """Since the request was taken up."""
    fraction: float | None = None
    """How much of this phase is done, where that is known."""


@dataclass(frozen=True, slots=True)
class Loaded:
    id: int
    model: str
    architecture: str
    parameters: int
    dtype: str
    device: str
    threads: int
    context_length: int
    template: str
    """`tokenizer` for the model's own, else the bundled template's name."""
    injected_system: str = ""
    """The system prompt that the template puts in by itself when none is given."""
    thinking: bool = False
    """Whether the template knows `enable_thinking`."""
    fused: bool = True
    """Whether the fast forward serves it; else transformers' own does."""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterLoaded:
    id: int
    name: str
    method: str
    """`lora`, `dora`, …"""
    parameters: int
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A row's prompt has been rendered and is about to be prefilled."""

    id: int
    row: int
    prompt_tokens: int
    reused_tokens: int
    """Of them, how many were in the KV cache already."""
    dropped: tuple[int, ...] = ()
    """Indices of the row's messages that had to leave because the context is full."""


@dataclass(frozen=True, slots=True)
class Text:
    """The next part of a row's answer; never half a character."""

    id: int
    row: int
    text: str
    tokens: int = 1
    """Tokens generated since the row's last `Text`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A row is complete. When `last` is set, so is the request."""

    id: int
    row: int
    finish_reason: FinishReason
    usage: Usage
    last: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a rendered prompt."""

    id: int
    text: str
    trained: bool
    """Whether supervised training would put loss on it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    id: int
    text: str
    tokens: tuple[Token, ...]
    template: str
    injected_system: str = ""
    warnings: tuple[str, ...] = ()
    """For instance that this template allows no loss mask."""
    dropped: tuple[int, ...] = ()
    """Indices of the messages that were left out because the context is full."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    id: int
    state: Literal["empty", "loading", "ready", "generating"]
    model: str = ""
    adapters: tuple[str, ...] = ()
    resident_bytes: int = 0
    """The process's memory."""
    device_bytes: int = 0
    """Memory taken on the accelerator by this process; 0 on a CPU."""
    device_total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    id: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The request could not be honoured; what it had produced before stays valid."""

    id: int
    kind: ErrorKind
    message: str
    hint: str = ""


Reply: TypeAlias = (
    Hello | PhaseChanged | Loaded | AdapterLoaded | Started | Text | Finished | Rendered | StatusReport | Done | Failed
)
REPLIES = registry(
    Hello, PhaseChanged, Loaded, AdapterLoaded, Started, Text, Finished, Rendered, StatusReport, Done, Failed
)
