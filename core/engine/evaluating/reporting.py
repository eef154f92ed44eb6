"""A part's report: what was measured on its answers, and everything that the numbers stand on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from core.config.evaluation import MetricOptions, PredictionOptions
from core.config.load import Settings
from core.engine.evaluating.answering import Answerer
from core.engine.evaluating.leakage import Leak
from core.engine.evaluating.progress import rates
from core.engine.evaluating.sheet import Sheet
from core.i18n import _, plural
from core.metrics.catalog import find_metrics
from core.metrics.metric import Measuring
from core.report.measured import measure
from core.report.report import EvaluatedSet, Report
from core.report.store import write_report
from core.runs.installed import versions_of

_PACKAGES = ("finetui", "torch", "transformers", "peft", "jieba", "nltk", "rouge-chinese", "sacrebleu")


def measuring_of(settings: Settings) -> Measuring:
    """How metrics are to be computed."""
    options = settings[MetricOptions]
    return Measuring(options.long_label, options.list_separator, options.bootstrap, settings[PredictionOptions].seed)


def report_on(
    sheet: Sheet,
    answerer: Answerer,
    settings: Settings,
    leak: Leak,
    seconds: float,
    notes: tuple[str, ...],
    *,
    judged: bool,
) -> Report:
    """Score a part's answers and write all its files; whole or not, as far as it came.

    Args:
        notes: what was said before the run began.
        judged: whether the answers have all that was asked for beside them: losses, rewards.

    Raises:
        MetricError: a metric of the user's own fails.
        OSError: the disk takes no more; the answers are safe in their journal.
    """
    part, answers = sheet.part, sheet.in_order()
    names = settings[MetricOptions].metrics
    scores = measure(answers, find_metrics(names) if names else None, measuring_of(settings))
    answered = [answer for answer in answers if not answer.error]
    tests = part.tests
    report = Report(
        subject=answerer.subject,
        data=EvaluatedSet(
            tests.name,
            len(tests.rows),
            tests.sha256(),
            tuple(str(path) for path in tests.files),
            tests.left_out,
            leak.seen,
            leak.training_sets,
        ),
        answered=len(answered),
        failed=len(answers) - len(answered),
        empty=sum(not answer.predict.strip() for answer in answered),
        truncated=sum(answer.finish_reason == "length" for answer in answered),
        repeats=part.times,
        config=_plain(settings.values()),
        runtimes=rates(part, answers, seconds, answerer.loading_seconds),
        notes=tuple(
            filter(
                None,
                (
                    *_facts(sheet, leak, judged),
                    *_unrewarded(sheet, settings, judged),
                    *tests.notes,
                    *notes,
                    *answerer.notes,
                ),
            )
        ),
        complete=sheet.is_whole and judged,
        time=time.time(),
        packages=versions_of(_PACKAGES),
    )
    return write_report(part.files, report, answers, scores)


def _facts(sheet: Sheet, leak: Leak, judged: bool) -> list[str]:
    """What a reader must not overlook."""
    part, rows = sheet.part, sheet.part.planned.rows
    told = [leak.note]
    if not judged and sheet.is_whole:
        told.append(_("ended early: losses or rewards are missing"))
    if not sheet.is_whole:
        told.append(_("ended early: {done} of {rows} answers").format(done=len(sheet.answers), rows=rows))
    if part.tests.left_out:
        told.append(plural("{count} bad row was left out", "{count} bad rows were left out", part.tests.left_out))
    return told


def _unrewarded(sheet: Sheet, settings: Settings, judged: bool) -> list[str]:
    """Answers that the reward model was asked about and has no score for."""
    if settings[MetricOptions].reward_model is None or not judged:
        return []
    count = sum(answer.reward is None and not answer.error for answer in sheet.answers.values())
    told = "{count} answer was too long for the reward model, and has no reward"
    return [plural(told, "{count} answers were too long for the reward model, and have no reward", count)][
        : bool(count)
    ]


def _plain(values: Mapping[str, Any]) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
