"""The transcript alone on a real terminal: a thousand messages open, and an answer streams in at 40 tokens a second.

What the whole app costs is measured by `streaming`; the difference between the two is not the transcript's. The child
writes its record (loop lags, seconds of CPU) and ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult

from benchmarks.app import written_within
from benchmarks.figures import Figure, percentile, report
from benchmarks.streaming import _ANSWER, _PARAGRAPH, BYTES_BUDGET, LAG_BUDGET, MESSAGES, TOKENS_PER_SECOND
from terminal import Terminal
from tui.widgets.prompt_input import PromptInput
from tui.widgets.transcript import Entry, Transcript

OPEN_BUDGET = 200.0
_TICKS_PER_SECOND = 8
_CHARACTERS_PER_TOKEN = 4
_SECONDS = 15.0


class Host(App[None]):
    """A transcript that fills itself."""

    def __init__(self, record: Path) -> None:
        super().__init__()
        self._record = record
        self._figures: dict[str, Any] = {"lags": []}

    def compose(self) -> ComposeResult:
        yield Transcript()
        yield PromptInput()

    def on_mount(self) -> None:
        self.run_worker(self._measure())

    async def _measure(self) -> None:
        transcript = self.query_one(Transcript)
        begun = time.process_time()
        transcript.extend(
            Entry(f"m{n}", "assistant" if n % 2 else "user", _PARAGRAPH * 3 + (_ANSWER[:600] if n % 20 == 1 else ""))
            for n in range(MESSAGES)
        )
        await asyncio.sleep(0.3)
        self._figures["opened"] = time.process_time() - begun
        transcript.append(Entry("answer", "assistant", streaming=True))
        clock = asyncio.create_task(self._clock())
        begun, self._figures["begun"] = time.process_time(), time.perf_counter()
        await self._stream(transcript)
        self._figures |= {"cpu": time.process_time() - begun, "ended": time.perf_counter()}
        clock.cancel()
        self._record.write_text(json.dumps(self._figures))
        self.exit()

    async def _stream(self, transcript: Transcript) -> None:
        step = TOKENS_PER_SECOND * _CHARACTERS_PER_TOKEN // _TICKS_PER_SECOND
        text = _ANSWER * 2
        for tick in range(int(_SECONDS * _TICKS_PER_SECOND)):
            transcript.stream("answer", text[tick * step : (tick + 1) * step])
            await asyncio.sleep(1 / _TICKS_PER_SECOND)

    async def _clock(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.02)
            self._figures["lags"].append(time.perf_counter() - begun - 0.02)


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        with Terminal([sys.executable, "-m", "benchmarks.transcript", str(record)], emulate=False) as terminal:
            while terminal.process.poll() is None:
                terminal.pump(0.1)
            figures = json.loads(record.read_text())
            written = written_within(terminal, figures["begun"], figures["ended"])
    seconds = figures["ended"] - figures["begun"]
    yield Figure(f"transcript: open {MESSAGES} messages, CPU", 1000 * figures["opened"], "ms", OPEN_BUDGET)
    yield Figure("transcript: streaming, loop lag p95", 1000 * percentile(figures["lags"], 0.95), "ms", LAG_BUDGET)
    yield Figure("transcript: streaming, loop lag p99", 1000 * percentile(figures["lags"], 0.99), "ms")
    yield Figure("transcript: streaming, written", written / 1000 / seconds, "KB/s", BYTES_BUDGET)
    yield Figure("transcript: streaming, CPU", 100 * figures["cpu"] / seconds, "%")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Host(Path(sys.argv[1])).run()
    else:
        report(measure())
