"""An answer at 40 tokens a second into a conversation of 1,000 messages, while somebody types.

The lag is measured inside, by a task that wants to run every 20 ms; the echo outside, from a key's byte to its letter
on the terminal. Cyrillic letters are typed, which occur nowhere else in the output.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.app import FRAME_MARK, a_workspace, start, written_within
from benchmarks.figures import Figure, cpu_seconds, percentile, report
from core.chat.session import Column
from core.chat.store import SessionStore
from core.workspace import Workspace
from terminal import Terminal

MESSAGES = 1000
TOKENS_PER_SECOND = 40
LAG_BUDGET, BYTES_BUDGET = 60.0, 60.0
_SECONDS = 15.0
_LETTERS = "бгджзийлпуфцчшщъыьэюя"

_PARAGRAPH = (
    "A low rank adapter learns a small change of each weight matrix, `W + BA`, and **nothing else**. "
    "It is cheap to keep, cheap to switch, and it can be merged later; 也可以合并到基础模型里。 "
)
_ANSWER = "".join(
    f"\n\n## Part {part}\n\n{_PARAGRAPH * 2}\n\n- one thing\n- another thing\n\n```python\nfor step in range({part}):\n"
    "    loss = model(batch).loss\n    loss.backward()\n```\n\n"
    "| name | value |\n| --- | --- |\n| rank | 8 |\n| alpha | 16 |"
    for part in range(1, 20)
)


def long_conversation(workspace: Workspace) -> None:
    """Store a conversation of 1,000 messages, every tenth answer with a list and code."""
    conversation = SessionStore(workspace.sessions).create(title="long", columns=(Column(0, "demo", None, ""),))
    for number in range(MESSAGES // 2):
        conversation.append("user", f"Question {number}: {_PARAGRAPH}")
        conversation.append("assistant", _PARAGRAPH * 3 + (_ANSWER[:600] if number % 10 == 0 else ""), model="demo")


def type_slowly(terminal: Terminal, seconds: float) -> list[float]:
    """Press a key four times a second; the seconds until each letter came back."""
    echoes, ended = [], time.perf_counter() + seconds
    for number in range(int(seconds * 4)):
        letter = _LETTERS[number % len(_LETTERS)].encode()
        written, pressed = len(terminal.raw), time.perf_counter()
        terminal.send(letter)
        terminal.wait_for_raw(letter, start=written)
        echoes.append(terminal.reads[-1][0] - pressed)
        while time.perf_counter() < min(ended, pressed + 0.25):
            terminal.pump(0.05)
    return echoes


def lags(record: Path, begun: float, ended: float) -> list[float]:
    """How late the clock in the app was between two moments."""
    pairs = [tuple(map(float, line.split())) for line in record.read_text().splitlines()]
    return [late for at, late in pairs if begun <= at <= ended]


def measure() -> Iterator[Figure]:
    with a_workspace() as workspace:
        long_conversation(workspace)
        record = workspace.root / "probe"
        with start(
            workspace, probe=record, answers=[_ANSWER], pace=1 / TOKENS_PER_SECOND, context_length=1_000_000
        ) as terminal:
            terminal.wait_for_raw(FRAME_MARK)
            terminal.settle(1.0)
            opened = cpu_seconds(terminal.process.pid)
            terminal.type("/resume\n")
            terminal.settle(0.5)
            opened = cpu_seconds(terminal.process.pid) - opened
            terminal.type("Explain adapters.\n")
            terminal.wait_for_raw(b"Part")
            begun, before = time.perf_counter(), cpu_seconds(terminal.process.pid)
            echoes = type_slowly(terminal, _SECONDS)
            ended, after = time.perf_counter(), cpu_seconds(terminal.process.pid)
            terminal.press("escape", "ctrl+q")
            terminal.wait()
            late = lags(record, begun, ended)
            written = written_within(terminal, begun, ended)
    yield Figure("streaming, loop lag p95", 1000 * percentile(late, 0.95), "ms", LAG_BUDGET)
    yield Figure("streaming, loop lag p99", 1000 * percentile(late, 0.99), "ms")
    yield Figure("streaming, key echo p95", 1000 * percentile(echoes, 0.95), "ms")
    yield Figure("streaming, written", written / 1000 / (ended - begun), "KB/s", BYTES_BUDGET)
    yield Figure("streaming, CPU", 100 * (after - before) / (ended - begun), "%")
    yield Figure(f"open {MESSAGES} messages, CPU", 1000 * opened, "ms")


if __name__ == "__main__":
    report(measure())
