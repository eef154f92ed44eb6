"""A scripted stand-in for the chat worker: speaks its protocol without torch, and misbehaves as told.

    command = fake_worker_command(answers=["Paris."], pace=0.01, crash_at="decode")
    client = await WorkerClient.start(log_path=…, command=command)
    environment["FINETUI_WORKER_COMMAND"] = json.dumps(command)      # for an app in a process of its own

By hand: `python tests/fakes.py '{"answers": ["Paris."]}'`, or with the path of a file that holds such JSON. Tokens are
words with the blank before them; the KV cache is pretended: what the last prompt of a cache key began with is reused.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
import queue
import re
import signal
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.chat.message import Message, Usage
from core.errors import RecordError
from core.jsonl import dump_line
from core.records import from_record, to_record
from core.serve.protocol import (
    PROTOCOL_VERSION,
    REQUESTS,
    AdapterLoaded,
    Done,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Hello,
    Load,
    LoadAdapter,
    Loaded,
    PhaseChanged,
    Render,
    Rendered,
    Row,
    Started,
    Status,
    StatusReport,
    Stop,
    Text,
    Token,
    Unload,
    UnloadAdapter,
)

_LONGEST_ARGUMENT = 50_000  # Linux takes 128 KiB


@dataclass
class Behaviour:
    """What the fake does. Places to crash, fail or write garbage at: hello, import, load, prefill, decode."""

    answers: list[str] = field(default_factory=lambda: ["The capital of France is Paris."])
    """Taken in turn, one a row; `{question}` in one becomes the last user message."""
    adapter_answers: dict[str, list[str]] = field(default_factory=dict)
    """Answers of rows with an adapter of that name; others get the plain ones."""
    pace: float = 0.0
    """Seconds between two tokens."""
    prefill_seconds: float = 0.0
    phase_seconds: float = 0.0
    """How long each of the phases of a load takes."""
    hello_seconds: float = 0.0
    hello: bool = True
    protocol: int = PROTOCOL_VERSION
    stderr: str = ""
    """Written to standard error at the start."""
    crash_at: str = ""
    crash_by: int = -9
    """An exit code, or a signal's number, negative."""
    crash_once: str = ""
    """A file that is made at the first crash; while it is there, there are no more."""
    hang_at: str = ""
    """Stay at this place until killed, or until the end of standard input."""
    fail: dict[str, list[str]] = field(default_factory=dict)
    """Place → kind, message, hint of a `Failed`."""
    garbage: dict[str, list[str]] = field(default_factory=dict)
    """Place → lines that are no replies."""
    decode_tokens: int = 3
    """After how many tokens the place `decode` is reached."""
    ignore_stop: bool = False
    ignore_end: bool = False
    """Go on after the end of standard input, and at SIGTERM."""
    record: str = ""
    """A file that every request is appended to, as it came."""
    architecture: str = "LlamaForCausalLM"
    parameters: int = 134_515_008
    context_length: int = 2048
    template: str = "tokenizer"
    injected_system: str = ""
    thinking: bool = False
    warnings: list[str] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)


def fake_worker_command(**behaviour: Any) -> list[str]:
    """The command of a fake that behaves so; see `Behaviour` for the words."""
    script = json.dumps(dataclasses.asdict(Behaviour(**behaviour)))
    if len(script) > _LONGEST_ARGUMENT:
        script = "z:" + base64.b64encode(zlib.compress(script.encode())).decode()
    return [sys.executable, "-P", str(Path(__file__).resolve()), script]


class FakeWorker:
    """One process: a thread reads requests, the main one serves them; as in the real worker."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: queue.Queue[Any] = queue.Queue()
        self.stopped: set[int] = set()
        self.running = 0
        self.model = ""
        self.adapters: list[str] = []
        self.cached: dict[tuple[str, str | None], list[str]] = {}
        self.turns: dict[str | None, Iterator[str]] = {}
        self.write_lock = threading.Lock()

    def run(self) -> None:
        if self.behaviour.ignore_end:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stderr.write(self.behaviour.stderr)
        sys.stderr.flush()
        time.sleep(self.behaviour.hello_seconds)
        self.reach("hello", 0)
        if self.behaviour.hello:
            self.send(Hello(os.getpid(), self.behaviour.protocol))
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            self.serve(self.requests.get())

    def send(self, reply: Any) -> None:
        self.write(dump_line(to_record(reply)))

    def write(self, data: bytes) -> None:
        with self.write_lock:
            while data:
                data = data[os.write(1, data) :]

    def reach(self, place: str, request_id: int) -> bool:
        """Misbehave if it is to be here; False when the request has failed by that."""
        for line in self.behaviour.garbage.get(place, ()):
            self.write(line.encode() + b"\n")
        if self.behaviour.crash_at == place:
            self.crash()
        if self.behaviour.hang_at == place:
            threading.Event().wait()
        if place in self.behaviour.fail:
            self.send(Failed(request_id, *self.behaviour.fail[place]))  # type: ignore[arg-type]
            return False
        return True

    def crash(self) -> None:
        if self.behaviour.crash_once:
            if Path(self.behaviour.crash_once).exists():
                return
            Path(self.behaviour.crash_once).touch()
        if self.behaviour.crash_by < 0:
            os.kill(os.getpid(), -self.behaviour.crash_by)
        os._exit(self.behaviour.crash_by)

    # --- the reading thread -------------------------------------------------------------------------------------

    def read(self) -> None:
        for line in sys.stdin.buffer:
            if self.behaviour.record:
                with Path(self.behaviour.record).open("ab") as file:
                    file.write(line)
            self.take(line)
        if not self.behaviour.ignore_end:
            os._exit(0)

    def take(self, line: bytes) -> None:
        try:
            request = from_record(REQUESTS, json.loads(line))
        except (ValueError, RecordError) as error:
            self.send(Failed(0, "usage", str(error)))
            return
        if isinstance(request, Stop):
            if not self.behaviour.ignore_stop:
                self.stopped.add(request.target or self.running)
            self.send(Done(request.id))
        elif isinstance(request, Status):
            self.send(self.status(request.id))
        else:
            self.requests.put(request)

    def status(self, request_id: int) -> StatusReport:
        if self.running:
            return StatusReport(request_id, "generating", self.model, tuple(self.adapters))
        state: Literal["ready", "empty"] = "ready" if self.model else "empty"
        return StatusReport(request_id, state, self.model, tuple(self.adapters), resident_bytes=300 << 20)

    # --- the serving thread -------------------------------------------------------------------------------------

    def serve(self, request: Any) -> None:
        match request:
            case Load():
                self.load(request)
            case LoadAdapter():
                if self.reach("adapter", request.id):
                    self.adapters.append(request.name)
                    self.send(AdapterLoaded(request.id, request.name, "lora", 460_800))
            case UnloadAdapter():
                self.adapters.remove(request.name)
                self.send(Done(request.id))
            case Unload():
                self.model = ""
                self.send(Done(request.id))
            case Render():
                self.send(self.rendered(request))
            case Generate():
                self.generate(request)

    def load(self, request: Load) -> None:
        begun = time.monotonic()
        places = {"importing": "import", "loading": "load"}
        for phase in ("importing", "reading", "loading", "ready"):
            self.send(PhaseChanged(request.id, phase, time.monotonic() - begun))
            time.sleep(self.behaviour.phase_seconds)
            if phase in places and not self.reach(places[phase], request.id):
                return
        self.model, self.adapters = request.model, []
        script = self.behaviour
        self.send(
            Loaded(
                request.id,
                request.model,
                script.architecture,
                script.parameters,
                "float32" if request.dtype == "auto" else request.dtype,
                "cpu",
                request.threads or 1,
                script.context_length,
                script.template if request.template == "auto" else request.template,
                script.injected_system,
                script.thinking,
                seconds=time.monotonic() - begun,
                warnings=tuple(script.warnings),
            )
        )

    def rendered(self, request: Render) -> Rendered:
        tokens = [
            Token(number, text, message.role == "assistant" and not text.startswith("<|"))
            for number, (message, text) in enumerate(prompt_tokens(request.messages))
        ]
        if request.add_generation_prompt:
            tokens.append(Token(len(tokens), "<|assistant|>", False))
        text = "".join(token.text for token in tokens)
        return Rendered(request.id, text, tuple(tokens), self.behaviour.template, self.behaviour.injected_system)

    def generate(self, request: Generate) -> None:
        self.running = request.id
        begun = time.monotonic()
        answers = [_Answer(index, row, self.answer(row)) for index, row in enumerate(request.rows)]
        if all(self.prefill(request, answer) for answer in answers):
            time.sleep(self.behaviour.prefill_seconds)
            if self.reach("prefill", request.id):
                self.decode(request, answers, begun)
        self.running = 0

    def answer(self, row: Row) -> str:
        texts = self.behaviour.adapter_answers.get(row.adapter or "", self.behaviour.answers)
        text = next(self.turns.setdefault(row.adapter, itertools.cycle(texts)))
        question = next((message.content for message in reversed(row.messages) if message.role == "user"), "")
        return text.replace("{question}", question)

    def prefill(self, request: Generate, answer: _Answer) -> bool:
        prompt = [text for _message, text in prompt_tokens(answer.row.messages)]
        if len(prompt) >= self.behaviour.context_length:
            hint = f"it has {len(prompt)} tokens, the model takes {self.behaviour.context_length}"
            self.send(Failed(request.id, "prompt_too_long", "the message does not fit the model's context", hint))
            return False
        key = (answer.row.cache_key, answer.row.adapter)
        before = self.cached.get(key, []) if answer.row.cache_key else []
        answer.reused = next((i for i, (a, b) in enumerate(zip(before, prompt, strict=False)) if a != b), len(before))
        answer.reused = min(answer.reused, len(prompt))
        answer.prompt = len(prompt)
        self.cached[key] = prompt
        self.send(Started(request.id, answer.index, answer.prompt, answer.reused, tuple(self.behaviour.dropped)))
        return True

    def decode(self, request: Generate, answers: list[_Answer], begun: float) -> None:
        waiting = list(answers)
        for step in itertools.count():
            if step == self.behaviour.decode_tokens and not self.reach("decode", request.id):
                return
            for answer in list(waiting):
                reason = self.finish_reason(request, answer, step)
                if reason:
                    waiting.remove(answer)
                    self.send(self.finished(request, answer, reason, begun, last=not waiting))
                else:
                    answer.first = answer.first or time.monotonic() - begun
                    self.send(Text(request.id, answer.index, answer.tokens[step]))
                    answer.said += 1
            if not waiting:
                return
            time.sleep(self.behaviour.pace)

    def finish_reason(self, request: Generate, answer: _Answer, step: int) -> FinishReason | None:
        if request.id in self.stopped:
            return "stopped"
        if step == len(answer.tokens):
            return "stop"
        return "length" if step == request.sampling.max_new_tokens else None

    def finished(self, request: Generate, answer: _Answer, reason: FinishReason, begun: float, last: bool) -> Finished:
        left = max(0, self.behaviour.context_length - answer.prompt - answer.said)
        seconds = time.monotonic() - begun
        usage = Usage(answer.prompt, answer.reused, answer.said, left, answer.first, seconds)
        return Finished(request.id, answer.index, reason, usage, last)


class _Answer:
    """A row on its way."""

    def __init__(self, index: int, row: Row, text: str) -> None:
        self.index, self.row = index, row
        self.tokens = split_tokens(text)
        self.prompt = self.reused = self.said = 0
        self.first = 0.0


def split_tokens(text: str) -> list[str]:
    """Words with the blanks before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def prompt_tokens(messages: tuple[Message, ...]) -> Iterator[tuple[Message, str]]:
    """Every message's tokens, its role first."""
    for message in messages:
        yield message, f"<|{message.role}|>"
        for text in split_tokens(message.content):
            yield message, text


def _behaviour(script: str) -> Behaviour:
    if script.startswith("z:"):
        script = zlib.decompress(base64.b64decode(script[2:])).decode()
    elif not script.startswith("{"):
        script = Path(script).read_text()
    return Behaviour(**json.loads(script))


if __name__ == "__main__":
    FakeWorker(_behaviour(sys.argv[1] if len(sys.argv) > 1 else "{}")).run()
