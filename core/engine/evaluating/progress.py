"""How far an evaluation is: told a few times a second at most, with the metrics so far of the part that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from core.engine.diary import Diary
from core.engine.evaluating.parts import Part
from core.metrics.metric import Measuring
from core.metrics.running import Running
from core.report.measured import pair_of
from core.report.prediction import Prediction
from core.runs.events import Answered, RunStarted
from core.runs.follow import Follower
from core.runs.rundir import RunDirectory
from core.runs.told import answered_line

_SECONDS_BETWEEN_WORDS = 0.5
_SECONDS_OF_SILENCE = 5.0
"""Long answers, or a slow machine: then tokens alone tell that it goes on."""


class Progress:
    """Counts answers and tells of them."""

    def __init__(
        self, diary: Diary, total: int, *, between: int, measuring: Measuring, memory: Callable[[], int]
    ) -> None:
        """Args:
        between: answered rows between two looks at the metrics.
        """
        self._diary, self._total, self._between = diary, total, between
        self._measuring, self.memory = measuring, memory
        self._before, self.seconds = earlier_times(diary.run)
        self._began = time.monotonic()
        self._done = self._failed = self._answered = self._tokens = 0
        self._told_at, self._told_done, self._told_tokens = self._began, 0, 0
        self._since_look = 0

    def skip(self, answers: int) -> None:
        """A part that was settled in an earlier segment."""
        self._done += answers

    def begin(self, part: Part, kept: Iterable[Prediction]) -> None:
        """The next part; what earlier segments have answered of it counts."""
        self._part, self._running = part, Running(self._measuring)
        self._part_done, self._part_began = 0, time.monotonic()
        for prediction in kept:
            if not prediction.error:
                self._count(prediction)
        self._metrics = self._running.metrics()
        self.tell()

    def add(self, prediction: Prediction) -> None:
        """An answer has come."""
        self._count(prediction)
        self._answered += 1
        self._since_look += 1
        if self._since_look >= self._between:
            self._since_look, self._metrics = 0, self._running.metrics()
        if time.monotonic() - self._told_at >= _SECONDS_BETWEEN_WORDS:
            self.tell()

    def write(self, tokens: int) -> None:
        """Tokens were written, or a step was spent on prompts alone."""
        self._tokens += tokens
        if time.monotonic() - self._told_at >= _SECONDS_OF_SILENCE:
            self.tell()

    def end(self) -> float:
        """The part is answered, or as far as it will be; returns its seconds over all segments."""
        self._metrics = self._running.metrics()
        self.tell()
        name = self._part.name
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - self._part_began
        return self.seconds[name]

    @property
    def done(self) -> int:
        return self._done

    def _count(self, prediction: Prediction) -> None:
        self._done += 1
        self._part_done += 1
        self._failed += bool(prediction.error)
        if not prediction.error:
            self._running.add(pair_of(prediction))

    def tell(self) -> None:
        now = time.monotonic()
        rate = self._answered / max(now - self._began, 1e-9)
        window, rows, tokens = now - self._told_at, self._answered - self._told_done, self._tokens - self._told_tokens
        if window < _SECONDS_BETWEEN_WORDS:  # the last words of a part come just after those before: too few to divide
            window, rows, tokens = max(now - self._began, 1e-9), self._answered, self._tokens
        event = Answered(
            time.time(),
            self._part.name,
            self._part_done,
            self._part.planned.rows,
            self._done,
            self._total,
            self._failed,
            self._tokens,
            tokens / window,
            rows / window,
            self._before + now - self._began,
            (self._total - self._done) / rate if rate else 0.0,
            self.memory(),
            dict(self._metrics),
        )
        self._told_at, self._told_done, self._told_tokens = now, self._answered, self._tokens
        self._diary.tell(event)
        self._diary.say(answered_line(event, rate))


def earlier_times(run: RunDirectory) -> tuple[float, dict[str, float]]:
    """Seconds that earlier segments have answered, in all and for each part."""
    events = [event for event in Follower(run).poll_all() if isinstance(event, (Answered, RunStarted))]
    whole, parts = 0.0, dict[str, float]()
    for before, event in pairwise(events):
        if isinstance(event, Answered):
            whole = max(whole, event.elapsed)
            if isinstance(before, Answered) and before.part == event.part:
                parts[event.part] = parts.get(event.part, 0.0) + event.elapsed - before.elapsed
    return whole, parts


def rates(part: Part, answers: Sequence[Prediction], seconds: float, loading: float) -> dict[str, float]:
    """What a report says about time."""
    seconds = max(seconds, 1e-9)
    return {
        "seconds": seconds,
        "rows_per_second": len(answers) / seconds,
        "tokens_per_second": sum(answer.tokens for answer in answers) / seconds,
        "loading": loading,
    }
