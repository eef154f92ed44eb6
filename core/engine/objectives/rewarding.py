"""Stage rm: a number for an answer, larger for the better one of a pair (Bradley-Terry).

    loss = −log σ(r_chosen − r_rejected)

read by a linear head from the hidden state of each answer's last token, in float32. The head begins at random. Measured
on the default model with LoRA and 63 of the bundled zh and en pairs, 8 an update: after 8 updates the loss on the other
21 is 0.47, with a head that begins at zero 0.64; a tiny model in four seeds tells the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from core.config.finetuning import FinetuningOptions
from core.engine.batches.batch import Batch
from core.engine.forward.choose import Forward
from core.engine.objectives.objective import Measured
from core.engine.objectives.pairs import PAIR_NAMES, batch_of_pairs, counted_rewards, over_pairs
from core.engine.training.evaluate import Rows
from core.engine.training.work import Work
from core.engine.tuning.headed import HeadedTunable
from core.i18n import plural
from core.jsonl import dump_line
from core.metrics.metric import Measuring, Pair, Scores, Value
from core.metrics.score import score
from core.metrics.shown import interval_text, number_text

PREDICTIONS = "generated_predictions.jsonl"


class Rewarding:
    """Learns to tell the better answer."""

    point_names: tuple[str, ...] = PAIR_NAMES
    evaluation_names: tuple[str, ...] = PAIR_NAMES
    ends_at_zero = False
    """The difference of two rewards may be so large that nothing is left of the loss: it has learnt, that is all."""

    def __init__(self, work: Work) -> None:
        if not isinstance(work.tunable, HeadedTunable):
            raise TypeError("stage rm needs a value head")
        self._work, self._headed = work, work.tunable

    def begin(self, forward: Forward) -> None:
        """Nothing has to be known."""

    def measure(self, forward: Forward, rows: Rows, numbers: Sequence[int]) -> Measured:
        rewards = self._rewards(forward, batch_of_pairs(rows, numbers))
        chosen, rejected = rewards[0::2], rewards[1::2]
        return Measured(pairwise_loss(chosen, rejected).sum(), len(numbers), counted_rewards(chosen, rejected))

    def metrics(self, loss: float, counted: Mapping[str, float]) -> dict[str, float]:
        return {"loss": loss, **counted}

    def _rewards(self, forward: Forward, batch: Batch) -> Tensor:
        """float32 [rows]"""
        return self._headed.values(forward.end_states(batch))

    def end(self, forward: Forward) -> None:
        """Write both scores of each pair: of the evaluation rows, or of the training's where there are none."""
        work = self._work
        sets = [(one.name, one.rows) for one in work.evaluation_sets] or [("", work.rows)]
        forward.train(False)
        work.journal.stage("scoring")
        lines: list[dict[str, object]] = []
        began = time.perf_counter()
        for name, rows in sets:
            scores = over_pairs(
                rows,
                lambda batch: self._rewards(forward, batch),
                work.processes,
                batch_rows=work.optimization.per_device_eval_batch_size,
            )
            apart = {"dataset": name} if len(sets) > 1 else {}
            lines += [{"chosen": chosen, "rejected": rejected, **apart} for chosen, rejected in scores.tolist()]
        if work.processes.is_main:
            (work.run.path / PREDICTIONS).write_bytes(b"".join(map(dump_line, lines)))
            work.journal.say(_told(len(lines), bool(work.evaluation_sets)))
            if work.settings[FinetuningOptions].do_predict:
                self._tell_of(lines, time.perf_counter() - began)

    def _tell_of(self, lines: Sequence[Mapping[str, Any]], seconds: float) -> None:
        """What the scores come to, as LLaMA-Factory's predictions tell it."""
        work = self._work
        pairs = [Pair("", "", chosen=line["chosen"], rejected=line["rejected"]) for line in lines]
        found = score(pairs, measuring=Measuring(seed=work.settings.values()["seed"]))
        batches = -(-len(lines) // work.optimization.per_device_eval_batch_size)
        work.journal.files.prediction = {
            **found.compatible,
            "predict_runtime": round(seconds, 4),
            "predict_samples_per_second": round(len(lines) / seconds, 3),
            "predict_steps_per_second": round(batches / seconds, 3),
        }
        told = (
            f"{name} {number_text(value.value, name)} ({interval_text(value, name)})" for name, value in _shown(found)
        )
        work.journal.say(", ".join(told))


def _shown(found: Scores) -> Iterator[tuple[str, Value]]:
    return ((name, found.values[name]) for name in ("accuracy", "margin"))


def _told(count: int, are_kept_out: bool) -> str:
    if are_kept_out:
        said = plural("scores of {count} evaluation pair", "scores of {count} evaluation pairs", count)
    else:
        said = plural("scores of {count} trained pair", "scores of {count} trained pairs", count)
    return f"{said}: {PREDICTIONS}"


def pairwise_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """−log σ(chosen − rejected), [pairs]; finite, with its gradient, for differences of any size."""
    return -F.logsigmoid(chosen - rejected)
