"""What the policy answers to questions that it does not learn from, and what its reward says: nothing is drawn."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

from core.config.stages import METRICS
from core.engine.batches.prompts import PromptRows
from core.engine.ppo.collecting import LONG_SECONDS, Collector
from core.engine.ppo.experience import Experience
from core.engine.ppo.partners import Partners
from core.engine.scorers.scorer import Asked
from core.engine.training.evaluate import Evaluated, EvaluationSet, in_parts
from core.engine.training.work import Work
from core.runs.events import Evaluation, Sample


class Examiner:
    """Evaluates a policy as it is, and answers probes with it."""

    def __init__(self, work: Work, collector: Collector, partners: Partners) -> None:
        self._work, self._collector, self._partners = work, collector, partners

    def evaluated(self, step: int, epoch: float) -> Evaluated:
        """Mean reward, distance and length of the answers to each evaluation set, and of all together."""
        began = time.perf_counter()
        results, metrics, batches = list[Evaluation](), list[Mapping[str, float]](), 0
        for one in self._work.evaluation_sets:
            started = time.perf_counter()
            found = self._answered(one)
            metrics.append(_told(found))
            seconds = time.perf_counter() - started
            results.append(Evaluation(time.time(), step, epoch, metrics[-1], len(one.rows), seconds, one.name))
            batches += math.ceil(len(one.rows) / self._work.optimization.per_device_eval_batch_size)
        counts = [result.rows for result in results]
        whole = {
            name: math.fsum(each[name] * count for each, count in zip(metrics, counts, strict=True)) / sum(counts)
            for name in METRICS["ppo"]
        }
        return Evaluated(tuple(results), whole, sum(counts), batches, time.perf_counter() - began, epoch)

    def _answered(self, one: EvaluationSet) -> Experience:
        rows, processes = one.rows, self._work.processes
        if not isinstance(rows, PromptRows):
            raise TypeError("stage ppo evaluates questions")
        longest_first = sorted(range(len(rows)), key=lambda number: -int(rows.lengths[number]))
        size = self._work.optimization.per_device_eval_batch_size

        def portions() -> Sequence[Sequence[int]]:
            return list(in_parts(range(processes.rank, len(rows), processes.world), size))

        return self._collector.collect(rows, longest_first, self._partners.greedy, 0, portions).experience

    def samples(self, step: int) -> Iterator[Sample]:
        """The probes' answers with their rewards."""
        probes = self._work.data.probes
        if not probes:
            return
        with self._work.processes.autocast():
            drawn = self._partners.prober.draw([list(probe.ids) for probe in probes], 0)
        asked = [
            Asked(probe.messages, one.prompt_ids, one.answer_ids, one.text)
            for probe, one in zip(probes, drawn, strict=True)
        ]
        with self._work.journal.meanwhile("scoring", LONG_SECONDS):
            rewards = self._partners.scorer.score(asked)
        for probe, one, reward in zip(probes, drawn, rewards, strict=True):
            yield Sample(time.time(), step, probe.prompt, one.text, reward if math.isfinite(reward) else None)


def _told(experience: Experience) -> dict[str, float]:
    told = experience.told()
    return {name: told[name] for name in METRICS["ppo"]}
