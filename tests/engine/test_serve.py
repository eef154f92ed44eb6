"""The worker's process, spoken to through its pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from core.chat.message import Message
from core.engine.serve import failure
from core.engine.tokenizer import load_tokenizer
from core.errors import AdapterMismatch, PromptTooLong, UsageError
from core.records import from_record, to_record
from core.serve.protocol import (
    REPLIES,
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
from waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
HELLO = (Message("user", "Hello there, how are you today?"),)
ENDLESS = Sampling(max_new_tokens=400)
FAILING_FORWARD = """
import torch
from core.engine import fused, serve
real = fused.FusedModel.forward
def forward(self, segments):
    print("a library says something")
    if {memory} in segments[0].ids: raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
    if {defect} in segments[0].ids: raise ZeroDivisionError("a defect")
    return real(self, segments)
fused.FusedModel.forward = forward
serve.main()
"""
T = TypeVar("T")


class Process:
    """A worker and the two ends of its pipes."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        self.popen = subprocess.Popen(
            [sys.executable, *(arguments or ("-P", "-m", "core.engine.serve"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._watchdog = threading.Timer(PATIENCE, self.popen.kill)  # a test that waits for ever fails instead
        self._watchdog.start()

    def send(self, *requests: Request | bytes) -> None:
        assert self.popen.stdin is not None
        for request in requests:
            line = request if isinstance(request, bytes) else json.dumps(to_record(request)).encode()
            self.popen.stdin.write(line + b"\n")
        self.popen.stdin.flush()

    def next(self) -> Reply:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, "the worker is gone"
        return from_record(REPLIES, json.loads(line))

    def until(self, kind: type[T]) -> tuple[T, list[Reply]]:
        """The next reply of a kind, and those that came before it."""
        before: list[Reply] = []
        while not isinstance(reply := self.next(), kind):
            assert not isinstance(reply, Failed) or kind is Failed, reply
            before.append(reply)
        return reply, before

    def close(self) -> int:
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        try:
            return self.popen.wait(PATIENCE)
        finally:
            self._watchdog.cancel()
            assert self.popen.stdout is not None
            self.popen.stdout.close()


@pytest.fixture
def worker() -> Iterator[Process]:
    process = Process()
    yield process
    process.close()


def test_nothing_heavy_is_imported_before_the_first_sign_of_life() -> None:
    code = (
        "import sys, core.engine.serve;"
        "print({'torch','transformers','numpy','tokenizers','jinja2','pydantic','peft','safetensors'} & {*sys.modules})"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert output.stdout == "set()\n"


def test_what_libraries_and_children_print_stays_out_of_the_protocol() -> None:
    code = (
        "import os, sys; from core.serve.service import Pipes; from core.serve.protocol import Hello;"
        "p = Pipes(); print('noise', flush=True); os.system('echo child; cat'); os.write(1, b'raw');"
        "p.send(Hello(7)); print(sys.stdin.read() == '', p.requests.readline(), file=sys.stderr)"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, input=b"mine\n", check=True)
    assert json.loads(output.stdout) == {"type": "hello", "pid": 7}
    assert output.stderr == b"noise\nchild\nrawTrue b'mine\\n'\n"


def test_lines_that_are_no_requests_are_answered_and_change_nothing(worker: Process) -> None:
    hello, _ = worker.until(Hello)
    assert hello.pid == worker.popen.pid
    worker.send(
        b"nonsense",
        b'{"type": "dance", "id": 7}',
        b'{"type": "load", "id": 8}',
        b'{"type": "generate", "id": 9, "rows": [{"messages": [{"role": "cook", "content": ""}]}]}',
        b"[1, 2]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type": "stop", "id": "three"}',
        b"",
    )
    failures = [worker.until(Failed)[0] for _ in range(8)]
    assert [reply.id for reply in failures] == [0, 7, 8, 9, 0, 0, 0, 0]
    assert {reply.kind for reply in failures} == {"usage"}
    assert failures[1].message == "unknown type 'dance'"
    assert failures[2].message == "model: missing"
    assert failures[3].message.startswith("rows[0].messages[0].role: 'cook' is none of")
    worker.send(Status(10), Stop(11), Generate(12, (Row(HELLO),)), UnloadAdapter(13, "x"), Unload(14))
    report, _ = worker.until(StatusReport)
    assert (report.id, report.state) == (10, "empty")
    assert report.resident_bytes > 1_000_000
    assert worker.until(Done)[0].id == 11
    assert [worker.until(Failed)[0].message for _ in range(2)] == ["no model is loaded"] * 2
    assert worker.until(Done)[0].id == 14


def test_a_prompt_is_rendered_without_weights(
    worker: Process, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "tokenizer-only"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((model_folder("llama") / name).read_bytes())
    talk = (Message("user", "好"), Message("assistant", "Ok"))
    worker.send(Render(1, talk, str(folder), add_generation_prompt=False), Render(2, talk))
    rendered, _ = worker.until(Rendered)
    assert rendered.text == "<|im_start|>user\n好<|im_end|>\n<|im_start|>assistant\nOk<|im_end|>\n"
    assert "".join(token.text for token in rendered.tokens) == rendered.text
    assert [token.text for token in rendered.tokens if token.trained] == ["O", "k", "<|im_end|>"]
    assert [token.text for token in rendered.tokens][6:9] == ["好", "", ""]  # one character in three tokens
    assert rendered.template == "tokenizer"
    assert worker.until(Failed)[0].id == 2


def test_a_rendered_prompt_leaves_out_what_the_request_would(
    worker: Process, model_folder: Callable[[str], Path]
) -> None:
    long = tuple(
        message
        for n in range(12)
        for message in (Message("user", f"question {n} " * 6), Message("assistant", "no " * 9))
    )
    talk = (*long, Message("user", "last"))
    worker.send(
        Load(1, str(model_folder("llama")), threads=1),
        Generate(2, (Row(talk),), Sampling(max_new_tokens=1)),
        Render(3, talk, max_new_tokens=1),
        Render(4, talk),
    )
    started, _ = worker.until(Started)
    rendered, _ = worker.until(Rendered)
    whole, _ = worker.until(Rendered)
    assert rendered.dropped == started.dropped != ()
    assert len(rendered.tokens) == started.prompt_tokens
    assert whole.dropped == ()
    assert len(whole.tokens) > len(rendered.tokens)


def test_a_conversation_from_loading_to_the_end_of_input_in_the_middle_of_an_answer(
    worker: Process, model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    folder = model_folder("llama")
    worker.send(Load(1, str(folder), threads=1), Generate(2, (Row(HELLO, cache_key="k"),), Sampling(max_new_tokens=6)))
    loaded, before = worker.until(Loaded)
    phases = [reply.phase for reply in before if isinstance(reply, PhaseChanged)]
    assert phases == ["importing", "reading", "loading", "ready"]
    assert (loaded.architecture, loaded.dtype, loaded.context_length, loaded.fused, loaded.threads) == (
        "LlamaForCausalLM",
        "float32",
        512,
        True,
        1,
    )
    finished, before = worker.until(Finished)
    assert isinstance(before[0], Started)
    assert finished.last
    assert finished.usage.prompt_tokens == before[0].prompt_tokens
    worker.send(Status(3), LoadAdapter(4, "a", str(adapter_folder("llama"))), LoadAdapter(5, "b", str(folder)))
    report, _ = worker.until(StatusReport)
    assert (report.state, report.model) == ("ready", str(folder))
    wrong, before = worker.until(Failed)
    assert (wrong.id, wrong.kind) == (5, "model")
    assert [getattr(reply, "method", None) for reply in before] == ["lora"]

    worker.popen.send_signal(signal.SIGINT)  # ctrl+c in the terminal is the app's affair
    worker.send(Generate(6, (Row(HELLO), Row(HELLO, "a")), ENDLESS), Generate(7, (Row(HELLO),), ENDLESS))
    worker.until(Text)
    worker.send(Status(8), Stop(9, 6), Stop(10, 7))
    report, _ = worker.until(StatusReport)
    assert (report.state, report.adapters) == ("generating", ("a",))
    ends = [worker.until(Finished)[0] for _ in range(3)]
    assert [(end.id, end.finish_reason, end.last) for end in ends] == [
        (6, "stopped", False),
        (6, "stopped", True),
        (7, "stopped", True),
    ]
    assert ends[2].usage.answer_tokens == 0  # stopped while it waited for its turn
    worker.send(Generate(11, (Row((Message("user", "x" * 600),)),)))
    too_long, _ = worker.until(Failed)
    assert (too_long.id, too_long.kind) == (11, "prompt_too_long")

    worker.send(Generate(12, (Row(HELLO),), ENDLESS))
    worker.until(Text)
    assert worker.close() == 0


def test_out_of_memory_and_defects_are_told_and_the_worker_goes_on(model_folder: Callable[[str], Path]) -> None:
    folder = model_folder("llama")
    memory, defect = load_tokenizer(folder).encode("~^")
    worker = Process("-P", "-c", FAILING_FORWARD.format(memory=memory, defect=defect))
    try:
        worker.send(Load(1, str(folder), threads=1))
        worker.until(Loaded)
        for request_id, text, kind in ((5, "~", "out_of_memory"), (6, "^", "internal")):
            worker.send(Generate(request_id, (Row((Message("user", text),)),)))
            failed, _ = worker.until(Failed)
            assert (failed.id, failed.kind) == (request_id, kind)
        assert "ZeroDivisionError: a defect" in failed.message
        worker.send(Generate(3, (Row(HELLO),), Sampling(max_new_tokens=3)))
        assert worker.until(Finished)[0].usage.answer_tokens > 0
    finally:
        assert worker.close() == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("MPS backend out of memory"), "out_of_memory"),
        (PromptTooLong("long"), "prompt_too_long"),
        (UsageError("no"), "usage"),
        (AdapterMismatch("other"), "model"),
        (IndexError("x"), "internal"),
    ],
)
def test_every_error_has_its_kind(error: Exception, kind: str) -> None:
    failed = failure(4, error)
    assert (failed.id, failed.kind) == (4, kind)
