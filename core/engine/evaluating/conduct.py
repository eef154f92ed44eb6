"""An evaluation from its folder to its reports: part by part, each answer kept as soon as it is there.

Whatever ends it early, a wish, a signal, a kill or an error, the same command goes on where it was: answers stay, rows
without one are asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config.evaluation import EvaluatedModelOptions, EvaluationOutputOptions, MetricOptions, PredictionOptions
from core.config.load import Settings
from core.engine.control import Control
from core.engine.diary import Diary
from core.engine.evaluating.answering import Answerer
from core.engine.evaluating.leakage import Leak, TrainedQuestions
from core.engine.evaluating.parts import Part, plan_parts, refuse_changed
from core.engine.evaluating.progress import Progress
from core.engine.evaluating.reporting import measuring_of, report_on
from core.engine.evaluating.sheet import Sheet, open_sheet, settled_report
from core.engine.evaluating.test_set import TestSet
from core.i18n import plural
from core.models.candidates import Candidate
from core.report.prediction import Prediction
from core.report.report import Report
from core.report.store import write_parts
from core.runs.events import DataReady, PartScored
from core.runs.launch_file import read_launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.engine.scorers.scorer import Scorer
    from core.models.reward_source import RewardSource

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_BETWEEN_WORDS = 0.5


@dataclass(frozen=True)
class Contender:
    """Somebody of an evaluation before it is their turn."""

    name: str
    prepared: Callable[[], AbstractContextManager[Answerer]]
    """Makes them ready to answer."""
    candidate: Candidate | None = None
    """None for a served model."""


@dataclass(frozen=True)
class Ended:
    """How far an evaluation came."""

    is_whole: bool
    done: int
    metrics: Mapping[str, float]


class Conduct:
    """The course of one evaluation."""

    def __init__(
        self, run: RunDirectory, settings: Settings, workspace: Workspace, diary: Diary, control: Control
    ) -> None:
        self._run, self._settings, self._workspace = run, settings, workspace
        self._diary, self._control = diary, control
        self._looked_at, self._told_at, self._stopped, self._is_working = 0.0, 0.0, False, False
        self._reports: dict[str, Report] = {}
        self._judge: RewardSource | None = None
        self._rewards: Scorer | None = None

    def go(self, contenders: Sequence[Contender], tests: Sequence[TestSet]) -> Ended:
        """Let everybody answer everything.

        Raises:
            FinetuiError: somebody cannot be loaded, or cannot answer at all; or data or weights were changed meanwhile.
        """
        repeats = self._settings[PredictionOptions].repeats
        subjects = {one.name: one.candidate.sha256() if one.candidate else "" for one in contenders}
        plan = plan_parts(self._run, subjects, tests, repeats)
        parts = [part for of_one in plan.values() for part in of_one]
        refuse_changed(self._run, parts)
        write_parts(self._run.path, [part.planned for part in parts])
        self._tell_data(tests, parts)
        self._find_judge()
        self._progress = Progress(
            self._diary,
            sum(part.planned.rows for part in parts),
            between=self._settings[EvaluationOutputOptions].logging_steps,
            measuring=measuring_of(self._settings),
            memory=lambda: 0,
        )
        for contender in contenders:
            open_parts = [part for part in plan[contender.name] if not self._is_settled(part)]
            if open_parts and not self._stopped:
                self._hear(contender, open_parts)
        reports = [self._reports.get(part.name) for part in parts]
        is_whole = all(report is not None and report.complete for report in reports)
        return Ended(is_whole, self._progress.done, self._metrics(parts))

    def _tell_data(self, tests: Sequence[TestSet], parts: Sequence[Part]) -> None:
        left_out = sum(one.left_out for one in tests)
        rows = sum(part.planned.rows for part in parts)
        self._diary.tell(DataReady(time.time(), rows, 0, 0, left_out_rows=left_out))
        if left_out:
            problem = next((problem for one in tests for problem in one.problems), None)
            told = plural("{count} bad row is left out", "{count} bad rows are left out", left_out)
            self._diary.warn(told, str(problem) if problem is not None else "")

    def _is_settled(self, part: Part) -> bool:
        report = settled_report(part)
        if report is None:
            return False
        self._reports[part.name] = report
        self._progress.skip(part.planned.rows)
        return True

    # --- one after another --------------------------------------------------------------------------------------

    def _hear(self, contender: Contender, parts: Sequence[Part]) -> None:
        trained = TrainedQuestions(contender.candidate.path, self._workspace) if contender.candidate else None
        with contender.prepared() as answerer:
            self._progress.memory = answerer.memory
            self._begin_working()
            for part in parts:
                if not self._stopped:
                    self._hear_part(part, answerer, trained.look(part.tests) if trained is not None else Leak())

    def _begin_working(self) -> None:
        """From here a stop keeps what is answered, which the first model has nothing of before."""
        if not self._is_working:
            self._is_working = True
            self._control.working()

    def _hear_part(self, part: Part, answerer: Answerer, leak: Leak) -> None:
        sheet = open_sheet(part)
        missing = list(sheet.missing())
        self._diary.stage("answering")
        self._progress.begin(part, sheet.answers.values())
        try:
            answerer.answer(missing, lambda answer: self._keep(sheet, answer), self._progress.write, self._is_stopped)
            judged = self._is_judged(sheet, answerer)
        finally:
            seconds = self._progress.end()
        self._score(sheet, answerer, leak, seconds, judged)

    def _is_judged(self, sheet: Sheet, answerer: Answerer) -> bool:
        """Let the answers have what else was asked for; whether all of them have it."""
        options = self._settings[MetricOptions]
        if not options.reference_loss and self._judge is None:
            return True
        if not self._is_stopped():
            for answer in answerer.judge(sheet.in_order(), sheet.part.tests.rows, self._is_stopped):
                sheet.add(answer)
            self._reward(sheet)
        return not self._stopped

    def _find_judge(self) -> None:
        """Look at the reward model, where one is given: what is wrong with it is told before anything is answered."""
        name = self._settings[MetricOptions].reward_model
        if name is not None:
            from core.engine.evaluating.rewards import find_reward_model  # torch, if it is not there yet

            self._judge = find_reward_model(name, self._settings[EvaluatedModelOptions], self._workspace)

    def _reward(self, sheet: Sheet) -> None:
        """Let the reward model look at answers that have no score yet."""
        if self._judge is None:
            return
        from core.engine.evaluating.rewards import load_reward_model, rewarded

        if self._rewards is None:
            self._rewards = load_reward_model(self._judge, self._settings[EvaluatedModelOptions], self._diary.warn)
        answers = sheet.in_order()
        for number, answer in enumerate(rewarded(self._rewards, answers, sheet.part.tests.rows)):
            self._tell_of_rewards(number / len(answers))
            sheet.add(answer)
            if self._is_stopped():
                return

    def _tell_of_rewards(self, fraction: float) -> None:
        if time.monotonic() - self._told_at >= _SECONDS_BETWEEN_WORDS:
            self._told_at = time.monotonic()
            self._diary.stage("scoring", round(fraction, 3))

    def _keep(self, sheet: Sheet, answer: Prediction) -> None:
        sheet.add(answer)
        self._progress.add(answer)

    def _score(self, sheet: Sheet, answerer: Answerer, leak: Leak, seconds: float, judged: bool) -> None:
        if not sheet.answers:
            return
        self._diary.stage("scoring")
        notes = tuple(caution.message for caution in read_launch(self._run).cautions)
        report = report_on(sheet, answerer, self._settings, leak, seconds, notes, judged=judged)
        part = sheet.part
        self._reports[part.name] = report
        numbers = {name: value.value for name, value in report.values.items()}
        if report.complete:
            event = PartScored(time.time(), part.name, part.planned.folder, len(sheet.answers), seconds, numbers)
            self._diary.tell(event, durable=True)

    # --- stops and results --------------------------------------------------------------------------------------

    def _is_stopped(self) -> bool:
        """Whether somebody wants an end; looked up a few times a second."""
        now = time.monotonic()
        if not self._stopped and now - self._looked_at >= _SECONDS_BETWEEN_LOOKS:
            self._looked_at, self._stopped = now, self._control.look().stop
        return self._stopped

    def _metrics(self, parts: Sequence[Part]) -> dict[str, float]:
        """Every number by its name; the part's stands before it where there are several."""
        several = len(parts) > 1
        return {
            f"{part.name}/{name}" if several else name: value.value
            for part in parts
            if (report := self._reports.get(part.name)) is not None
            for name, value in report.values.items()
        }
