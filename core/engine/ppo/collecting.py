"""How a step comes by its answers: drawn, scored, and read by policy and reference as they are before the update.

Whoever trains holds a share of the questions; all answers are told to all. The policy reads the answers in the very
micro-batches of the first pass of learning, so that the first minibatch finds each probability as it was, to the last
bit, and the reference reads the same ones, so that the distance of a policy that is the reference is 0.

Nothing is changed by collecting: until it is over, a step can be abandoned without a trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.batches.batch import Batch
from core.engine.batches.prompts import PromptRows
from core.engine.control import StepAbandoned, never
from core.engine.ppo.experience import Answer, Experience, Opinions
from core.engine.ppo.partners import Partners
from core.engine.ppo.rollouts import Roller
from core.engine.scorers.scorer import Asked
from core.engine.training.descent import Descent
from core.engine.tuning.headed import HeadedTunable

LONG_SECONDS = 2.0
"""Scoring that takes longer is told: a reward that is a program of the user's own may take any time."""
_NUMBERS = 4
"""What is thought of each token: see `Opinions`."""


@dataclass(frozen=True)
class Collected:
    """A step's answers, and how long they took."""

    experience: Experience
    rollout_seconds: float
    score_seconds: float


class Collector:
    """Collects answers to questions, with scores and opinions."""

    def __init__(self, descent: Descent, policy: HeadedTunable, partners: Partners, temperature: float) -> None:
        self._descent, self._policy, self._partners = descent, policy, partners
        self._temperature = temperature

    def collect(
        self,
        rows: PromptRows,
        numbers: Sequence[int],
        roller: Roller,
        seed: int,
        portions: Callable[[], Sequence[Sequence[int]]],
        is_stopped: Callable[[], bool] = never,
    ) -> Collected:
        """Answers to the questions of those numbers.

        Args:
            rows: the questions.
            roller: draws the answers.
            seed: what is drawn depends on it, and on nothing else.
            portions: gives this process's micro-batches for opinions, as places among `numbers`; it is asked again
                when memory was too short for those before.
            is_stopped: looked at between two tokens, two scores and two portions; once it is true, it stays so.

        Raises:
            StepAbandoned: it is, in one of the processes.
        """
        began = time.perf_counter()
        drawn = self._drawn(rows, numbers, roller, seed, is_stopped)
        then = time.perf_counter()
        answers = self._scored(rows, numbers, drawn, is_stopped)
        experience = Experience(answers, self._opinions(answers, portions, is_stopped))
        return Collected(experience, then - began, time.perf_counter() - then)

    def _go_on(self, is_stopped: Callable[[], bool]) -> None:
        """Nobody goes on where one has stopped, and so lacks what the others would have of it."""
        (stops,) = self._descent.work.processes.agree(is_stopped())
        if stops:
            raise StepAbandoned

    # --- answers ------------------------------------------------------------------------------------------------

    def _drawn(
        self, rows: PromptRows, numbers: Sequence[int], roller: Roller, seed: int, is_stopped: Callable[[], bool]
    ) -> list[Answer]:
        """The answers of all processes, in the order of `numbers`; each draws its share."""
        processes = self._descent.work.processes
        mine = range(processes.rank, len(numbers), processes.world)
        prompts = [rows.row(numbers[place]).ids.tolist() for place in mine]
        with processes.autocast():
            drawn = roller.draw(prompts, seed, places=mine, is_stopped=is_stopped)
        self._go_on(is_stopped)
        own = [
            [place, list(one.prompt_ids), list(one.answer_ids), one.text, one.ended]
            for place, one in zip(mine, drawn, strict=True)
        ]
        everybody = sorted((one for each in processes.gather(own) for one in each), key=lambda one: int(one[0]))
        return [Answer(tuple(asked), tuple(said), text, ended) for _place, asked, said, text, ended in everybody]

    def _scored(
        self, rows: PromptRows, numbers: Sequence[int], answers: Sequence[Answer], is_stopped: Callable[[], bool]
    ) -> list[Answer]:
        """The answers with their scores; each process asks for its share."""
        processes = self._descent.work.processes
        mine = range(processes.rank, len(answers), processes.world)
        asked = [
            Asked(rows.messages(numbers[at]), answers[at].prompt_ids, answers[at].answer_ids, answers[at].text)
            for at in mine
        ]
        with self._descent.work.journal.meanwhile("scoring", LONG_SECONDS):
            found = self._partners.scorer.score(asked, is_stopped)
        self._go_on(is_stopped)
        own = [[at, score] for at, score in zip(mine, found, strict=True)]
        scores = {int(at): float(score) for each in processes.gather(own) for at, score in each}
        return [answer.with_score(scores[at]) for at, answer in enumerate(answers)]

    # --- opinions -----------------------------------------------------------------------------------------------

    def _opinions(
        self,
        answers: Sequence[Answer],
        portions: Callable[[], Sequence[Sequence[int]]],
        is_stopped: Callable[[], bool],
    ) -> Opinions:
        found = self._descent.fitted(lambda: self._try_opinions(answers, portions(), is_stopped))
        self._go_on(is_stopped)
        processes = self._descent.work.processes
        found = processes.sum(found.to(processes.device)).cpu() if processes.world > 1 else found
        return Opinions(*found.unbind())

    def _try_opinions(
        self, answers: Sequence[Answer], portions: Sequence[Sequence[int]], is_stopped: Callable[[], bool]
    ) -> Tensor:
        """What is thought of this process's share of the tokens, float32 [4, tokens], 0 elsewhere."""
        lengths = torch.tensor([len(answer.answer_ids) for answer in answers])
        starts = lengths.cumsum(0) - lengths
        found = torch.zeros(_NUMBERS, int(lengths.sum()))
        for portion in portions:
            if is_stopped():
                break
            batch = Batch([answers[one].row for one in portion])
            at = torch.cat([torch.arange(int(starts[one]), int(starts[one] + lengths[one])) for one in portion])
            found[:, at] = self._read(batch).cpu()
        return found

    def _read(self, batch: Batch) -> Tensor:
        """float32 [4, tokens] of the batch's answers. The reference's states are gone before ours come."""
        forward, processes = self._descent.forward, self._descent.work.processes
        forward.train(False)
        try:
            with torch.no_grad(), processes.autocast():
                reference = self._partners.reference.log_probabilities(batch, self._temperature)
                states = forward.target_states(batch)
                own, entropy = forward.projection.log_probabilities_and_entropy(
                    states.hidden, states.targets, self._temperature, entropy="value"
                )
                return torch.stack([own, reference, self._policy.values(states.hidden), entropy])
        finally:
            forward.train(True)
